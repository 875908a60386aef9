"""Asking how well packets get through to clients of meetings, who are told how good everybody's connection is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta

from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.ids import RoomId
from signalling.domain.link import Link
from signalling.homes import Homes
from signalling.media import FIGURES_TIMEOUT, MediaError

ASK_EVERY = timedelta(seconds=5)
"""Each answer takes the loop and a worker a few tens of microseconds; clients hear of it as often."""

AT_ONCE = 32
"""So many connections are asked together: the loop has time for others in between, and workers for commands."""


class Linking:
    """Knows how good the links of clients in these rooms are."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], homes: Homes) -> None:
        self._rooms = rooms
        self._homes = homes

    async def follow(self) -> None:
        """Asks again and again."""
        while True:
            await asyncio.sleep(ASK_EVERY.total_seconds())
            await self.ask()

    async def ask(self) -> None:
        """Asks the engine for all clients; who gives no answer keeps what was known."""
        hanging = self._homes.to_avoid()
        rooms = [room for room in self._rooms.values() if room.media and hanging.isdisjoint(room.media.workers)]
        asked = [opened for room in rooms for opened in room.open.values() if opened.client]
        for at in range(0, len(asked), AT_ONCE):
            # Where one does not answer in time, its worker has begun to hang: the next time that is left out.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIGURES_TIMEOUT.total_seconds()):
                    await asyncio.gather(*map(_ask, asked[at : at + AT_ONCE]))


async def _ask(connection: OpenConnection) -> None:
    with contextlib.suppress(MediaError):
        links = [await transport.link() for transport in tuple(connection.transports)]
        connection.link = sum(links, start=Link())
