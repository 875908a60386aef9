"""Rooms, participants and tracks as LiveKit's SDKs know them: the domain's values, as protobufs.

Their ids (`sid`) are made of ours, so that they are the same in every answer, and after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from livekit.protocol import models
from livekit.protocol.rtc import SignalResponse, SubscribedQuality, SubscribedQualityUpdate

from signalling.domain.grants import Grant, Kind, Source
from signalling.domain.ids import ParticipantId, PublicationId, RoomId
from signalling.domain.room import PublishedTrack, Room, Seat

SID_DIGITS = 24  # 96 bits: as many as the random part of a room's id.

KINDS = {
    Kind.STANDARD: models.ParticipantInfo.Kind.STANDARD,
    Kind.INGRESS: models.ParticipantInfo.Kind.INGRESS,
    Kind.EGRESS: models.ParticipantInfo.Kind.EGRESS,
    Kind.SIP: models.ParticipantInfo.Kind.SIP,
    Kind.AGENT: models.ParticipantInfo.Kind.AGENT,
    Kind.CONNECTOR: models.ParticipantInfo.Kind.CONNECTOR,
    Kind.BRIDGE: models.ParticipantInfo.Kind.BRIDGE,
}
SOURCES = {
    Source.CAMERA: models.TrackSource.CAMERA,
    Source.MICROPHONE: models.TrackSource.MICROPHONE,
    Source.SCREEN_SHARE: models.TrackSource.SCREEN_SHARE,
    Source.SCREEN_SHARE_AUDIO: models.TrackSource.SCREEN_SHARE_AUDIO,
}
SOUND = "audio/opus"
"""How sound is encoded, whoever sends it. livekit-client decrypts nothing of which that is not said."""
_TYPES = {"audio": models.TrackType.AUDIO, "video": models.TrackType.VIDEO}


def room_sid(room: RoomId) -> str:
    """Returns the sid of a room."""
    return _sid("RM_", room)


def participant_sid(room: RoomId, participant: ParticipantId) -> str:
    """Returns the sid of a participant, which is another one in each room."""
    return _sid("PA_", room, participant)


def track_sid(publication: PublicationId, track: PublishedTrack) -> str:
    """Returns the sid of a track; the engine's names for tracks begin again with it, so that alone they are none."""
    return _sid("TR_", publication, track.track)


def name_of(room: Room) -> str:
    """Returns what LiveKit's SDKs call the room: its name, or its id where it has none."""
    return room.name or room.room


def room_info(room: Room, roster: Sequence[Seat]) -> models.Room:
    """Describes a room, with those who have a seat in it."""
    return room_of(room, people=len(roster), publishers=sum(bool(seat.publishes) for seat in roster))


def room_of(room: Room, *, people: int, publishers: int) -> models.Room:
    """Describes a room, with so many in it. It has no time-outs: it is there until it is deleted."""
    return models.Room(
        sid=room_sid(room.room),
        name=name_of(room),
        max_participants=room.policy.max_participants,
        metadata=room.metadata,
        creation_time=int(room.created_at.timestamp()),
        creation_time_ms=int(room.created_at.timestamp() * 1_000),
        num_participants=people,
        num_publishers=publishers,
    )


def participant_info(
    room: Room,
    seat: Seat,
    *,
    grant: Grant | None = None,
    state: models.ParticipantInfo.State = models.ParticipantInfo.State.JOINED,
    version: int = 1,
) -> models.ParticipantInfo:
    """Describes whoever has a seat in a room.

    Args:
        room: where.
        seat: who, since when, and what they send.
        grant: what they may, where that is at hand; what they are called is in it, too.
        state: JOINED where nobody has looked whether their media flows.
        version: SDKs pass over one that is not above what they have.
    """
    info = models.ParticipantInfo(
        sid=participant_sid(room.room, seat.participant),
        identity=seat.participant,
        state=state,
        tracks=[track_info(p.publication, track) for p in seat.publishes for track in p.tracks],
        joined_at=int(seat.joined_at.timestamp()),
        joined_at_ms=int(seat.joined_at.timestamp() * 1_000),
        version=version,
        is_publisher=bool(seat.publishes),
    )
    if grant is not None:
        info.name, info.metadata, info.kind = grant.name, grant.metadata, KINDS[grant.kind]
        info.attributes.update(grant.attributes)
        info.permission.CopyFrom(permission(grant))
    return info


def track_info(publication: PublicationId, track: PublishedTrack) -> models.TrackInfo:
    """Describes a track. A WHIP offer does not say what it shows: most are of a camera with its microphone."""
    source = models.TrackSource.CAMERA if track.kind == "video" else models.TrackSource.MICROPHONE
    mime = SOUND if track.kind == "audio" else f"video/{track.codec}" if track.codec is not None else ""
    return models.TrackInfo(sid=track_sid(publication, track), type=_TYPES[track.kind], source=source, mime_type=mime)


def wanted_qualities(track: models.TrackInfo, qualities: Sequence[SubscribedQuality]) -> SignalResponse:
    """Tells the publisher of a picture which of its encodings anybody wants; where its codec is known, also by that."""
    update = SubscribedQualityUpdate(track_sid=track.sid, subscribed_qualities=qualities)
    codec = track.mime_type.rpartition("/")[2].lower()
    if codec:
        update.subscribed_codecs.add(codec=codec, qualities=qualities)
    return SignalResponse(subscribed_quality_update=update)


def permission(grant: Grant) -> models.ParticipantPermission:
    """Says what a participant may. It never says hidden: everybody is in the roster."""
    return models.ParticipantPermission(
        can_subscribe=grant.can_subscribe,
        can_publish=grant.can_publish,
        can_publish_data=grant.can_publish_data,
        can_publish_sources=[kind for source, kind in SOURCES.items() if source in (grant.sources or ())],
        can_update_metadata=grant.can_update_own_metadata,
    )


def with_permission(grant: Grant, permission: models.ParticipantPermission) -> Grant:
    """Returns the same grant with these rights instead. What somebody is besides, such as hidden, stays as it was."""
    listed = permission.can_publish_sources
    return replace(
        grant,
        can_subscribe=permission.can_subscribe,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        # As in a token they narrow what may be published, and one that means nothing here allows nothing.
        sources=frozenset(source for source, kind in SOURCES.items() if kind in listed) if listed else None,
        can_update_own_metadata=permission.can_update_metadata,
    )


def _sid(prefix: str, *parts: str) -> str:
    # No id has a line end in it, so that no two lists of parts are the same text.
    return prefix + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:SID_DIGITS]
