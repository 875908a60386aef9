"""What passes a relay: that packets come, and that none come any more once it was said so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from callers import Meeting, until
from relay import Relay

A_WHILE_S = 1.0  # In it a publisher of pictures and sound sends about 80 packets.
MANY = 40  # packets


async def flows(*relays: Relay) -> None:
    """Waits until packets come."""
    for relay in relays:
        now_ns = time.time_ns()
        await until(lambda relay=relay, now_ns=now_ns: relay.rtp_to_clients(now_ns) >= MANY, "packets")


async def ends(take_away: Callable[[], Awaitable[object]], *relays: Relay) -> None:
    """Takes a right away, and counts what the engine sends after it has said that this is done."""
    await take_away()
    await nothing_comes(*relays)


async def nothing_comes(*relays: Relay) -> None:
    """Counts what the engine sends from now on, for a while."""
    now_ns = time.time_ns()
    await asyncio.sleep(A_WHILE_S)
    assert [relay.rtp_to_clients(now_ns) for relay in relays] == [0] * len(relays)


async def nothing_passed_unallowed(room: Meeting) -> None:
    """Asks the engine, which counts by a second table of rights what it sends."""
    figures = (await room.http.get("/metrics")).text
    assert "\nsfu_unauthorized_forward_total 0.0\n" in figures
