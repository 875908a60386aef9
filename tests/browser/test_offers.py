"""Browsers answer what pysfu offers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser_lab import until

from pysfu import TransportState

if TYPE_CHECKING:
    from browser_lab import Engine
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_browsers_that_answer_our_offers_see_and_hear_each_other(open_tab: OpenTab, engine: Engine) -> None:
    krom, fox = await open_tab("chromium"), await open_tab("firefox")
    alice, bob = await engine.room.add_participant(), await engine.room.add_participant()
    offered = await alice.offer(publish=("audio", "video"))
    speaking = await offered.accept(await krom.call("answer", "out", offered.sdp))
    # Both ways over one connection.
    offered = await bob.offer(play=speaking.tracks, publish=("video", "audio"))
    meeting = await offered.accept(await fox.call("answer", "both", offered.sdp))
    offered = await alice.offer(play=meeting.tracks)
    await offered.accept(await krom.call("answer", "in", offered.sdp))
    for listener, tracks in ((bob, speaking.tracks), (alice, meeting.tracks)):
        assert sorted(track.kind for track in tracks) == ["audio", "video"]
        for track in tracks:
            await listener.allow(track)
    for tab, name in ((krom, "in"), (fox, "both")):
        seen = await tab.until_decoding(name, frames=30)
        assert (seen["state"], seen["pair"]) == ("connected", True)
        assert seen["video"]["frameWidth"] > 0


TIMES = 60


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browser_sees_what_later_offers_of_ours_bring_and_their_size_has_an_end(
    open_tab: OpenTab, engine: Engine, browser: str
) -> None:
    krom, tab = await open_tab("chromium"), await open_tab(browser)
    alice, bob = await engine.room.add_participant(), await engine.room.add_participant()
    offered = await alice.offer(publish=("audio", "video"))
    speaking = await offered.accept(await krom.call("answer", "out", offered.sdp))
    audio, video = sorted(speaking.tracks, key=lambda track: track.kind)
    offered = await bob.offer(play=[audio, video])
    meeting = await offered.accept(await tab.call("answer", "in", offered.sdp))
    for track in (audio, video):
        await bob.allow(track)
    frames = (await tab.until_decoding("in"))["video"]["framesDecoded"]
    sizes, told = [], []
    for _ in range(TIMES):
        for play in ([audio], [audio, video]):
            offered = await meeting.reoffer(play)
            answer, sections = await tab.call("again", "in", offered.sdp)
            await offered.accept(answer)
            sizes.append(len(re.sub(r"(?m)^o=.*", "", offered.sdp)))  # there the offers are counted
            told.append(len(sections))
    assert told == [0, 1] * TIMES, "the page hears of each time that the picture comes"
    assert sizes[-2:] == sizes[2:4], "nothing is added"
    assert len(meeting.playing) == 2
    await tab.until_decoding("in", since=frames)
    assert meeting.state is TransportState.CONNECTED


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browser_that_sends_one_thing_after_the_other_is_answered_each_time_and_its_offers_have_an_end(
    open_tab: OpenTab, engine: Engine, browser: str
) -> None:
    tab, krom = await open_tab(browser), await open_tab("chromium")
    alice, bob = await engine.room.add_participant(), await engine.room.add_participant()
    sending = await alice.answer(await tab.call("offering", "out"), data=True)
    await tab.call("answered", "out", sending.sdp)
    sizes = []
    for _ in range(TIMES):
        for kind in ("audio", "video"):
            offer = await tab.call("sendInstead", "out", kind)
            await tab.call("answered", "out", await sending.reanswer(offer))
            assert [track.kind for track in sending.tracks] == [kind]
            sizes.append(offer.count("m="))
    assert max(sizes) <= 4, "data, and sound and picture each in place of the one before"
    (video,) = sending.tracks
    await sending.connected()
    offered = await bob.offer(play=[video])
    await offered.accept(await krom.call("answer", "in", offered.sdp))
    await bob.allow(video)

    async def seen() -> bool:
        return bool((await krom.figures("in"))["video"]["framesDecoded"] >= 10)

    await until(seen)
