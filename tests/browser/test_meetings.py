"""People meet through livekit-client in two browsers: what they send is counted where it arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from meeting_lab import SILENCE, all_see_all

if TYPE_CHECKING:
    from browser_lab import Place
    from meeting_lab import Guest, Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSERS = ["chromium", "firefox"]
OTHER = {"chromium": "firefox", "firefox": "chromium"}
FOUR = {"p_kim": "chromium", "p_lou": "firefox", "p_max": "chromium", "p_noa": "firefox"}
MESSAGES = 25
LONG_TEXT = "ö" * 100_000  # more than one packet
SETTLED_S = 1.0  # what was on the way has come


async def pair(open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str) -> tuple[Guest, Guest]:
    """Brings in one who sends, in this browser, and one who watches, in the other."""
    sends, watches = await open_guest(browser, "p_sends"), await open_guest(OTHER[browser], "p_watches")
    await sends.join(hall, meeting)
    await watches.join(hall, meeting)
    return sends, watches


async def test_four_people_in_two_browsers_see_hear_and_tell_each_other_everything(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    people = [await open_guest(browser, identity) for identity, browser in FOUR.items()]
    for guest in people:
        await guest.join(hall, meeting)
        await guest.call("camera", True, {"width": 320, "height": 180}, {"simulcast": False})
        await guest.call("microphone", True)
    await all_see_all(people, "camera", "microphone")
    for guest in people:
        assert sorted(await guest.call("others")) == sorted(FOUR.keys() - {guest.identity})
        assert len(await guest.figures()) == 2 * 3

    kim, *others = people
    await kim.call("publish", "screen_share", {"simulcast": False})
    await kim.call("publish", "screen_share_audio")
    for other in others:
        await other.until_sees("p_kim/screen_share")
        await other.until_hears("p_kim/screen_share_audio")

    for number in range(MESSAGES):
        for guest in people:
            await guest.call("say", f"{guest.identity} {number}", {"topic": "numbers"})
    for guest in people:
        heard = await guest.until_has(3 * MESSAGES, topic="numbers")
        for identity in FOUR.keys() - {guest.identity}:
            texts = [each[-1] for each in heard if each[:-1] == [identity, "numbers", "reliable"]]
            assert texts == [f"{identity} {number}" for number in range(MESSAGES)]
        assert len(heard) == 3 * MESSAGES, "nobody hears what they say themselves"


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_muted_microphone_is_silent_and_a_muted_camera_dark_until_they_are_unmuted(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    sends, watches = await pair(open_guest, hall, meeting, browser)
    for device in ("camera", "microphone"):
        await sends.call(device, True)
        await watches.until_gets(f"p_sends/{device}")
        await sends.call(device, False)
        await watches.until_told("trackMuted", device, "p_sends")
        await asyncio.sleep(SETTLED_S)
        before = (await watches.figures())[f"p_sends/{device}"]
        await asyncio.sleep(SETTLED_S)
        after = (await watches.figures())[f"p_sends/{device}"]
        assert after["muted"]
        assert after["frames"] == before["frames"]
        assert after["energy"] - before["energy"] < SILENCE
        await sends.call(device, True)
        await watches.until_told("trackUnmuted", device, "p_sends")
        again = await watches.until_gets(f"p_sends/{device}")
        assert (again["sid"], again["muted"]) == (before["sid"], False)


@pytest.mark.parametrize("browser", BROWSERS)
async def test_what_is_unpublished_is_gone_and_what_is_published_anew_is_seen(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    sends, watches = await pair(open_guest, hall, meeting, browser)
    sids = set()
    for source in ("camera", "microphone", "camera", "microphone"):
        await sends.call("publish", source)
        sids.add((await watches.until_gets(f"p_sends/{source}"))["sid"])
        await sends.call("unpublish", source)
        await watches.until_told("trackUnpublished", source, "p_sends")
        await watches.until_without(f"p_sends/{source}")
    assert len(sids) == 4
    assert await watches.figures() == {}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_whoever_comes_late_sees_who_is_there_and_whoever_leaves_is_gone(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    early = await open_guest(browser, "p_early")
    await early.join(hall, meeting)
    await early.call("publish", "camera")
    await early.call("publish", "microphone")
    late = await open_guest(OTHER[browser], "p_late")
    await late.join(hall, meeting)
    assert await late.call("others") == ["p_early"]
    await late.until_sees("p_early/camera")
    await late.until_hears("p_early/microphone")
    assert {seat["participant"] for seat in await meeting.roster()} == {"p_early", "p_late"}, "who only watches as well"
    await early.call("leave")
    await late.until_told("participantDisconnected", "p_early")
    assert await late.figures() == {}
    assert [seat["participant"] for seat in await meeting.roster()] == ["p_late"]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_texts_files_and_calls_reach_whom_they_are_for(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    sends, watches = await pair(open_guest, hall, meeting, browser)
    third = await open_guest(browser, "p_third")
    await third.join(hall, meeting)
    for guest in (watches, third):
        await guest.call("answer", "chat", "greet")
    await sends.call("say", "for one", {"to": ["p_watches"]})
    await sends.call("write", "chat", LONG_TEXT)
    for number in range(MESSAGES):
        await sends.call("say", str(number), {"reliable": False})
    assert await sends.call("ask", "p_watches", "greet", "hello") == "p_sends said hello"
    for guest in (watches, third):

        async def written(guest: Guest = guest) -> bool:
            return ["p_sends", "chat", "text", LONG_TEXT] in await guest.received()

        async def lossy(guest: Guest = guest) -> bool:
            # Nothing is lost on the way within one machine.
            texts = [text for _, _, how, text in await guest.received() if how == "lossy"]
            return texts == [str(number) for number in range(MESSAGES)]

        await guest.waits(written, "a long text")
        await guest.waits(lossy, "what may be lost")
    assert ["p_sends", "", "reliable", "for one"] in await watches.received()
    assert ["p_sends", "", "reliable", "for one"] not in await third.received()


@pytest.mark.parametrize("browser", BROWSERS)
async def test_the_same_participant_who_comes_again_takes_the_place_of_the_first(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    first, watches = await pair(open_guest, hall, meeting, browser)
    second = await open_guest(browser, "p_sends")
    await second.join(hall, meeting)
    await first.until_told("disconnected", 2)  # DUPLICATE_IDENTITY
    await second.call("publish", "camera")
    await watches.until_sees("p_sends/camera")
    assert await watches.call("others") == ["p_sends"]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_whoever_is_removed_or_whose_room_ends_is_told_why(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    removed, stays = await pair(open_guest, hall, meeting, browser)
    await removed.call("publish", "camera")
    await stays.until_sees("p_sends/camera")
    await hall.http.delete(f"/rooms/{meeting.room}/participants/p_sends")
    await removed.until_told("disconnected", 4)  # PARTICIPANT_REMOVED
    await stays.until_without("p_sends/camera")
    await hall.http.delete(f"/rooms/{meeting.room}")
    await stays.until_told("disconnected", 5)  # ROOM_DELETED
