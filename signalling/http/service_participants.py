"""RoomService, of those who are in a room: listed, changed, muted, removed, sent messages."""

from __future__ import annotations

from livekit.protocol import models
from livekit.protocol import room as service

from signalling.http import administering
from signalling.http.administering import Change
from signalling.http.rooms import remove_from
from signalling.http.service_call import Asked, Method, Methods


async def _list_participants(asked: Asked, wanted: service.ListParticipantsRequest) -> service.ListParticipantsResponse:
    room = asked.administered(wanted.room)
    return service.ListParticipantsResponse(participants=await asked.parts.administered.infos(room.room))


async def _get_participant(asked: Asked, wanted: service.RoomParticipantIdentity) -> models.ParticipantInfo:
    return await administering.info(asked.parts, asked.administered(wanted.room), wanted.identity)


async def _remove_participant(
    asked: Asked, wanted: service.RoomParticipantIdentity
) -> service.RemoveParticipantResponse:
    room = asked.administered(wanted.room)
    await remove_from(asked.parts, room.room, asked.seat(room, wanted.identity).participant)
    return service.RemoveParticipantResponse()


async def _update_participant(asked: Asked, wanted: service.UpdateParticipantRequest) -> models.ParticipantInfo:
    room = asked.administered(wanted.room)
    change = Change(
        name=wanted.name or None,
        metadata=wanted.metadata or None,
        attributes=dict(wanted.attributes) or None,
        permission=wanted.permission if wanted.HasField("permission") else None,
    )
    return await administering.change(asked.parts, room, wanted.identity, change)


async def _mute_published_track(asked: Asked, wanted: service.MuteRoomTrackRequest) -> service.MuteRoomTrackResponse:
    room = asked.administered(wanted.room)
    track = await administering.mute(asked.parts, room, wanted.identity, wanted.track_sid, muted=wanted.muted)
    return service.MuteRoomTrackResponse(track=track)


async def _update_subscriptions(
    asked: Asked, wanted: service.UpdateSubscriptionsRequest
) -> service.UpdateSubscriptionsResponse:
    room = asked.administered(wanted.room)
    tracks = [*wanted.track_sids, *(sid for each in wanted.participant_tracks for sid in each.track_sids)]
    await administering.subscribe(asked.parts, room, wanted.identity, tracks, wanted=wanted.subscribe)
    return service.UpdateSubscriptionsResponse()


async def _send_data(asked: Asked, wanted: service.SendDataRequest) -> service.SendDataResponse:
    room = asked.administered(wanted.room)
    await administering.send(
        asked.parts,
        room,
        wanted.data,
        reliable=wanted.kind == models.DataPacket.Kind.RELIABLE,
        identities=wanted.destination_identities,
        sids=wanted.destination_sids,
        topic=wanted.topic,
    )
    return service.SendDataResponse()


METHODS: Methods = {
    "ListParticipants": Method(service.ListParticipantsRequest, _list_participants),
    "GetParticipant": Method(service.RoomParticipantIdentity, _get_participant),
    "RemoveParticipant": Method(service.RoomParticipantIdentity, _remove_participant),
    "UpdateParticipant": Method(service.UpdateParticipantRequest, _update_participant),
    "MutePublishedTrack": Method(service.MuteRoomTrackRequest, _mute_published_track),
    "UpdateSubscriptions": Method(service.UpdateSubscriptionsRequest, _update_subscriptions),
    "SendData": Method(service.SendDataRequest, _send_data),
}
