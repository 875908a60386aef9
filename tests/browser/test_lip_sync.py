"""Picture and sound made from one clock arrive together."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser_lab import Engine, Tab
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")

APART_MS = 80
FLASHES = 5
HANG_S = 50  # A browser moves sound and picture towards each other by some 50 ms a second.


async def apart(playing: Tab) -> list[float]:
    """How long after the nearest beep the last flashes came, in ms."""
    seen = await playing.call("seen")
    return [min((flash - beep for beep in seen["beeps"]), key=abs, default=1e9) for flash in seen["flashes"][-FLASHES:]]


async def watched(open_tab: OpenTab, engine: Engine) -> Tab:
    publishing, playing = await open_tab("chromium"), await open_tab("chromium")
    await publishing.publish(engine.whip("alice"), "", source="flashes")
    await playing.play(engine.whep("bob", "alice"), "", name="alice")
    await playing.until_decoding("alice")
    await playing.call("watch", "alice")
    return playing


async def until_together(playing: Tab) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + HANG_S
    await asyncio.sleep(FLASHES)
    while len(gaps := await apart(playing)) < FLASHES or abs(median(gaps)) > APART_MS:
        assert loop.time() < end, gaps
        await asyncio.sleep(1)


async def test_a_flash_and_a_beep_from_one_clock_arrive_together(open_tab: OpenTab, engine: Engine) -> None:
    await until_together(await watched(open_tab, engine))


@pytest.mark.long
async def test_the_picture_waits_for_sound_that_the_browser_holds_back(open_tab: OpenTab, engine: Engine) -> None:
    # The browser can only do so with sender reports that put both on one clock.
    playing = await watched(open_tab, engine)
    await until_together(playing)
    await playing.call("holdSound", "alice", 500)
    await asyncio.sleep(3)
    await until_together(playing)
