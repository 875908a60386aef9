"""What happens in rooms, as the webhooks that LiveKit's server SDKs read."""

from __future__ import annotations

from dataclasses import replace

from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from signalling.domain.happenings import (
    Happening,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    RoomFinished,
    RoomStarted,
    Seated,
    Shown,
    TrackPublished,
    TrackUnpublished,
)
from signalling.domain.notices import Reason
from signalling.domain.room import Room
from signalling.rtc.greeting import CODECS, reason_of
from signalling.rtc.infos import SOURCES, participant_info, room_info, track_info

NAMES: dict[type[Happening], str] = {
    RoomStarted: "room_started",
    RoomFinished: "room_finished",
    ParticipantJoined: "participant_joined",
    ParticipantLeft: "participant_left",
    ParticipantAborted: "participant_connection_aborted",
    TrackPublished: "track_published",
    TrackUnpublished: "track_unpublished",
}
_State = models.ParticipantInfo.State
_FINISHED = {
    Reason.ROOM_DELETED: models.RoomEndReason.ROOM_END_API_DELETE,
    Reason.STOPPING: models.RoomEndReason.ROOM_END_SERVER_SHUTDOWN,
}


def event_of(happening: Happening, *, words: bool) -> WebhookEvent:
    """Describes what has happened; the id of the event is left to whoever tells it.

    Args:
        happening: what.
        words: whether it says what others wrote: names of people and tracks, metadata, attributes.

    Raises:
        ValueError: these words are no Unicode, and cannot be written.
    """
    room = happening.room if words else replace(happening.room, metadata="")
    event = WebhookEvent(event=NAMES[type(happening)], created_at=int(happening.at.timestamp()))
    event.room.CopyFrom(room_info(room, happening.roster))
    match happening:
        case RoomStarted():
            pass
        case RoomFinished():
            event.room_end_reason = _FINISHED.get(happening.reason, models.RoomEndReason.ROOM_END_UNKNOWN)
        case ParticipantJoined():
            event.participant.CopyFrom(_participant(room, happening.who, words=words))
        case ParticipantLeft() | ParticipantAborted():
            gone = _participant(room, happening.who, state=_State.DISCONNECTED, words=words)
            gone.disconnect_reason = reason_of(happening.reason)
            event.participant.CopyFrom(gone)
        case TrackPublished() | TrackUnpublished():
            event.participant.CopyFrom(_participant(room, happening.who, words=words))
            event.track.CopyFrom(_track(happening.track, words=words))
    return event


def _participant(
    room: Room, who: Seated, *, state: models.ParticipantInfo.State = _State.JOINED, words: bool
) -> models.ParticipantInfo:
    grant = who.grant
    if grant is not None and not words:
        grant = replace(grant, name="", metadata="", attributes={})
    info = participant_info(room, who.seat, grant=grant, state=state)
    info.ClearField("tracks")  # each has events of its own
    if who.sid is not None:
        info.sid = who.sid
    return info


def _track(shown: Shown, *, words: bool) -> models.TrackInfo:
    info = track_info(shown.publication, shown.track)
    info.muted = shown.muted
    if shown.sid is not None:
        info.sid = shown.sid
    if shown.source is not None:
        info.source = SOURCES[shown.source]
    if words:
        info.name = shown.name
    if words or shown.mime in CODECS:  # its publisher says it, who may write anything there
        info.mime_type = shown.mime
    return info
