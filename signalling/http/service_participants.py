"""RoomService, of those who are in a room: listed, found, removed."""

from __future__ import annotations

from livekit.protocol import models
from livekit.protocol import room as service

from signalling.http.rooms import remove_from
from signalling.http.service_call import Asked, Method, Methods
from signalling.rtc.infos import participant_info


async def _list_participants(asked: Asked, wanted: service.ListParticipantsRequest) -> service.ListParticipantsResponse:
    room = asked.administered(wanted.room)
    seats = asked.parts.rooms.roster(room.room)
    return service.ListParticipantsResponse(participants=[participant_info(room, seat) for seat in seats])


async def _get_participant(asked: Asked, wanted: service.RoomParticipantIdentity) -> models.ParticipantInfo:
    room = asked.administered(wanted.room)
    return participant_info(room, asked.seat(room, wanted.identity))


async def _remove_participant(
    asked: Asked, wanted: service.RoomParticipantIdentity
) -> service.RemoveParticipantResponse:
    room = asked.administered(wanted.room)
    await remove_from(asked.parts, room.room, asked.seat(room, wanted.identity).participant)
    return service.RemoveParticipantResponse()


METHODS: Methods = {
    "ListParticipants": Method(service.ListParticipantsRequest, _list_participants),
    "GetParticipant": Method(service.RoomParticipantIdentity, _get_participant),
    "RemoveParticipant": Method(service.RoomParticipantIdentity, _remove_participant),
}
