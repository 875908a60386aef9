"""Chromium and Firefox publish by WHIP and play each other by WHEP, with every codec each has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser_lab import Place
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOTH = ("chromium", "firefox")


@pytest.mark.parametrize(
    ("codec", "publishers", "receivers"),
    [
        ("video/VP8", BOTH, BOTH),
        ("video/VP9", BOTH, BOTH),
        ("video/AV1", BOTH, BOTH),
        ("video/H264", ("chromium",), ("chromium",)),  # Firefox's comes from its maker at run time, so not here
    ],
)
async def test_browsers_see_and_hear_each_other(
    open_tab: OpenTab, place: Place, codec: str, publishers: tuple[str, ...], receivers: tuple[str, ...]
) -> None:
    tabs = {name: await open_tab(name) for name in BOTH}
    sources = {}
    for name in publishers:
        sources[name] = await tabs[name].publish(place.whip, await place.token(), codec=codec)
    pairs = [(publisher, receiver) for publisher in publishers for receiver in receivers]
    for publisher, receiver in pairs:
        await tabs[receiver].play(sources[publisher], await place.token(), name=f"from {publisher}")
    for publisher, receiver in pairs:
        seen = await tabs[receiver].until_decoding(f"from {publisher}")
        assert (seen["state"], seen["pair"]) == ("connected", True)
        assert (seen["video"]["codec"], seen["audio"]["codec"]) == (codec, "audio/opus")
        assert seen["video"]["frameWidth"] > 0
        again = await tabs[receiver].until_decoding(f"from {publisher}", since=seen["video"]["framesDecoded"])
        assert again["audio"]["totalAudioEnergy"] > seen["audio"]["totalAudioEnergy"]
