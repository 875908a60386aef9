"""What is needed of the store, and how it fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.rights import Rights
from signalling.domain.room import Room


class StoreUnusableError(Exception):
    """The store cannot be opened. The message is one clear line for the operator."""


class StoreUnavailableError(Exception):
    """What was asked is not written down, or not known to be; the message says why, and names nobody."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was found at the start.

    Attributes:
        rooms: all rooms, oldest first, with who was removed from them, and whose rights were changed.
        is_new: whether no server has gone on from it yet: it cannot know of rooms that a media process still has.
    """

    rooms: Sequence[Room]
    is_new: bool


class RoomStore(Protocol):
    """Rooms on disk. What is awaited here is there after a crash of the machine, or was not done.

    Each raises `StoreUnavailableError` when the disk takes nothing, or takes too long. Then the room is as it was; but
    a removal and a change of rights are still carried out late, and so is a deletion that was at its last step.
    """

    async def load(self) -> Stored:
        """Reads everything."""

    async def take_into_use(self) -> None:
        """Takes note that it knows of every room from now on; harmless when it did."""

    async def add(self, room: Room) -> None:
        """Writes a room down.

        Raises:
            RefusedError: there is a room of that name.
        """

    async def describe(self, room: RoomId, metadata: str) -> None:
        """Writes something else on a room; of no effect when there is none."""

    async def delete(self, room: RoomId) -> None:
        """Erases a room and all that is known of anybody in it; harmless when there is none."""

    async def remove(
        self, room: RoomId, participant: ParticipantId, *, at: datetime, forgotten: ParticipantId | None
    ) -> None:
        """Writes down that somebody may not come back.

        Args:
            room: the room.
            participant: who.
            at: since when.
            forgotten: who may come back for that, if anybody.
        """

    async def grant(
        self, room: RoomId, participant: ParticipantId, rights: Rights, *, forgotten: Collection[ParticipantId]
    ) -> None:
        """Writes down that somebody's rights were changed.

        Args:
            room: the room.
            participant: who.
            rights: what they may since.
            forgotten: whose rights no older token can contradict any more.
        """

    def see(self, room: RoomId, participant: ParticipantId, *, at: datetime) -> None:
        """Takes note that somebody came in; it is written down soon, and nobody waits for it."""
