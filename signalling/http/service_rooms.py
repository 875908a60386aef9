"""RoomService, of rooms: made, listed, written on, ended."""

from __future__ import annotations

import contextlib

from livekit.protocol import models
from livekit.protocol import room as service

from signalling.domain.grants import ServicePurpose
from signalling.domain.refusals import Refusal
from signalling.domain.room import MAX_METADATA_LENGTH, Room, RoomPolicy
from signalling.faults import NotFoundError, RefusedError
from signalling.http import administering
from signalling.http.parts import Parts
from signalling.http.service_call import Asked, Method, Methods
from signalling.rtc.infos import name_of
from signalling.rtc.twirp import Code, TwirpError

# A room lasts until it is deleted, whatever the time-outs say, which almost every caller sends.
_HEEDED = frozenset({"name", "max_participants", "metadata", "empty_timeout", "departure_timeout"})


async def _create_room(asked: Asked, wanted: service.CreateRoomRequest) -> models.Room:
    asked.check(ServicePurpose.CREATE)
    if not wanted.name:
        raise TwirpError(Code.INVALID_ARGUMENT, "name: a room made here needs one")
    unheeded = sorted({field.name for field, _ in wanted.ListFields()} - _HEEDED)
    if unheeded:
        raise TwirpError(Code.UNIMPLEMENTED, f"{', '.join(unheeded)}: this server does not do that; leave it out")
    if len(wanted.metadata) > MAX_METADATA_LENGTH:
        raise TwirpError(Code.INVALID_ARGUMENT, f"metadata: at most {MAX_METADATA_LENGTH} characters")
    most = wanted.max_participants or asked.parts.settings.rooms.max_participants
    policy = RoomPolicy(max_participants=most)
    return asked.info(await _room_called(asked.parts, wanted.name, policy, wanted.metadata))


async def _room_called(parts: Parts, name: str, policy: RoomPolicy, metadata: str) -> Room:
    """Returns the room of this name, which is made if there is none: the same call twice is no mistake."""
    while True:
        with contextlib.suppress(NotFoundError):
            return parts.rooms.names.find_lasting(name)
        try:
            return await parts.rooms.create(name=name, policy=policy, metadata=metadata)
        except RefusedError as error:
            # Somebody else is making it; else it is about to end, which can take a while.
            if error.refusal is not Refusal.NAME_TAKEN or not await parts.rooms.names.settled(name):
                raise


async def _list_rooms(asked: Asked, wanted: service.ListRoomsRequest) -> service.ListRoomsResponse:
    asked.check(ServicePurpose.LIST)
    names = set(wanted.names)
    found = [room for room in asked.parts.rooms.all() if not names or name_of(room) in names]
    return service.ListRoomsResponse(rooms=[asked.info(room) for room in found])


async def _delete_room(asked: Asked, wanted: service.DeleteRoomRequest) -> service.DeleteRoomResponse:
    asked.check(ServicePurpose.CREATE)
    await asked.parts.rooms.delete(asked.parts.rooms.names.find(wanted.room).room)
    return service.DeleteRoomResponse()


async def _update_room_metadata(asked: Asked, wanted: service.UpdateRoomMetadataRequest) -> models.Room:
    room = asked.administered(wanted.room)
    return asked.info(await administering.rewrite(asked.parts, room, wanted.metadata))


METHODS: Methods = {
    "CreateRoom": Method(service.CreateRoomRequest, _create_room),
    "ListRooms": Method(service.ListRoomsRequest, _list_rooms),
    "DeleteRoom": Method(service.DeleteRoomRequest, _delete_room),
    "UpdateRoomMetadata": Method(service.UpdateRoomMetadataRequest, _update_room_metadata),
}
