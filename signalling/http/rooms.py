"""Rooms over HTTP: made, listed and ended by an administrating system; looked at by those who are in them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from signalling.clocks import steady
from signalling.domain.grants import Role, Source
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, RoomId
from signalling.domain.room import MAX_METADATA_LENGTH, Room, RoomPolicy, Seat, refusal_of_name
from signalling.faults import RefusedError
from signalling.http import administering
from signalling.http.access import AdminOnly, grant, is_admin, room_seen_by
from signalling.http.errors import RequestError
from signalling.http.parts import Parts, parts_of
from signalling.tokens import TokenRequest

router = APIRouter(tags=["rooms"])

RoomPath = Annotated[str, Path(max_length=MAX_ID_LENGTH)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewRoom(_Model):
    """What to make."""

    name: str | None = Field(None, max_length=MAX_ID_LENGTH)
    max_participants: int | None = Field(None, ge=1, le=1_000)
    allowed_roles: frozenset[Role] = frozenset()
    metadata: str = Field("", max_length=MAX_METADATA_LENGTH)


class ChangedRoom(_Model):
    """What is to be different; what is left out stays."""

    metadata: str | None = Field(None, max_length=MAX_METADATA_LENGTH)


class RoomView(_Model):
    """A room."""

    room: str
    name: str | None
    created_at: datetime
    max_participants: int
    allowed_roles: list[Role]
    metadata: str
    participants: int


class PublishedTrackView(_Model):
    """One track."""

    track: str
    kind: str


class PublicationView(_Model):
    """What a participant sends over one transport."""

    publication: str
    tracks: list[PublishedTrackView]


class SeatView(_Model):
    """Someone who sends or receives."""

    participant: str
    joined_at: datetime
    publishes: list[PublicationView]
    receives_from: list[str]


class RoomWithRoster(RoomView):
    """A room and everyone in it: there is no hidden listener."""

    roster: list[SeatView]


class NewToken(_Model):
    """What a token shall allow."""

    participant: str | None = Field(None, max_length=MAX_ID_LENGTH)
    can_publish: bool = True
    can_publish_sources: frozenset[Source] | None = Field(None, min_length=1)
    can_publish_data: bool = False
    can_subscribe: bool = True
    life_s: int | None = Field(None, ge=10, le=604_800)


class TokenView(_Model):
    """A token."""

    token: str
    participant: str
    room: str
    expires_at: datetime


@router.post("/rooms", status_code=201, dependencies=[AdminOnly])
async def create(request: Request, response: Response, wanted: NewRoom | None = None) -> RoomView:
    """Makes a room."""
    parts = parts_of(request)
    wanted = wanted or NewRoom()
    most = wanted.max_participants or parts.settings.rooms.max_participants
    policy = RoomPolicy(max_participants=most, allowed_roles=wanted.allowed_roles)
    administering.check_words("metadata", wanted.metadata, MAX_METADATA_LENGTH)
    room = await parts.rooms.create(name=wanted.name, policy=policy, metadata=wanted.metadata)
    response.headers["Location"] = f"/rooms/{room.room}"
    return _view(parts, room)


@router.get("/rooms", dependencies=[AdminOnly])
async def list_all(request: Request) -> list[RoomView]:
    """Lists the rooms, oldest first."""
    parts = parts_of(request)
    return [_view(parts, room) for room in parts.rooms.all()]


@router.get("/rooms/{room}")
async def look(request: Request, room: RoomPath) -> RoomWithRoster:
    """Shows a room and its roster, to an administrator or to the bearer of a token for it."""
    parts = parts_of(request)
    wanted = RoomId(room)
    found = parts.rooms.room(wanted) if is_admin(request) else room_seen_by(request, grant(request), wanted)
    roster = [_seat(seat) for seat in parts.rooms.roster(found.room)]
    return RoomWithRoster(**_view(parts, found).model_dump(), roster=roster)


@router.patch("/rooms/{room}", dependencies=[AdminOnly])
async def change(request: Request, room: RoomPath, wanted: ChangedRoom) -> RoomView:
    """Writes something else on a room, which everybody in it is told."""
    parts = parts_of(request)
    found = parts.rooms.room(RoomId(room))
    if wanted.metadata is not None:
        found = await administering.rewrite(parts, found, wanted.metadata)
    return _view(parts, found)


@router.delete("/rooms/{room}", status_code=204, dependencies=[AdminOnly])
async def delete(request: Request, room: RoomPath) -> None:
    """Ends a room and all calls in it."""
    await parts_of(request).rooms.delete(RoomId(room))


@router.delete("/rooms/{room}/participants/{participant}", status_code=204, dependencies=[AdminOnly])
async def remove(request: Request, room: RoomPath, participant: RoomPath) -> None:
    """Removes a participant, who cannot come back into this room with the same id."""
    await remove_from(parts_of(request), RoomId(room), ParticipantId(participant))


async def remove_from(parts: Parts, room: RoomId, participant: ParticipantId) -> None:
    """Removes a participant, and counts it.

    Raises:
        NotFoundError: there is no such room.
        EngineLateError: some of its connections are still ending.
    """
    began = steady()
    await parts.rooms.remove(room, participant)
    # One that was refused, or is not done yet, would count as a removal, and mostly as a fast one.
    parts.metrics.removal_duration.observe((steady() - began).total_seconds())
    parts.metrics.removals.inc()


@router.post("/rooms/{room}/tokens", status_code=201, dependencies=[AdminOnly])
async def mint(request: Request, room: RoomPath, wanted: NewToken | None = None) -> TokenView:
    """Makes a token with which one participant can be in this room."""
    parts = parts_of(request)
    return mint_for(parts, parts.rooms.room(RoomId(room)).room, wanted or NewToken())


def mint_for(parts: Parts, room: RoomId, wanted: NewToken) -> TokenView:
    """Makes a token for a room that exists.

    Raises:
        RequestError: no key to sign with is configured.
        RefusedError: the id wanted looks like a person's.
    """
    if not parts.tokens.can_mint:
        raise RequestError("no_signing_key", "set tokens.keys in the configuration")
    participant = wanted.participant or new_participant()
    if (refusal := refusal_of_name(participant)) is not None:
        raise RefusedError(refusal)
    now = parts.now()
    life = timedelta(seconds=wanted.life_s or parts.settings.tokens.life_s)
    wish = TokenRequest(
        participant=ParticipantId(participant),
        room=room,
        can_publish=wanted.can_publish,
        sources=wanted.can_publish_sources,
        can_publish_data=wanted.can_publish_data,
        can_subscribe=wanted.can_subscribe,
        life=life,
    )
    token = parts.tokens.mint(wish, now=now)
    return TokenView(token=token, participant=participant, room=room, expires_at=now + life)


def new_participant() -> str:
    """Makes up an id that means nothing."""
    return "p_" + secrets.token_hex(10)


def _view(parts: Parts, room: Room) -> RoomView:
    return RoomView(
        room=room.room,
        name=room.name,
        created_at=room.created_at,
        max_participants=room.policy.max_participants,
        allowed_roles=sorted(room.policy.allowed_roles),
        metadata=room.metadata,
        participants=len(parts.rooms.roster(room.room)),
    )


def _seat(seat: Seat) -> SeatView:
    publishes = [
        PublicationView(
            publication=publication.publication,
            tracks=[PublishedTrackView(track=t.track, kind=t.kind) for t in publication.tracks],
        )
        for publication in seat.publishes
    ]
    return SeatView(
        participant=seat.participant,
        joined_at=seat.joined_at,
        publishes=publishes,
        receives_from=list(seat.receives_from),
    )
