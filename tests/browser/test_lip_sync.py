"""Picture and sound made from one clock arrive together, and stay so."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING

import pytest
from browser_lab import until
from relay import Relay

if TYPE_CHECKING:
    from browser_lab import Engine, Tab
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")

APART_MS = 80
FLASHES = 5  # of which the middle one counts: a single one may be seen a frame late
STEADY = 10  # flashes, one a second
HELD_MS = 500
HANG_S = 60  # A browser moves sound and picture towards each other by some 50 ms a second.


async def apart(playing: Tab) -> list[float]:
    """How long after the nearest beep each flash came, in ms."""
    seen = await playing.call("seen")
    return [min((flash - beep for beep in seen["beeps"]), key=abs, default=1e9) for flash in seen["flashes"]]


def middles(gaps: list[float]) -> list[float]:
    """Returns how far apart the middle one of each five in a row was."""
    return [abs(median(gaps[at : at + FLASHES])) for at in range(len(gaps) - FLASHES + 1)]


async def until_steady(playing: Tab) -> None:
    """Waits until flash and beep have come together for so many flashes in a row."""

    async def steady() -> bool:
        gaps = (await apart(playing))[-STEADY:]
        return len(gaps) == STEADY and max(middles(gaps)) <= APART_MS

    await until(steady, HANG_S)


async def until_apart(playing: Tab) -> None:
    async def so() -> bool:
        return abs(median((await apart(playing))[-FLASHES:])) > APART_MS

    await until(so, HANG_S)


async def next_flashes(playing: Tab) -> list[float]:
    """Waits for so many more flashes, and returns how far apart they were."""
    already = len(await apart(playing))

    async def enough() -> list[float]:
        gaps = (await apart(playing))[already:]
        return gaps if len(gaps) >= STEADY else []

    return middles(await until(enough, HANG_S))


async def watched(open_tab: OpenTab, engine: Engine) -> Tab:
    publishing, playing = await open_tab("chromium"), await open_tab("chromium")
    await publishing.publish(engine.whip("alice"), "", source="flashes")
    await playing.play(engine.whep("bob", "alice"), "", name="alice")
    await playing.until_decoding("alice")
    await playing.call("watch", "alice")
    return playing


async def test_a_flash_and_a_beep_from_one_clock_arrive_together_each_time(open_tab: OpenTab, engine: Engine) -> None:
    playing = await watched(open_tab, engine)
    await until_steady(playing)


@pytest.mark.long
async def test_the_picture_waits_for_sound_that_the_browser_holds_back_and_then_they_stay_together(
    open_tab: OpenTab, engine: Engine
) -> None:
    playing = await watched(open_tab, engine)
    await until_steady(playing)
    await playing.call("holdSound", "alice", HELD_MS)
    await until_apart(playing)
    await until_steady(playing)


@pytest.mark.long
async def test_without_our_sender_reports_the_picture_would_not_wait(open_tab: OpenTab, engine: Engine) -> None:
    with Relay(loses=lambda passed: passed.is_sender_report) as engine.relay:
        playing = await watched(open_tab, engine)
        await playing.call("holdSound", "alice", HELD_MS)
        await asyncio.sleep(15)  # with them it would have come, at 50 ms a second
        assert min(await next_flashes(playing)) > APART_MS
        assert any(passed.is_sender_report for passed in engine.relay.to_clients)
        await playing.call("drop")
