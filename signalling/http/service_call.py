"""One call of LiveKit's RoomService: who asks, whether they may, and what there is to answer with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic

from google.protobuf.message import Message
from livekit.protocol import models

from signalling.domain.grants import ServiceGrant, ServicePurpose, refusal_of_service
from signalling.domain.room import Room, Seat
from signalling.faults import NotFoundError, RefusedError
from signalling.http.parts import Parts
from signalling.rtc.infos import room_info
from signalling.rtc.twirp import M


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and what there is to answer with."""

    parts: Parts
    grant: ServiceGrant

    def check(self, purpose: ServicePurpose, room: str = "") -> None:
        """Lets only those go on who may, whether or not what they name exists.

        Raises:
            RefusedError: their token does not grant it.
        """
        refusal = refusal_of_service(self.grant, purpose=purpose, room=room)
        if refusal is not None:
            raise RefusedError(refusal)

    def administered(self, name: str) -> Room:
        """Finds the room that the caller administers.

        Raises:
            RefusedError: the token does not grant it, whether or not there is such a room.
            NotFoundError: there is none.
        """
        self.check(ServicePurpose.ADMINISTER, name)
        return self.parts.rooms.names.find(name)

    def seat(self, room: Room, identity: str) -> Seat:
        """Finds a participant.

        Raises:
            NotFoundError: nobody of that identity is in the room.
        """
        for seat in self.parts.rooms.roster(room.room):
            if seat.participant == identity:
                return seat
        raise NotFoundError("participant")

    def info(self, room: Room) -> models.Room:
        """Describes a room."""
        return room_info(room, self.parts.rooms.roster(room.room))


@dataclass(frozen=True, slots=True)
class Method(Generic[M]):
    """One method: what it is asked, and what it does."""

    wanted: type[M]
    act: Callable[[Asked, M], Awaitable[Message]]


Methods = dict[str, Method[Any]]
"""Methods by name."""
