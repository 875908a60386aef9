"""A room: its policy, who is in it, and who can hear or see whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from signalling.domain.grants import Grant, Role, refusal_of_media
from signalling.domain.ids import ParticipantId, PublicationId, RoomId, TrackId, is_id, looks_personal
from signalling.domain.refusals import Refusal
from signalling.domain.rights import Rights

MAX_CONNECTIONS_PER_PARTICIPANT = 64
"""One to send camera and screen, and one to each of the others in a room of the largest size the demo page plays."""


MAX_REMOVED = 350
"""Whom a room remembers as removed: so many of the longest ids fit into the note that is left on it."""

MAX_CHANGED_RIGHTS = 1_000
"""Whose rights a room remembers as changed within a token's life: as many as it can hold at once."""

MAX_METADATA_LENGTH = 16_384
"""Characters of what an administrating system may write on a room: what fits into a request, whatever they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPolicy:
    """What holds in a room for as long as it exists.

    Attributes:
        max_participants: how many may be in it.
        allowed_roles: what those who come in may be besides those who meet. Everybody is in the roster, hidden or not.
    """

    max_participants: int
    allowed_roles: frozenset[Role] = frozenset()

    def within(self, limit: int) -> RoomPolicy:
        """Returns the same policy for at most `limit` participants."""
        return replace(self, max_participants=min(self.max_participants, limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTrack:
    """One track, as the roster shows it."""

    track: TrackId
    kind: str
    codec: str | None = None  # where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What one participant sends over one transport."""

    publication: PublicationId
    tracks: tuple[PublishedTrack, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One participant in the roster."""

    participant: ParticipantId
    joined_at: datetime
    publishes: tuple[Publication, ...]
    receives_from: tuple[ParticipantId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection of one participant: it publishes, or plays what others publish, or both.

    Attributes:
        sources: whose media it plays, or would if there were any.
    """

    participant: ParticipantId
    opened_at: datetime
    publication: Publication | None = None
    sources: tuple[ParticipantId, ...] = ()


@dataclass(slots=True, kw_only=True)
class Room:
    """A room that exists."""

    room: RoomId
    name: str | None
    created_at: datetime
    policy: RoomPolicy
    removed: dict[ParticipantId, None] = field(default_factory=dict)
    """Who may not come back; a dict because they are in order, the latest last."""
    rights: dict[ParticipantId, Rights] = field(default_factory=dict)
    """What those may whose rights were changed here, whatever their older tokens say."""
    metadata: str = ""
    """What an administrating system has written on it; means nothing here."""

    def remove(self, participant: ParticipantId) -> ParticipantId | None:
        """Keeps a participant from coming back; returns whoever was removed longest ago and may come back for that.

        What cannot be an id is nobody's.
        """
        if not is_id(participant):
            return None
        self.removed.pop(participant, None)
        self.removed[participant] = None
        if len(self.removed) <= MAX_REMOVED:
            return None
        forgotten = next(iter(self.removed))
        del self.removed[forgotten]
        return forgotten

    def granted(self, grant: Grant) -> Grant:
        """Returns what the bearer of a token may here: what it says, unless that was changed since."""
        rights = self.rights.get(grant.participant)
        return grant if rights is None else rights.applied(grant)

    def forget_rights(self, *, now: datetime) -> list[ParticipantId]:
        """Forgets the rights that no older token can contradict any more, and returns whose they were."""
        forgotten = [participant for participant, rights in self.rights.items() if not rights.binds(now=now)]
        for participant in forgotten:
            del self.rights[participant]
        return forgotten


def refusal_of_name(name: str) -> Refusal | None:
    """Says why a room or participant cannot have this name, or None when it can."""
    if not is_id(name):
        return Refusal.NAME_NOT_PLAIN
    return Refusal.NAME_PERSONAL if looks_personal(name) else None


_NOT_ALLOWED = {
    Role.HIDDEN: Refusal.HIDDEN_NOT_ALLOWED,
    Role.RECORDER: Refusal.RECORDER_NOT_ALLOWED,
    Role.AGENT: Refusal.AGENT_NOT_ALLOWED,
}


def refusal_to_see(room: Room, grant: Grant) -> Refusal | None:
    """Says why whoever has `grant` may know nothing of what is in `room`, or None when they may."""
    if grant.participant in room.removed:
        return Refusal.PARTICIPANT_REMOVED
    return refusal_of_roles(room, grant.roles)


def refusal_of_roles(room: Room, roles: Collection[Role]) -> Refusal | None:
    """Says which of these roles `room` does not take in, or None when it takes in all of them."""
    refused = set(roles) - room.policy.allowed_roles
    return next((refusal for role, refusal in _NOT_ALLOWED.items() if role in refused), None)


def refusal_to_change_rights(room: Room, participant: ParticipantId) -> Refusal | None:
    """Says why the rights of a participant cannot be changed in `room`, or None when they can.

    None is forgotten for another one: whoever had lost a right would have it again.
    """
    if participant not in room.rights and len(room.rights) >= MAX_CHANGED_RIGHTS:
        return Refusal.TOO_MANY_CHANGED_RIGHTS
    return None


def refusal_to_keep(connection: Connection, may: Grant | Rights) -> Refusal | None:
    """Says why whoever may so much cannot have `connection`, or None when they can."""
    publication = connection.publication
    if publication is not None and not may.can_publish:
        return Refusal.PUBLISH_NOT_GRANTED
    if connection.sources and not may.can_subscribe:
        return Refusal.SUBSCRIBE_NOT_GRANTED
    tracks = publication.tracks if publication is not None else ()
    return refusal_of_media(may.sources, [track.kind for track in tracks])


def is_allowed_still(room: Room, connection: Connection) -> bool:
    """Whether a connection may go on. What was opened after a change of rights was allowed by what holds since."""
    rights = room.rights.get(connection.participant)
    return rights is None or connection.opened_at > rights.since or refusal_to_keep(connection, rights) is None


def refusal_to_connect(room: Room, grant: Grant, *, connections: Iterable[Connection]) -> Refusal | None:
    """Says why whoever has `grant` cannot open one more connection in `room`, or None when they can."""
    participant = grant.participant
    if (refusal := refusal_to_see(room, grant)) is not None:
        return refusal
    seated: dict[ParticipantId, int] = {}
    for connection in connections:
        seated[connection.participant] = seated.get(connection.participant, 0) + 1
    if participant not in seated and len(seated) >= room.policy.max_participants:
        return Refusal.ROOM_FULL
    if seated.get(participant, 0) >= MAX_CONNECTIONS_PER_PARTICIPANT:
        return Refusal.TOO_MANY_CONNECTIONS
    return None


def roster(connections: Iterable[Connection]) -> tuple[Seat, ...]:
    """Lists everyone who sends or receives anything, in order of arrival. There is no hidden listener."""
    by_participant: dict[ParticipantId, list[Connection]] = {}
    for connection in connections:
        by_participant.setdefault(connection.participant, []).append(connection)
    seats = [
        Seat(
            participant=participant,
            joined_at=min(connection.opened_at for connection in theirs),
            publishes=tuple(c.publication for c in theirs if c.publication is not None),
            receives_from=tuple(dict.fromkeys(source for c in theirs for source in c.sources)),
        )
        for participant, theirs in by_participant.items()
    ]
    return tuple(sorted(seats, key=lambda seat: (seat.joined_at, seat.participant)))
