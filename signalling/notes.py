"""What is left with the media process for the server after this one: opaque there, rooms and connections here.

It names nobody: participants have the ids under which they are in logs, too.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalling.domain.grants import Role
from signalling.domain.ids import ParticipantId, PublicationId, ResourceId, RoomId, TrackId
from signalling.domain.room import Connection, Publication, PublishedTrack, Room, RoomPolicy


class _Noted(BaseModel):
    # What a later version adds is no fault after a step back.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class NotedRoom(_Noted):
    """A room."""

    room: str
    name: str | None
    created_at: datetime
    max_participants: int
    removed: list[str]  # the latest last
    # Notes of earlier versions have none; a role that only a later one knows is allowed nothing here.
    allowed_roles: list[str] = Field(default_factory=list)


class NotedTrack(_Noted):
    """A track of a publication."""

    track: str
    kind: str
    codec: str | None = None  # earlier versions have none


class NotedConnection(_Noted):
    """A connection."""

    resource: str
    participant: str
    opened_at: datetime
    publication: str | None
    tracks: list[NotedTrack]
    source: str | None
    plays: list[str]
    offer: str
    ice_tag: str
    client: str = ""  # of a client of meetings; earlier versions have none

    def connection(self) -> Connection:
        """Returns it as the domain sees it."""
        publication = None
        if self.publication is not None:
            tracks = tuple(PublishedTrack(track=TrackId(t.track), kind=t.kind, codec=t.codec) for t in self.tracks)
            publication = Publication(publication=PublicationId(self.publication), tracks=tracks)
        return Connection(
            participant=ParticipantId(self.participant),
            opened_at=self.opened_at,
            publication=publication,
            sources=(ParticipantId(self.source),) if self.source is not None else (),
        )


def of_room(room: Room) -> bytes:
    """Writes the note on a room."""
    note = NotedRoom(
        room=room.room,
        name=room.name,
        created_at=room.created_at,
        max_participants=room.policy.max_participants,
        removed=list(room.removed),
        allowed_roles=sorted(room.policy.allowed_roles),
    )
    return note.model_dump_json().encode()


def of_connection(
    resource: ResourceId,
    connection: Connection,
    *,
    plays: tuple[str, ...],
    offer: str,
    ice_tag: str,
    client: str = "",
) -> bytes:
    """Writes the note on a connection."""
    publication = connection.publication
    tracks = publication.tracks if publication is not None else ()
    note = NotedConnection(
        resource=resource,
        participant=connection.participant,
        opened_at=connection.opened_at,
        publication=publication.publication if publication is not None else None,
        tracks=[NotedTrack(track=track.track, kind=track.kind, codec=track.codec) for track in tracks],
        source=next(iter(connection.sources), None),  # WHEP has one
        plays=list(plays),
        offer=offer,
        ice_tag=ice_tag,
        client=client,
    )
    return note.model_dump_json().encode()


def read_room(note: bytes) -> Room | None:
    """Reads the note on a room; None where there is none that can be read."""
    try:
        read = NotedRoom.model_validate_json(note)
    except ValidationError:
        return None
    return Room(
        room=RoomId(read.room),
        name=read.name,
        created_at=read.created_at,
        policy=RoomPolicy(
            max_participants=read.max_participants,
            allowed_roles=frozenset(role for role in Role if role in read.allowed_roles),
        ),
        removed=dict.fromkeys(map(ParticipantId, read.removed)),
    )


def read_connection(note: bytes) -> NotedConnection | None:
    """Reads the note on a connection; None where there is none that can be read."""
    try:
        return NotedConnection.model_validate_json(note)
    except ValidationError:
        return None
