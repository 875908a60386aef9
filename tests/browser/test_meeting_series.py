"""A long call in which livekit-client publishes and unpublishes again and again: nothing grows without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser_lab import until

if TYPE_CHECKING:
    from browser_lab import Place
    from meeting_lab import Hall, OpenGuest

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

TIMES = 500
PART = 25
OTHER = {"chromium": "firefox", "firefox": "chromium"}


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_after_five_hundred_tracks_the_descriptions_are_as_long_as_after_a_few(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    sends, watches = await open_guest(browser, "p_sends"), await open_guest(OTHER[browser], "p_watches")
    await sends.join(hall, meeting)
    await watches.join(hall, meeting)
    lengths: list[int] = []
    for done in range(0, TIMES, PART):
        await sends.call("series", PART)

        async def all_gone(done: int = done) -> bool:
            return len(await watches.events("trackUnpublished")) == done + PART

        await watches.waits(all_gone, f"{done + PART} tracks that came and went")
        # Either end, either connection of it, either description.
        lengths.append(max(await sends.call("longest"), await watches.call("longest")))
    assert max(lengths[len(lengths) // 2 :]) <= 1.1 * lengths[0], lengths
    assert await watches.figures() == {}

    # All works as before.
    await sends.call("publish", "camera")
    await watches.until_sees("p_sends/camera")

    async def alone() -> bool:
        return [len(seat["publishes"]) for seat in await meeting.roster() if seat["participant"] == "p_sends"] == [1]

    await until(alone)
