"""Looking whether media flows: asks every connection what it counts, and tells whoever holds one what does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.flow import LOOK_EVERY, VOICES_FORWARDED, Cause, Flows, Link, Observed, Reading
from signalling.domain.ids import RoomId
from signalling.homes import Homes
from signalling.media import FIGURES_TIMEOUT, MediaError

log = structlog.get_logger(__name__)

AT_ONCE = 32
"""So many connections are asked together: the loop has time for others in between, and workers for commands."""


class Flowing:
    """Looks after what flows in these rooms."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], homes: Homes, *, steady: Callable[[], timedelta]) -> None:
        self._rooms = rooms
        self._homes = homes
        self._steady = steady
        self._flows = Flows()

    async def follow(self, on_look: Callable[[Observed], object]) -> None:
        """Looks again and again; where a look takes long, as long as it took is left to others."""
        while True:
            began = self._steady()
            on_look(await self.look())
            took = self._steady() - began
            await asyncio.sleep(max(LOOK_EVERY - took, took).total_seconds())

    async def look(self) -> Observed:
        """Asks all connections, decides, and tells their holders what has changed."""
        hanging = self._homes.to_avoid()
        rooms = list(self._rooms.values())
        is_well = [room.media is not None and hanging.isdisjoint(room.media.workers) for room in rooms]
        asked = [c for room, well in zip(rooms, is_well, strict=True) if well for c in room.open.values()]
        answers: dict[str, Reading | None] = {}
        for at in range(0, len(asked), AT_ONCE):
            group = asked[at : at + AT_ONCE]
            # Where one does not answer in time, its worker has begun to hang: the next look leaves that out.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIGURES_TIMEOUT.total_seconds()):
                    readings = await asyncio.gather(*map(_reading, group))
                answers.update(zip((c.resource for c in group), readings, strict=True))
        # What was opened or ended meanwhile is there or gone; who was not asked is there without an answer.
        there: dict[str, OpenConnection] = {c.resource: c for room in self._rooms.values() for c in room.open.values()}
        crowded = {name for room in self._rooms.values() if _voices(room) > VOICES_FORWARDED for name in room.open}
        readings_of_all = {name: answers.get(name) for name in there}
        observed = self._flows.observe(readings_of_all, crowded=crowded, now=self._steady())
        for name, stalled in observed.changed.items():
            there[name].watch.stall(stalled)
        self._log(observed)
        return observed

    def _log(self, observed: Observed) -> None:
        """Tells of what is our own fault; what a remote or its network does is in the metrics."""
        ours = sum(stall.cause is Cause.NOT_FORWARDED and stall.lasted is None for stall in observed.stalls)
        if ours:
            log.error("media arrives and is not forwarded: please report it", component="media", count=ours)


async def _reading(connection: OpenConnection) -> Reading | None:
    if connection.ending is not None:
        return None
    try:
        readings = [await transport.reading() for transport in connection.transports]
    except MediaError:
        return None
    connection.reading = Reading(
        connected=bool(readings) and all(reading.connected for reading in readings),
        arriving=tuple(track for reading in readings for track in reading.arriving),
        leaving=tuple(track for reading in readings for track in reading.leaving),
        link=sum((reading.link for reading in readings), start=Link()),
    )
    return connection.reading


def _voices(room: OpenRoom) -> int:
    publications = (c.publication for c in room.connections() if c.publication is not None)
    return sum(track.kind == "audio" for publication in publications for track in publication.tracks)
