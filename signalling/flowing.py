"""Telling whoever holds a connection what of it does not flow, as the engine finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.flow import LOOK_EVERY, Cause, Flows, Observed, Still
from signalling.domain.ids import RoomId

log = structlog.get_logger(__name__)


class Flowing:
    """Looks after what flows in these rooms. Nothing is asked of the engine: what it tells is at the tracks."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], *, steady: Callable[[], timedelta]) -> None:
        self._rooms = rooms
        self._steady = steady
        self._flows = Flows()

    async def follow(self, on_look: Callable[[Observed], object]) -> None:
        """Looks again and again."""
        while True:
            on_look(self.look())
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    def look(self) -> Observed:
        """Looks at all connections, and tells their holders what has changed."""
        there: dict[str, OpenConnection] = {c.resource: c for room in self._rooms.values() for c in room.open.values()}
        still = {name: stills for name, opened in there.items() if (stills := _still(opened))}
        observed = self._flows.observe(still, now=self._steady())
        for name, stalled in observed.changed.items():
            if name in there:
                there[name].watch.stall(stalled)
        self._log(observed)
        return observed

    def _log(self, observed: Observed) -> None:
        """Tells of what is our own fault; what a remote or its network does is in the metrics."""
        ours = sum(stall.cause is Cause.NOT_FORWARDED and stall.lasted is None for stall in observed.stalls)
        if ours:
            log.error("media arrives and is not forwarded: please report it", component="media", count=ours)


def _still(connection: OpenConnection) -> list[Still]:
    if connection.ending is not None:
        return []
    return [still for transport in connection.transports for still in transport.still]
