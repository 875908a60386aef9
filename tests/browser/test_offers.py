"""Browsers answer what pysfu offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
