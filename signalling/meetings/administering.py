"""What an administrating system changes in meetings: rights are taken away before the answer, then clients are told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo
from livekit.protocol.rtc import UpdateSubscription

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.faults import NotFoundError, RefusedError
from signalling.meetings.client import Client
from signalling.meetings.conference import Conference
from signalling.meetings.downlink import LOSSY, RELIABLE
from signalling.meetings.edge import LiveMeetings
from signalling.rooms import Rooms
from signalling.rtc import requests
from signalling.rtc.infos import participant_info, with_permission
from signalling.rtc.words import MAX_WORDS, length_of, written_over


class Administering:
    """Changes who is in these meetings, and what they may."""

    def __init__(self, rooms: Rooms, meetings: LiveMeetings) -> None:
        self._rooms = rooms
        self._meetings = meetings

    async def infos(self, room: RoomId) -> list[ParticipantInfo]:
        """Describes everybody in a room, in order of arrival."""
        found = self._rooms.room(room)
        conference = self._meetings.find(room)
        if conference is not None:
            return [person.info() for person in conference.meeting.people.values()]
        return [participant_info(found, seat) for seat in self._rooms.roster(room)]

    async def update_participant(
        self,
        room: RoomId,
        participant: ParticipantId,
        *,
        name: str | None,
        metadata: str | None,
        attributes: Mapping[str, str] | None,
        permission: ParticipantPermission | None,
    ) -> ParticipantInfo:
        """Changes what somebody is called and may. What flows by lost rights has ended when this returns.

        Raises:
            NotFoundError: no client of that id is in the room.
            RefusedError: the rights of too many were changed in this room, or there are too many attributes.
            EngineLateError: not all of it has ended yet.
            StoreUnavailableError: the rights are changed, but that is not written down.
        """
        conference, client = self._client(room, participant)
        before = conference.meeting.client(client.sid).grant
        grant = before if permission is None else with_permission(before, permission)
        written = written_over(before.attributes, attributes or {})
        if attributes and length_of(written) > MAX_WORDS:
            raise RefusedError(Refusal.ATTRIBUTES_TOO_LONG)
        grant = replace(
            grant,
            name=before.name if name is None else name,
            metadata=before.metadata if metadata is None else metadata,
            attributes=written,
        )
        changed = self._rooms.change_rights(room, grant) if permission is not None else None
        try:
            await conference.change(client, grant)
        finally:
            if changed is not None:
                await changed
        self._meetings.renew(conference, client)
        if (person := conference.meeting.people.get(client.sid)) is None:
            raise NotFoundError("participant")
        return person.info()

    async def mute_track(self, room: RoomId, participant: ParticipantId, track_sid: str, *, muted: bool) -> TrackInfo:
        """Has nothing of a track flow, or lets it flow again; its publisher is told.

        Raises:
            NotFoundError: no client of that id is in the room, or it sends no such track.
        """
        conference, client = self._client(room, participant)
        if track_sid not in conference.meeting.client(client.sid).publishing.tracks:
            raise NotFoundError("track")
        await conference.mute(client, track_sid, muted=muted)
        announced = conference.meeting.client(client.sid).publishing.tracks.get(track_sid)
        if announced is None:
            raise NotFoundError("track")
        return announced.info

    async def update_subscriptions(
        self, room: RoomId, participant: ParticipantId, track_sids: Collection[str], *, subscribe: bool
    ) -> None:
        """Takes on somebody's behalf what they want to receive, or no more.

        Raises:
            NotFoundError: no client of that id is in the room.
        """
        conference, client = self._client(room, participant)
        requests.subscribe(
            conference.meeting, client.sid, UpdateSubscription(track_sids=track_sids, subscribe=subscribe)
        )
        client.stirred.set()
        conference.look_at_qualities()
        conference.settle()

    async def send_data(
        self,
        room: RoomId,
        payload: bytes,
        *,
        reliable: bool,
        identities: Collection[str],
        sids: Collection[str],
        topic: str,
    ) -> None:
        """Sends a message from the server; whoever cannot hear it now does without."""
        self._rooms.room(room)
        if (conference := self._meetings.find(room)) is None:
            return
        label = RELIABLE if reliable else LOSSY
        for client in tuple(conference.clients.values()):
            identity = client.connection.connection.participant
            if (not identities and not sids) or identity in identities or client.sid in sids:
                await conference.talking.say(client, label=label, topic=topic, payload=payload)

    async def update_metadata(self, room: RoomId, metadata: str) -> None:
        """Writes something else on a room, on disk too, and tells everybody in it."""
        await self._rooms.describe(room, metadata)
        if (conference := self._meetings.find(room)) is not None:
            conference.meeting.tell_room()
            conference.settle()

    def _client(self, room: RoomId, participant: ParticipantId) -> tuple[Conference, Client]:
        self._rooms.room(room)
        conference = self._meetings.find(room)
        person = conference.meeting.find(participant) if conference is not None else None
        client = conference.clients.get(person.sid) if conference is not None and person is not None else None
        if conference is None or client is None:
            raise NotFoundError("participant")
        return conference, client
