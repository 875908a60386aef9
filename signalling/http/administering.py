"""What administrating systems do with those who are in a room, asked by our own REST or by LiveKit's SDKs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo

from signalling.domain.grants import Role
from signalling.domain.ids import ParticipantId
from signalling.domain.refusals import Refusal
from signalling.domain.room import MAX_METADATA_LENGTH, Room, refusal_of_roles
from signalling.faults import NotFoundError, RefusedError
from signalling.http.errors import RequestError
from signalling.http.parts import Parts
from signalling.rtc.words import MAX_WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be different with a participant; None: nothing of that kind."""

    name: str | None = field(default=None, repr=False)
    metadata: str | None = field(default=None, repr=False)
    attributes: Mapping[str, str] | None = field(default=None, repr=False)
    permission: ParticipantPermission | None = None


async def info(parts: Parts, room: Room, identity: str) -> ParticipantInfo:
    """Describes somebody in a room.

    Raises:
        NotFoundError: nobody of that identity is in it.
    """
    for each in await parts.administered.infos(room.room):
        if each.identity == identity:
            return each
    raise NotFoundError("participant")


async def change(parts: Parts, room: Room, participant: str, wanted: Change) -> ParticipantInfo:
    """Changes what somebody is called and may.

    Raises:
        RequestError: what is written on them is too long.
        RefusedError: the room takes in nobody who is what the permission makes of them.
    """
    attributes = "".join(key + value for key, value in (wanted.attributes or {}).items())
    for what, given in (("name", wanted.name), ("metadata", wanted.metadata), ("attributes", attributes)):
        check_words(what, given or "", MAX_WORDS)
    if wanted.permission is not None:
        _check_roles(room, wanted.permission)
    return await parts.administered.update_participant(
        room.room,
        ParticipantId(participant),
        name=wanted.name,
        metadata=wanted.metadata,
        attributes=wanted.attributes,
        permission=wanted.permission,
    )


async def mute(parts: Parts, room: Room, participant: str, track: str, *, muted: bool) -> TrackInfo:
    """Mutes a track; or has it go on, if the configuration lets anybody else than its publisher do so.

    Raises:
        RefusedError: it does not.
    """
    if not muted and not parts.settings.rooms.remote_unmute:
        raise RefusedError(Refusal.UNMUTE_NOT_ALLOWED)
    return await parts.administered.mute_track(room.room, ParticipantId(participant), track, muted=muted)


async def subscribe(parts: Parts, room: Room, participant: str, tracks: Collection[str], *, wanted: bool) -> None:
    """Has somebody receive tracks, or receive them no more."""
    await parts.administered.update_subscriptions(room.room, ParticipantId(participant), tracks, subscribe=wanted)


async def send(
    parts: Parts,
    room: Room,
    payload: bytes,
    *,
    reliable: bool,
    identities: Collection[str] = (),
    sids: Collection[str] = (),
    topic: str = "",
) -> None:
    """Sends a message to those named, or to everybody in a room."""
    await parts.administered.send_data(
        room.room, payload, reliable=reliable, identities=identities, sids=sids, topic=topic
    )


async def rewrite(parts: Parts, room: Room, metadata: str) -> Room:
    """Writes something else on a room.

    Raises:
        RequestError: it is too long.
    """
    check_words("metadata", metadata, MAX_METADATA_LENGTH)
    await parts.administered.update_metadata(room.room, metadata)
    return parts.rooms.room(room.room)


def check_words(what: str, words: str, most: int) -> None:
    """Takes no words that cannot be told to everybody.

    Raises:
        RequestError: they are too many; or no Unicode: JSON can write half a character, and nothing else can.
    """
    if len(words) > most:
        raise RequestError("request_invalid", f"{what}: at most {most} characters")
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise RequestError("request_invalid", f"{what}: half a character is in it") from error


def _check_roles(room: Room, permission: ParticipantPermission) -> None:
    claimed = {
        Role.HIDDEN: permission.hidden,
        Role.RECORDER: permission.recorder,
        Role.AGENT: permission.agent,
    }
    refusal = refusal_of_roles(room, [role for role, is_claimed in claimed.items() if is_claimed])
    if refusal is not None:
        raise RefusedError(refusal)
