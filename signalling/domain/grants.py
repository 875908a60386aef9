"""What the bearer of a token may do (the claims are in `signalling/tokens.py`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal


class Purpose(Enum):
    """What a request wants to do in a room."""

    PUBLISH = auto()
    SUBSCRIBE = auto()
    SEE_ROSTER = auto()


class ServicePurpose(Enum):
    """What a program wants to do with rooms."""

    CREATE = auto()
    LIST = auto()
    ADMINISTER = auto()


class Source(StrEnum):
    """What a medium shows or sounds of. The value is LiveKit's."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SCREEN_SHARE = "screen_share"
    SCREEN_SHARE_AUDIO = "screen_share_audio"


class Kind(StrEnum):
    """What takes part: a person's device, or a program. The value is LiveKit's."""

    STANDARD = "standard"
    INGRESS = "ingress"
    EGRESS = "egress"
    SIP = "sip"
    AGENT = "agent"
    CONNECTOR = "connector"
    BRIDGE = "bridge"


class Role(StrEnum):
    """What somebody is besides one of those who meet. A room takes in none of these unless its policy says so."""

    HIDDEN = "hidden"
    RECORDER = "recorder"
    AGENT = "agent"


# A description does not say what a section shows: one source of its kind that is granted is enough.
_SOURCES = {
    "audio": frozenset({Source.MICROPHONE, Source.SCREEN_SHARE_AUDIO}),
    "video": frozenset({Source.CAMERA, Source.SCREEN_SHARE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """When a right holds: until `expires_at` (UTC, exclusive)."""

    issued_at: datetime | None
    not_before: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Timed):
    """The right of a participant to be in one room.

    Attributes:
        can_publish: whether it may send anything at all.
        sources: of what it may send, if it may; None when of everything.
        roles: what it is besides one of those who meet.
        name: what others see it called; with metadata and attributes the only words about a person here.
    """

    participant: ParticipantId
    room: RoomId
    join: bool
    can_publish: bool
    can_subscribe: bool
    sources: frozenset[Source] | None = None
    can_publish_data: bool = False
    can_update_own_metadata: bool = False
    kind: Kind = Kind.STANDARD
    roles: frozenset[Role] = frozenset()
    name: str = field(default="", repr=False)
    metadata: str = field(default="", repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGrant(Timed):
    """The right of a program to manage rooms.

    Attributes:
        can_create: whether it may make and end rooms.
        can_list: whether it may see which rooms there are.
        can_administer: whether it may see and change who is in `room`.
        room: which room that is, as its token names it.
    """

    can_create: bool = False
    can_list: bool = False
    can_administer: bool = False
    room: str = ""


def refusal_in_time(grant: Timed, *, now: datetime, leeway: timedelta, max_life: timedelta) -> Refusal | None:
    """Says why `grant` is not valid now, or None when it is.

    Args:
        grant: what the token says.
        now: the current time, timezone-aware.
        leeway: by how much the issuer's clock may differ from ours.
        max_life: the longest life a token may have, counted from its issue, or from now if it does not say.
    """
    if now >= grant.expires_at + leeway:
        return Refusal.TOKEN_EXPIRED
    starts = max((at for at in (grant.not_before, grant.issued_at) if at is not None), default=now)
    if now + leeway < starts:
        return Refusal.TOKEN_NOT_YET_VALID
    born = min(grant.issued_at or now, now)
    if grant.expires_at - born > max_life + leeway:
        return Refusal.TOKEN_LIVES_TOO_LONG
    return None


def refusal_in_room(grant: Grant, *, room: RoomId, purpose: Purpose) -> Refusal | None:
    """Says why `grant` does not allow `purpose` in `room`, or None when it does."""
    if not grant.join:
        return Refusal.TOKEN_DOES_NOT_JOIN
    if grant.room != room:
        return Refusal.TOKEN_FOR_OTHER_ROOM
    if purpose is Purpose.PUBLISH and not grant.can_publish:
        return Refusal.PUBLISH_NOT_GRANTED
    if purpose is Purpose.SUBSCRIBE and not grant.can_subscribe:
        return Refusal.SUBSCRIBE_NOT_GRANTED
    return None


def refusal_of_media(sources: frozenset[Source] | None, kinds: Collection[str]) -> Refusal | None:
    """Says why whoever may send only `sources` cannot publish media of these kinds, or None when they can."""
    if sources is not None and any(sources.isdisjoint(_SOURCES.get(kind, ())) for kind in kinds):
        return Refusal.SOURCE_NOT_GRANTED
    return None


def refusal_of_service(grant: ServiceGrant, *, purpose: ServicePurpose, room: str = "") -> Refusal | None:
    """Says why `grant` does not allow `purpose`, or None when it does.

    Args:
        grant: what the token says.
        purpose: what is asked for.
        room: in which room, as the request names it; of no meaning unless that is administered.
    """
    if purpose is ServicePurpose.CREATE:
        return None if grant.can_create else Refusal.ROOM_CREATE_NOT_GRANTED
    if purpose is ServicePurpose.LIST:
        return None if grant.can_list else Refusal.ROOM_LIST_NOT_GRANTED
    if not grant.can_administer:
        return Refusal.ROOM_ADMIN_NOT_GRANTED
    return None if grant.room and grant.room == room else Refusal.TOKEN_FOR_OTHER_ROOM
