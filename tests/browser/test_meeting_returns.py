"""People who meet through livekit-client meet on after their line was cut, without a hand on any page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from meeting_lab import GOODBYE, UNSPOKEN, all_see_all, open_guests, open_hall

if TYPE_CHECKING:
    from browser_lab import Browsers, Place
    from meeting_lab import Guest, Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")
each = pytest_asyncio.fixture(loop_scope="session")

BROWSERS = ["chromium", "firefox"]
# What browsers and the library say of a server that is not there.
EXPECTED = (
    UNSPOKEN,
    GOODBYE,
    "/rtc",
    "websocket",
    "Failed to load resource",
    "Failed to fetch",
    "NetworkError",
    "Cross-Origin Request",
    "error reading from signal stream",
)
WITHOUT_NETWORK_S = 10.0
OFFLINE = {"offline": True, "latency": 1, "downloadThroughput": -1, "uploadThroughput": -1}
ONLINE = OFFLINE | {"offline": False}


@each
async def open_guest(browsers: Browsers, lab_page: str) -> AsyncIterator[OpenGuest]:
    async with open_guests(browsers, lab_page, expected=EXPECTED) as opened:
        yield opened


@each
async def own_hall(lab_page: str, tmp_path: Path) -> AsyncIterator[Hall]:
    """A server of this test's own, which it may kill."""
    async with open_hall(tmp_path, origin=lab_page) as running:
        yield running


async def two(open_guest: OpenGuest, hall: Hall, meeting: Place) -> tuple[Guest, Guest]:
    """Brings in two who see and hear each other."""
    krom, fox = await open_guest("chromium", "p_krom"), await open_guest("firefox", "p_fox")
    for guest in (krom, fox):
        await enter(guest, hall, meeting)
    await all_see_all([krom, fox], "camera", "microphone")
    return krom, fox


async def enter(guest: Guest, hall: Hall, meeting: Place) -> None:
    await guest.join(hall, meeting)
    await guest.call("publish", "camera", {"simulcast": False})
    await guest.call("publish", "microphone")


async def all_is_well(*people: Guest) -> None:
    """Sees that media, data and new tracks go both ways."""
    await all_see_all(people, "camera", "microphone")
    for guest in people:
        await guest.call("publish", "screen_share", {"simulcast": False})
    await all_see_all(people, "screen_share")
    for guest in people:
        await guest.call("say", f"{guest.identity} is back")
    for guest in people:
        for other in people:
            if other is not guest:
                await guest.waits(lambda g=guest, o=other: has(g, f"{o.identity} is back"), "a message")
        assert await guest.call("state") == "connected"


async def has(guest: Guest, text: str) -> bool:
    return text in [each[-1] for each in await guest.received()]


async def test_media_goes_on_while_the_websockets_of_all_are_cut(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    people = krom, fox = await two(open_guest, hall, meeting)
    before = {guest.identity: await guest.figures() for guest in people}
    hall.cable.cut()
    for guest in people:
        await guest.waits(lambda g=guest: g.events("reconnected"), "its return")
    await all_is_well(*people)
    for guest, other in ((krom, fox), (fox, krom)):
        after = await guest.figures()
        for source in ("camera", "microphone"):
            track = f"{other.identity}/{source}"
            assert after[track]["sid"] == before[guest.identity][track]["sid"]
            # A receiver that is made anew counts from zero: its bytes would be fewer.
            assert after[track]["bytes"] > before[guest.identity][track]["bytes"]
        assert await guest.events("reconnecting") == [], "only the signalling was away"
        assert await guest.events("trackUnsubscribed") == []


@pytest.mark.parametrize("scenario", ["resume-reconnect", "full-reconnect"])
async def test_a_participant_who_takes_up_the_call_again_or_begins_anew_is_seen_again(
    open_guest: OpenGuest, hall: Hall, meeting: Place, scenario: str
) -> None:
    people = await two(open_guest, hall, meeting)
    for guest in people:
        await guest.call("simulate", scenario)
        await guest.waits(lambda g=guest: g.events("reconnected"), "its return")
        await all_see_all(people, "camera", "microphone")
    await all_is_well(*people)


async def test_ten_seconds_without_network_are_survived(open_guest: OpenGuest, hall: Hall, meeting: Place) -> None:
    krom = await open_guest("chromium", "p_krom")
    lever = await krom.page.context.new_cdp_session(krom.page)
    await lever.send("Network.enable")
    # It takes only connections that are made while it is on.
    await lever.send("Network.emulateNetworkConditions", ONLINE)
    fox = await open_guest("firefox", "p_fox")
    for guest in (krom, fox):
        await enter(guest, hall, meeting)
    await all_see_all([krom, fox], "camera", "microphone")
    await lever.send("Network.emulateNetworkConditions", OFFLINE)
    await asyncio.sleep(WITHOUT_NETWORK_S / 2)
    dark = await fox.figure("p_krom/camera", "frames")
    await asyncio.sleep(WITHOUT_NETWORK_S / 2)
    assert await fox.figure("p_krom/camera", "frames") == dark, "it is without network"
    await lever.send("Network.emulateNetworkConditions", ONLINE)
    await krom.waits(lambda: krom.events("reconnected"), "its return")
    await all_is_well(krom, fox)


async def test_a_server_that_is_killed_and_started_anew_is_survived(open_guest: OpenGuest, own_hall: Hall) -> None:
    meeting = await own_hall.room()
    people = krom, fox = await two(open_guest, own_hall, meeting)
    await krom.call("say", "before")
    await fox.waits(lambda: has(fox, "before"), "a message")
    await all_see_all(people, "camera")  # meanwhile it is noted for the next server
    await own_hall.kill()
    for guest in people:
        await guest.waits(lambda g=guest: g.events("signalReconnecting"), "the loss")
    await krom.call("say", "meanwhile")
    await own_hall.start()
    for guest in people:
        await guest.waits(lambda g=guest: g.events("reconnected"), "its return")
    await fox.waits(lambda: has(fox, "meanwhile"), "what was said while no server ran")
    await all_is_well(*people)
    said = [each[-1] for each in await fox.received() if each[0] == "p_krom"]
    assert said == ["before", "meanwhile", "p_krom is back"], "each once"
    assert sorted(seat["participant"] for seat in await meeting.roster()) == ["p_fox", "p_krom"]


async def test_who_was_muted_while_their_line_was_cut_is_muted_when_they_are_back(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    krom, fox = await two(open_guest, hall, meeting)
    sid = await fox.figure("p_krom/camera", "sid")
    track = f"/rooms/{meeting.room}/participants/p_krom/tracks/{sid}"
    hall.cable.is_unplugged = True
    hall.cable.cut()
    for guest in (krom, fox):
        await guest.waits(lambda g=guest: g.events("signalReconnecting"), "the loss")
    muted = await hall.http.patch(track, json={"muted": True})
    assert muted.json()["muted"], muted.text
    hall.cable.is_unplugged = False
    await krom.until_told("trackMuted", "camera")
    for guest in (krom, fox):
        await guest.waits(lambda g=guest: g.events("reconnected"), "its return")
    # A mute that was undone would have been so before this comes, as it is said later.
    await krom.call("say", "back")
    await fox.waits(lambda: has(fox, "back"), "a message")
    assert await fox.figure("p_krom/camera", "muted")
    assert await krom.events("trackUnmuted") == await fox.events("trackUnmuted") == []
    (seat,) = [seat for seat in await meeting.roster() if seat["participant"] == "p_krom"]
    assert len(seat["publishes"][0]["tracks"]) == 2, "all of it is still there"
