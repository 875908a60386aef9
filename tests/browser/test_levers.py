"""What a program does through pysfu is what the browser at the other end gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from browser_lab import until

if TYPE_CHECKING:
    from browser_lab import Engine, Tab
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")

STILL_S = 1.5  # A publisher sends at least 20 packets in this time.
ON_THE_WAY_S = 0.3  # What had left before reaches the browser's counters.


async def packets(tab: Tab, name: str, *kinds: str) -> list[int]:
    found = await tab.figures(name)
    return [found[kind]["packetsReceived"] for kind in kinds]


async def nothing_comes(tab: Tab, name: str, *kinds: str) -> bool:
    await asyncio.sleep(ON_THE_WAY_S)
    before = await packets(tab, name, *kinds)
    await asyncio.sleep(STILL_S)
    return await packets(tab, name, *kinds) == before


@pytest.mark.parametrize("receiver", ["chromium", "firefox"])
async def test_the_limit_of_a_track_switches_the_width_at_the_receiver(
    open_tab: OpenTab, engine: Engine, receiver: str
) -> None:
    publishing, playing = await open_tab("chromium"), await open_tab(receiver)
    await publishing.publish(engine.whip("alice"), "", width=1280, height=720, layers=True)
    await playing.play(engine.whep("bob", "alice"), "", name="alice")
    await playing.until_decoding("alice")
    track = engine.track("alice", "video")
    for encoding, width in ((2, 1280), (0, 320), (1, 640), (2, 1280), (0, 320)):
        await track.limit(engine.people["bob"], encoding=encoding)
        await playing.until_width("alice", width)
    seen = (await playing.figures("alice"))["video"]
    await playing.until_decoding("alice", since=seen["framesDecoded"])


@pytest.mark.parametrize("receiver", ["chromium", "firefox"])
async def test_muting_and_revoking_stop_every_packet_and_undoing_it_lets_them_flow(
    open_tab: OpenTab, engine: Engine, receiver: str
) -> None:
    publishing, playing = await open_tab("chromium"), await open_tab(receiver)
    await publishing.publish(engine.whip("alice"), "")
    await playing.play(engine.whep("bob", "alice"), "", name="alice")
    await playing.until_decoding("alice")
    video, audio = engine.track("alice", "video"), engine.track("alice", "audio")
    bob = engine.people["bob"]

    async def flows(since: int) -> None:
        await playing.until_decoding("alice", since=since)

    await video.mute()
    heard = await packets(playing, "alice", "audio")
    assert await nothing_comes(playing, "alice", "video")
    seen = await playing.figures("alice")
    assert seen["audio"]["packetsReceived"] > heard[0] + 20
    await video.unmute()
    await flows(seen["video"]["framesDecoded"])

    await asyncio.gather(bob.revoke(video), bob.revoke(audio))
    assert await nothing_comes(playing, "alice", "video", "audio")
    seen = await playing.figures("alice")
    await bob.allow(video)
    await bob.allow(audio)
    await flows(seen["video"]["framesDecoded"])
    await until(lambda: _more(playing, "alice", seen["audio"]["packetsReceived"]))


async def _more(tab: Tab, name: str, than: int) -> bool:
    return (await packets(tab, name, "audio"))[0] > than
