"""Connections of real browsers restart and end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from browser_lab import until

if TYPE_CHECKING:
    from browser_lab import Place
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER = {"chromium": "firefox", "firefox": "chromium"}


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_media_goes_on_after_an_ice_restart_of_either_end(open_tab: OpenTab, place: Place, browser: str) -> None:
    publishing, playing = await open_tab(browser), await open_tab(OTHER[browser])
    source = await publishing.publish(place.whip, await place.token())
    await playing.play(source, await place.token(), name="them")
    await playing.until_decoding("them")
    for tab, name in ((publishing, "out"), (playing, "them")):
        ours, theirs, ours_now, theirs_now = await tab.call("restart", name)
        assert ours != ours_now
        assert theirs != theirs_now

        async def restarted(tab=tab, name=name) -> bool:
            found = await tab.figures(name)
            return found["ice"] in ("connected", "completed") and found["pair"]

        await until(restarted)
        seen = await playing.figures("them")
        await playing.until_decoding("them", since=seen["video"]["framesDecoded"] + 15)
    assert [seat["publishes"] != [] for seat in await place.roster()].count(True) == 1


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_whoever_leaves_is_gone_from_the_roster_and_nothing_more_comes(
    open_tab: OpenTab, place: Place, browser: str
) -> None:
    publishing, playing = await open_tab(browser), await open_tab(OTHER[browser])
    source = await publishing.publish(place.whip, await place.token())
    await playing.play(source, await place.token(), name="them")
    await playing.until_decoding("them")
    assert len(await place.roster()) == 2
    await publishing.call("close", "out")
    assert await place.roster() == []
    await asyncio.sleep(0.3)  # what was on the way
    before = await playing.figures("them")
    await asyncio.sleep(1)
    after = await playing.figures("them")
    for kind in ("audio", "video"):
        assert after[kind]["packetsReceived"] == before[kind]["packetsReceived"] > 0
