"""Meetings in memory, as those who administer them see them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo, TrackSource, TrackType

from signalling.domain.ids import ParticipantId, RoomId
from signalling.faults import NotFoundError


def anna() -> ParticipantInfo:
    """Somebody who sends sound."""
    microphone = TrackInfo(sid="TR_1", type=TrackType.AUDIO, source=TrackSource.MICROPHONE, name="mic")
    return ParticipantInfo(
        sid="PA_1",
        identity="anna",
        state=ParticipantInfo.State.ACTIVE,
        joined_at=1_795_348_800,
        tracks=[microphone],
        permission=ParticipantPermission(can_publish=True, can_subscribe=True),
    )


@dataclass
class FakeAdministered:
    """The same people in every room."""

    people: list[ParticipantInfo] = field(default_factory=lambda: [anna()])
    asked: list[tuple[object, ...]] = field(default_factory=list)
    metadata: str | None = None

    async def infos(self, room: RoomId) -> list[ParticipantInfo]:
        return self.people

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
        self.asked.append(("update", room, participant, name, metadata, attributes, permission))
        info = self._find(participant)
        info.name = info.name if name is None else name
        info.metadata = info.metadata if metadata is None else metadata
        info.attributes.update(attributes or {})
        if permission is not None:
            info.permission.CopyFrom(permission)
        return info

    async def mute_track(self, room: RoomId, participant: ParticipantId, track_sid: str, *, muted: bool) -> TrackInfo:
        self.asked.append(("mute", room, participant, track_sid, muted))
        for track in self._find(participant).tracks:
            if track.sid == track_sid:
                track.muted = muted
                return track
        raise NotFoundError("track")

    async def update_subscriptions(
        self, room: RoomId, participant: ParticipantId, track_sids: Collection[str], *, subscribe: bool
    ) -> None:
        self.asked.append(("subscribe", room, participant, list(track_sids), subscribe))
        self._find(participant)

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
        self.asked.append(("send", room, payload, reliable, list(identities), list(sids), topic))

    async def update_metadata(self, room: RoomId, metadata: str) -> None:
        self.asked.append(("metadata", room, metadata))
        self.metadata = metadata

    def _find(self, participant: ParticipantId) -> ParticipantInfo:
        for info in self.people:
            if info.identity == participant:
                return info
        raise NotFoundError("participant")
