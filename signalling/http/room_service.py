"""RoomService over Twirp: how programs manage rooms with LiveKit's server SDKs. Not affiliated with LiveKit, Inc."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from google.protobuf.message import Message
from livekit.protocol import models
from livekit.protocol import room as service

from signalling.domain.grants import ServiceGrant, ServicePurpose, refusal_of_service
from signalling.domain.refusals import Refusal
from signalling.domain.room import MAX_METADATA_LENGTH, Room, RoomPolicy, Seat
from signalling.faults import NotFoundError, RefusedError
from signalling.http.access import token_of
from signalling.http.errors import PROBLEMS, code_of, reported
from signalling.http.parts import Parts, parts_of
from signalling.http.rooms import remove_from
from signalling.rtc.infos import name_of, participant_info, room_info
from signalling.rtc.twirp import STATUS, Code, M, TwirpError, form_of, read, write

router = APIRouter(tags=["room service"], include_in_schema=False)

PREFIX = "/twirp/livekit.RoomService/"
# A room lasts until it is deleted, whatever the time-outs say, which almost every caller sends.
_HEEDED = frozenset({"name", "max_participants", "metadata", "empty_timeout", "departure_timeout"})
_CODES = {
    Refusal.TOKEN_FOR_OTHER_ROOM: Code.UNAUTHENTICATED,
    Refusal.ROOM_CREATE_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.ROOM_LIST_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.ROOM_ADMIN_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.NAME_TAKEN: Code.ALREADY_EXISTS,
    Refusal.TOO_MANY_ROOMS: Code.RESOURCE_EXHAUSTED,
}
"""What is called otherwise than its status says, as LiveKit's own server does."""
_BY_STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    503: Code.UNAVAILABLE,
}
"""What Twirp calls a status of ours; any other one is the caller's fault, and an invalid argument."""
# What LiveKit's own server does and this one does not: told by name.
_UNDONE = (
    "MutePublishedTrack",
    "UpdateParticipant",
    "UpdateSubscriptions",
    "UpdateRoomMetadata",
    "SendData",
    "PerformRpc",
    "ForwardParticipant",
    "MoveParticipant",
)
_OTHER_SERVICES = ("Egress", "Ingress", "SIP", "AgentDispatchService", "Connector", "PhoneNumberService")


@dataclass(frozen=True, slots=True)
class _Asked:
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
class _Method(Generic[M]):
    """One method: what it is asked, and what it does."""

    wanted: type[M]
    act: Callable[[_Asked, M], Awaitable[Message]]


async def _create_room(asked: _Asked, wanted: service.CreateRoomRequest) -> models.Room:
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


async def _list_rooms(asked: _Asked, wanted: service.ListRoomsRequest) -> service.ListRoomsResponse:
    asked.check(ServicePurpose.LIST)
    names = set(wanted.names)
    found = [room for room in asked.parts.rooms.all() if not names or name_of(room) in names]
    return service.ListRoomsResponse(rooms=[asked.info(room) for room in found])


async def _delete_room(asked: _Asked, wanted: service.DeleteRoomRequest) -> service.DeleteRoomResponse:
    asked.check(ServicePurpose.CREATE)
    await asked.parts.rooms.delete(asked.parts.rooms.names.find(wanted.room).room)
    return service.DeleteRoomResponse()


async def _list_participants(
    asked: _Asked, wanted: service.ListParticipantsRequest
) -> service.ListParticipantsResponse:
    room = asked.administered(wanted.room)
    seats = asked.parts.rooms.roster(room.room)
    return service.ListParticipantsResponse(participants=[participant_info(room, seat) for seat in seats])


async def _get_participant(asked: _Asked, wanted: service.RoomParticipantIdentity) -> models.ParticipantInfo:
    room = asked.administered(wanted.room)
    return participant_info(room, asked.seat(room, wanted.identity))


async def _remove_participant(
    asked: _Asked, wanted: service.RoomParticipantIdentity
) -> service.RemoveParticipantResponse:
    room = asked.administered(wanted.room)
    await remove_from(asked.parts, room.room, asked.seat(room, wanted.identity).participant)
    return service.RemoveParticipantResponse()


METHODS: dict[str, _Method[Any]] = {
    "CreateRoom": _Method(service.CreateRoomRequest, _create_room),
    "ListRooms": _Method(service.ListRoomsRequest, _list_rooms),
    "DeleteRoom": _Method(service.DeleteRoomRequest, _delete_room),
    "ListParticipants": _Method(service.ListParticipantsRequest, _list_participants),
    "GetParticipant": _Method(service.RoomParticipantIdentity, _get_participant),
    "RemoveParticipant": _Method(service.RoomParticipantIdentity, _remove_participant),
}


def _endpoint(method: _Method[Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            form = form_of(request.headers.get("content-type"))
            parts = parts_of(request)
            asked = _Asked(parts, parts.tokens.read_service(token_of(request), now=parts.now()))
            made = await method.act(asked, read(await request.body(), form, method.wanted))
        except Exception as error:
            return _refused(error)
        return Response(write(made, form), media_type=form.value)

    return answer


async def _undone(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return _refused(TwirpError(Code.UNIMPLEMENTED, f"{name}: this server does not do that"))


async def _elsewhere(request: Request) -> Response:
    """Answers what is no method here: SDKs expect to be told of services that a server does not have."""
    called, _, _ = request.path_params["call"].partition("/")
    if called in {f"livekit.{name}" for name in _OTHER_SERVICES}:
        return _refused(TwirpError(Code.UNIMPLEMENTED, f"{called}: this server has no such service"))
    return _refused(TwirpError(Code.BAD_ROUTE, f"there is no such method; POST to {PREFIX} and one of LiveKit's"))


def _refused(error: Exception) -> Response:
    """Makes Twirp's answer of an error."""
    if isinstance(error, TwirpError):
        return _error(error.code, str(error))
    ours, detail = code_of(error)
    if ours == "internal":
        return _error(Code.INTERNAL, f"Tell your operator this number: {reported(error)}", ours)
    problem = PROBLEMS[ours]
    code = _CODES.get(Refusal(ours)) if ours in set(Refusal) else None
    told = f"{problem.title}: {detail}" if detail else problem.title
    return _error(code or _BY_STATUS.get(problem.status, Code.INVALID_ARGUMENT), told, ours)


def _error(code: Code, message: str, ours: str | None = None) -> Response:
    body = {"code": code.value, "msg": message} | ({"meta": {"code": ours}} if ours else {})
    headers = {"WWW-Authenticate": "Bearer"} if code is Code.UNAUTHENTICATED else None
    return JSONResponse(body, status_code=STATUS[code], headers=headers)


for _name, _method in METHODS.items():
    router.add_api_route(PREFIX + _name, _endpoint(_method), methods=["POST"])
for _name in _UNDONE:
    router.add_api_route(PREFIX + _name, _undone, methods=["POST"])


def install(app: FastAPI) -> None:
    """Makes `app` answer as Twirp says what is called at no method's address."""
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_api_route("/twirp/{call:path}", _elsewhere, methods=every, include_in_schema=False)
