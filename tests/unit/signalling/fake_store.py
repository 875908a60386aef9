"""A store in memory, for tests of everything around it; what it holds outlives the servers that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import Rights
from signalling.domain.room import Room
from signalling.faults import RefusedError
from signalling.store.base import Stored, StoreUnavailableError


@dataclass
class FakeStore:
    rooms: dict[RoomId, Room] = field(default_factory=dict)
    seen: dict[tuple[RoomId, ParticipantId], datetime] = field(default_factory=dict)
    is_new: bool = False
    unavailable: bool = False
    held: asyncio.Event | None = None

    async def load(self) -> Stored:
        return Stored(rooms=[_copy(room) for room in self.rooms.values()], is_new=self.is_new)

    async def take_into_use(self) -> None:
        await self._write()
        self.is_new = False

    async def add(self, room: Room) -> None:
        await self._write()
        if room.name is not None and room.name in {other.name for other in self.rooms.values()}:
            raise RefusedError(Refusal.NAME_TAKEN)
        self.rooms[room.room] = _copy(room)

    async def describe(self, room: RoomId, metadata: str) -> None:
        await self._write()
        if room in self.rooms:
            self.rooms[room].metadata = metadata

    async def delete(self, room: RoomId) -> None:
        await self._write()
        self.rooms.pop(room, None)

    async def remove(
        self, room: RoomId, participant: ParticipantId, *, at: datetime, forgotten: ParticipantId | None
    ) -> None:
        await self._write()
        if room in self.rooms:
            self.rooms[room].remove(participant)
            assert forgotten is None or forgotten not in self.rooms[room].removed

    async def grant(
        self, room: RoomId, participant: ParticipantId, rights: Rights, *, forgotten: Collection[ParticipantId]
    ) -> None:
        await self._write()
        if room in self.rooms:
            for gone in forgotten:
                self.rooms[room].rights.pop(gone, None)
            self.rooms[room].rights[participant] = rights

    def see(self, room: RoomId, participant: ParticipantId, *, at: datetime) -> None:
        self.seen[room, participant] = at

    async def _write(self) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.unavailable:
            raise StoreUnavailableError("the disk is full: make room there")


def _copy(room: Room) -> Room:
    return replace(room, removed=dict(room.removed), rights=dict(room.rights))
