"""How good a picture is that livekit-client gets, and what is not made of it because nobody looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser_lab import Place
    from meeting_lab import Guest, Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSERS = ["chromium", "firefox"]
OTHER = {"chromium": "firefox", "firefox": "chromium"}
CAMERA = "p_sends/camera"
# The library makes three encodings of a picture of this size, as wide as said here. On a busy machine an encoder
# would rather make it smaller.
PICTURE = {"width": 960, "height": 540, "rate": 10, "degradationPreference": "maintain-resolution"}
LOW, MEDIUM, HIGH = 0, 1, 2
WIDTHS = {LOW: 320, MEDIUM: 640, HIGH: 960}
LOOK_S = 1.0
AFTER_DOWNGRADE_S = 7.0  # the server waits five seconds before it says that something is wanted no more


async def sending(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str, *, adaptive: bool = False, dynacast: bool = False
) -> tuple[Guest, Guest]:
    """Brings in one who sends three encodings, in this browser, and one who watches, in the other."""
    sends, watches = await open_guest(browser, "p_sends"), await open_guest(OTHER[browser], "p_watches")
    await sends.join(hall, meeting, dynacast=dynacast)
    await watches.join(hall, meeting, adaptiveStream=adaptive)
    await sends.call("publish", "camera", PICTURE)
    await watches.until_sees(CAMERA)
    return sends, watches


async def stands_still(guest: Guest) -> bool:
    """Whether no picture comes."""
    before = await guest.figure(CAMERA, "frames")
    await asyncio.sleep(LOOK_S)
    return bool(await guest.figure(CAMERA, "frames") == before)


async def made(guest: Guest) -> list[bool]:
    """Of which encodings pictures are made, the smallest first."""
    before = await guest.call("sent", "camera")
    await asyncio.sleep(LOOK_S)
    after = await guest.call("sent", "camera")
    return [later["frames"] > earlier["frames"] for earlier, later in zip(before, after, strict=True)]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_the_quality_that_is_wanted_comes(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    _, watches = await sending(open_guest, hall, meeting, browser)
    for quality in (HIGH, LOW, MEDIUM, HIGH):
        await watches.call("want", "p_sends", "camera", quality)
        await watches.until_wide(CAMERA, WIDTHS[quality])
        await watches.until_sees(CAMERA)
    await watches.call("subscribe", "p_sends", "camera", False)
    await watches.until_told("trackUnsubscribed", "camera")
    await watches.call("subscribe", "p_sends", "camera", True)
    await watches.until_sees(CAMERA, since=0)


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_tile_gets_what_fits_it_and_nothing_while_it_is_hidden(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    _, watches = await sending(open_guest, hall, meeting, browser, adaptive=True)
    for width, height, quality in ((160, 90, LOW), (960, 540, HIGH), (600, 337, MEDIUM)):
        await watches.call("tile", "p_sends", "camera", width, height)
        await watches.until_wide(CAMERA, WIDTHS[quality])
        await watches.until_sees(CAMERA)
    await watches.call("tile", "p_sends", "camera", 0, 0)
    await watches.waits(lambda: stands_still(watches), "a picture that stands still")
    await watches.call("tile", "p_sends", "camera", 160, 90)
    await watches.until_sees(CAMERA)
    await watches.until_wide(CAMERA, WIDTHS[LOW])


async def test_what_nobody_wants_is_not_made(open_guest: OpenGuest, hall: Hall, meeting: Place) -> None:
    # Firefox cannot rest an encoding: the library has it make a very small one instead.
    sends, watches = await sending(open_guest, hall, meeting, "chromium", dynacast=True)

    async def makes(*wanted: bool) -> bool:
        return await made(sends) == list(wanted)

    await watches.call("want", "p_sends", "camera", LOW)
    await sends.waits(lambda: makes(True, False, False), "the smallest encoding alone")
    await watches.until_wide(CAMERA, WIDTHS[LOW])
    await watches.call("want", "p_sends", "camera", HIGH)
    await sends.waits(lambda: makes(True, True, True), "all encodings")
    await watches.until_wide(CAMERA, WIDTHS[HIGH])
    await watches.call("subscribe", "p_sends", "camera", False)
    await sends.waits(lambda: makes(False, False, False), "no encoding")
    await watches.call("subscribe", "p_sends", "camera", True)
    await watches.until_sees(CAMERA, since=0)


async def test_a_publisher_without_dynacast_makes_all(open_guest: OpenGuest, hall: Hall, meeting: Place) -> None:
    sends, watches = await sending(open_guest, hall, meeting, "chromium")
    await watches.call("want", "p_sends", "camera", LOW)
    await watches.until_wide(CAMERA, WIDTHS[LOW])
    await asyncio.sleep(AFTER_DOWNGRADE_S)
    assert await made(sends) == [True, True, True]
