"""Things that happen in a room, for tests of those who are told."""

from __future__ import annotations

from dataclasses import replace

from conftest import NOW

from signalling.domain.grants import Grant, Source
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
from signalling.domain.ids import ParticipantId, PublicationId, RoomId, TrackId
from signalling.domain.notices import Reason
from signalling.domain.room import Publication, PublishedTrack, Room, RoomPolicy, Seat

CANARY = "kanariefagel"
ROOM = Room(
    room=RoomId("r_1"), name="ward-7", created_at=NOW, policy=RoomPolicy(max_participants=3), metadata=f"m {CANARY}"
)
PICTURE = PublishedTrack(track=TrackId("2"), kind="video")
SENDS = Publication(publication=PublicationId("pub_1"), tracks=(PICTURE,))
SEAT = Seat(participant=ParticipantId("p_1"), joined_at=NOW, publishes=(SENDS,), receives_from=())
GRANT = Grant(
    participant=ParticipantId("p_1"),
    room=ROOM.room,
    join=True,
    can_publish=True,
    can_subscribe=True,
    issued_at=None,
    not_before=None,
    expires_at=NOW,
    name=f"Anna {CANARY}",
    metadata=CANARY,
    attributes={CANARY: CANARY},
)
ANNA = Seated(seat=SEAT, grant=GRANT)
CAMERA = Shown(
    publication=SENDS.publication,
    track=PICTURE,
    source=Source.CAMERA,
    mime="video/VP8",
    muted=True,
    name=f"Anna's {CANARY}",
)
EVERYTHING: dict[str, Happening] = {
    "room_started": RoomStarted(room=ROOM, at=NOW),
    "participant_joined": ParticipantJoined(room=ROOM, roster=(SEAT,), at=NOW, who=ANNA),
    "track_published": TrackPublished(room=ROOM, roster=(SEAT,), at=NOW, who=ANNA, track=CAMERA),
    "track_unpublished": TrackUnpublished(room=ROOM, roster=(SEAT,), at=NOW, who=ANNA, track=CAMERA),
    "participant_left": ParticipantLeft(room=ROOM, at=NOW, who=ANNA, reason=Reason.REMOVED),
    "participant_connection_aborted": ParticipantAborted(room=ROOM, at=NOW, who=ANNA, reason=Reason.TRANSPORT_LOST),
    "room_finished": RoomFinished(room=ROOM, at=NOW, reason=Reason.ROOM_DELETED),
}
"""One of each kind, by what LiveKit calls it."""


def started(room: str) -> Happening:
    """A room of that id was made."""
    return RoomStarted(room=replace(ROOM, room=RoomId(room)), at=NOW)


def joined(room: str, *people: str) -> list[Happening]:
    """These people come into a room, one after another."""
    where = replace(ROOM, room=RoomId(room))
    seats = [replace(SEAT, participant=ParticipantId(who), publishes=()) for who in people]
    return [ParticipantJoined(room=where, at=NOW, who=Seated(seat=seat)) for seat in seats]
