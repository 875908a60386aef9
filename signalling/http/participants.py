"""Those who are in a room, over HTTP: an administrating system sees them, mutes them, changes what they may."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo, TrackType
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from signalling.domain.grants import Source
from signalling.domain.ids import MAX_ID_LENGTH, RoomId
from signalling.domain.room import Room
from signalling.http import administering
from signalling.http.access import AdminOnly
from signalling.http.administering import Change
from signalling.http.parts import Parts, parts_of
from signalling.http.rooms import RoomPath
from signalling.rtc.infos import SOURCES

router = APIRouter(tags=["participants"], dependencies=[AdminOnly])

MAX_NAMED = 1_000
"""Most participants or tracks that one request may name: more than are in the largest room."""

TrackPath = Annotated[str, Path(max_length=MAX_ID_LENGTH)]
# pydantic's own passes over what is no base64, and would send the rest.
_Base64 = Annotated[
    bytes,
    BeforeValidator(lambda given: base64.b64decode(given, validate=True) if isinstance(given, str) else given),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
_Named = Annotated[list[Annotated[str, Field(max_length=MAX_ID_LENGTH)]], Field(max_length=MAX_NAMED)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Permission(_Model):
    """All that a participant may."""

    can_publish: bool = True
    can_publish_sources: frozenset[Source] | None = Field(None, min_length=1)
    can_publish_data: bool = False
    can_subscribe: bool = True
    can_update_own_metadata: bool = False


class ChangedParticipant(_Model):
    """What is to be different; what is left out stays. An attribute that is empty is taken away."""

    name: str | None = None
    metadata: str | None = None
    attributes: dict[str, str] | None = None
    permission: Permission | None = None


class ChangedTrack(_Model):
    """Whether nothing of a track is to flow."""

    muted: bool


class ChangedSubscriptions(_Model):
    """Which tracks a participant is to receive, or to receive no more."""

    tracks: _Named = Field(min_length=1)
    subscribe: bool


class Message(_Model):
    """What is sent to those named, or to everybody; the payload is base64."""

    payload: _Base64
    reliable: bool = True
    participants: _Named = []
    topic: str = Field("", max_length=MAX_ID_LENGTH)


class TrackView(_Model):
    """A track."""

    track: str
    kind: str
    source: Source | None
    name: str
    muted: bool


class ParticipantView(_Model):
    """Somebody in a room. What they may is not known of whoever does not speak LiveKit's protocol."""

    participant: str
    sid: str
    state: str
    joined_at: datetime
    name: str
    metadata: str
    attributes: dict[str, str]
    permission: Permission | None
    tracks: list[TrackView]


@router.get("/rooms/{room}/participants")
async def list_all(request: Request, room: RoomPath) -> list[ParticipantView]:
    """Lists everybody in a room."""
    parts, found = _found(request, room)
    return [_view(info) for info in await parts.administered.infos(found.room)]


@router.get("/rooms/{room}/participants/{participant}")
async def look(request: Request, room: RoomPath, participant: RoomPath) -> ParticipantView:
    """Shows somebody in a room."""
    parts, found = _found(request, room)
    return _view(await administering.info(parts, found, participant))


@router.patch("/rooms/{room}/participants/{participant}")
async def change(
    request: Request, room: RoomPath, participant: RoomPath, wanted: ChangedParticipant
) -> ParticipantView:
    """Changes what somebody is called and may; what flows by rights that they lose has ended before the answer."""
    parts, found = _found(request, room)
    asked = Change(
        name=wanted.name,
        metadata=wanted.metadata,
        attributes=wanted.attributes,
        permission=_granted(wanted.permission) if wanted.permission is not None else None,
    )
    return _view(await administering.change(parts, found, participant, asked))


@router.patch("/rooms/{room}/participants/{participant}/tracks/{track}")
async def mute(
    request: Request, room: RoomPath, participant: RoomPath, track: TrackPath, wanted: ChangedTrack
) -> TrackView:
    """Mutes a track; only with `rooms.remote_unmute` in the configuration can it go on by a request, too."""
    parts, found = _found(request, room)
    return _track(await administering.mute(parts, found, participant, track, muted=wanted.muted))


@router.patch("/rooms/{room}/participants/{participant}/subscriptions", status_code=204)
async def subscribe(request: Request, room: RoomPath, participant: RoomPath, wanted: ChangedSubscriptions) -> None:
    """Has somebody receive tracks, named by their sids, or receive them no more."""
    parts, found = _found(request, room)
    await administering.subscribe(parts, found, participant, wanted.tracks, wanted=wanted.subscribe)


@router.post("/rooms/{room}/messages", status_code=204)
async def send(request: Request, room: RoomPath, message: Message) -> None:
    """Sends a message to those named, or to everybody."""
    parts, found = _found(request, room)
    await administering.send(
        parts,
        found,
        message.payload,
        reliable=message.reliable,
        identities=message.participants,
        topic=message.topic,
    )


def _found(request: Request, room: str) -> tuple[Parts, Room]:
    parts = parts_of(request)
    return parts, parts.rooms.room(RoomId(room))


def _granted(wanted: Permission) -> ParticipantPermission:
    return ParticipantPermission(
        can_publish=wanted.can_publish,
        can_publish_sources=[SOURCES[source] for source in Source if source in (wanted.can_publish_sources or ())],
        can_publish_data=wanted.can_publish_data,
        can_subscribe=wanted.can_subscribe,
        can_update_metadata=wanted.can_update_own_metadata,
    )


def _permission(given: ParticipantPermission) -> Permission:
    listed = given.can_publish_sources
    known = frozenset(source for source, kind in SOURCES.items() if kind in listed)
    return Permission(
        can_publish=given.can_publish and (not listed or bool(known)),
        can_publish_sources=known or None,
        can_publish_data=given.can_publish_data,
        can_subscribe=given.can_subscribe,
        can_update_own_metadata=given.can_update_metadata,
    )


def _view(info: ParticipantInfo) -> ParticipantView:
    return ParticipantView(
        participant=info.identity,
        sid=info.sid,
        state=ParticipantInfo.State.Name(info.state).lower(),
        joined_at=datetime.fromtimestamp(info.joined_at, UTC),
        name=info.name,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        permission=_permission(info.permission) if info.HasField("permission") else None,
        tracks=[_track(track) for track in info.tracks],
    )


def _track(info: TrackInfo) -> TrackView:
    return TrackView(
        track=info.sid,
        kind=TrackType.Name(info.type).lower(),
        source=next((source for source, kind in SOURCES.items() if kind == info.source), None),
        name=info.name,
        muted=info.muted,
    )
