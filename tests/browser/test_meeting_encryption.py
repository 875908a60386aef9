"""People meet through livekit-client who encrypt from end to end: what they alone can read passes the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from attendee import Attendee
from meeting_lab import GOODBYE, SILENCE, UNSPOKEN, open_guests, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from browser_lab import Browsers, Place
    from conftest import OpenTab
    from meeting_lab import Figures, Guest, Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSPHRASE, ANOTHER = "seven ducks in a row", "eight ducks in a row"
CODECS = {"p_sends/camera": "video/VP8", "p_sends/microphone": "audio/opus"}
# What the library says of what it cannot read.
UNREADABLE = "ecryption failed"
ENOUGH_BYTES = 5_000  # tens of pictures of the size below, or a second of sound


@pytest_asyncio.fixture(loop_scope="session")
async def open_guest(browsers: Browsers, lab_page: str) -> AsyncIterator[OpenGuest]:
    """Opens pages of participants, some of whom have not the key of the others."""
    async with open_guests(browsers, lab_page, expected=(UNSPOKEN, GOODBYE, UNREADABLE)) as opened:
        yield opened


async def send(guest: Guest, hall: Hall, meeting: Place) -> None:
    """Has somebody come in and send picture and sound, encrypted."""
    await guest.join(hall, meeting, passphrase=PASSPHRASE)
    await guest.call("publish", "camera", {"width": 320, "height": 180, "simulcast": False, "videoCodec": "vp8"})
    await guest.call("publish", "microphone")


async def until_enough_came(guest: Guest) -> Figures:
    """Waits until much has come of everything, whether it can be read or not."""

    async def came() -> Figures | None:
        found = await guest.figures()
        return found if all(found.get(track, {}).get("bytes", 0) > ENOUGH_BYTES for track in CODECS) else None

    found: Figures = await guest.waits(came, "bytes")
    return found


def each(figures: Figures, name: str) -> dict[str, Any]:
    """One figure of each track."""
    return {track: figures[track][name] for track in CODECS}


async def test_whoever_has_the_key_sees_hears_and_reads_what_was_encrypted_and_whoever_has_another_does_not(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    sends, knows, guesses = [await open_guest("chromium", identity) for identity in ("p_sends", "p_knows", "p_guesses")]
    await knows.join(hall, meeting, passphrase=PASSPHRASE)
    await guesses.join(hall, meeting, passphrase=ANOTHER)
    await send(sends, hall, meeting)
    for track in CODECS:
        await knows.until_gets(track)
    await sends.call("say", "for those with the key", {"topic": "chat"})
    assert await knows.until_has(1, topic="chat") == [["p_sends", "chat", "reliable", "for those with the key"]]

    reads, cannot = await until_enough_came(knows), await until_enough_came(guesses)
    for came in (reads, cannot):
        assert each(came, "encrypted") == dict.fromkeys(CODECS, True)
    assert each(reads, "codec") == CODECS
    assert each(cannot, "frames") == each(cannot, "shown") == dict.fromkeys(CODECS, 0)
    assert max(each(cannot, "energy").values()) < SILENCE
    assert [message for message in await guesses.received() if message[1] == "chat"] == []


async def test_two_browsers_and_a_program_see_and_hear_what_they_encrypt_with_the_same_key(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    krom, fox = await open_guest("chromium", "p_krom"), await open_guest("firefox", "p_fox")
    program = Attendee(hall.url, token(meeting.room, "p_program"), shared_key=PASSPHRASE.encode())
    async with program:
        await program.film(1)
        await program.hum(440)
        for guest in (krom, fox):
            await send(guest, hall, meeting)
        for guest, other in ((krom, "p_fox"), (fox, "p_krom")):
            for identity in (other, "p_program"):
                for source in ("camera", "microphone"):
                    await guest.until_gets(f"{identity}/{source}")
        assert await program.hears("p_krom") == pytest.approx(440, abs=10)
        await program.hears("p_fox")


async def test_whoever_encrypts_sees_and_hears_a_whip_camera_which_does_not(
    open_guest: OpenGuest, open_tab: OpenTab, hall: Hall, meeting: Place
) -> None:
    tab = await open_tab("chromium")
    await tab.publish(meeting.whip, token(meeting.room, "p_device"))
    guest = await open_guest("chromium", "p_guest")
    await send(guest, hall, meeting)
    for source in ("camera", "microphone"):
        await guest.until_gets(f"p_device/{source}")
    assert (await guest.figures())["p_device/camera"]["encrypted"] is False
