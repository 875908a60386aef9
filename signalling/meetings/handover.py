"""What a client leaves with the media process for the server after this one, and how that goes on with it.

No words about anybody are in it: they are in the token with which the client comes back. What a client calls its tracks
is in it as the client wrote it, as it goes on to call them so: no more of it than `rtc.publishing` takes, in no log.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from livekit.protocol.models import ParticipantInfo, TrackInfo
from livekit.protocol.rtc import SubscriptionPermission
from pydantic import BaseModel, ConfigDict

from signalling.connections import OpenConnection
from signalling.domain.grants import Grant, Kind, Role, Source
from signalling.domain.ids import ParticipantId, RoomId
from signalling.media import MediaKind, MediaTrack
from signalling.rtc.asked import Asked
from signalling.rtc.person import Member, Person, member_of
from signalling.rtc.publishing import Announced

M = TypeVar("M", bound=Message)


class _Noted(BaseModel):
    # What a later version adds is no fault after a step back.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Rights(_Noted):
    """What of a grant is no words: fields of the same names."""

    join: bool
    can_publish: bool
    can_subscribe: bool
    can_publish_data: bool
    can_update_own_metadata: bool
    sources: frozenset[Source] | None
    kind: Kind
    roles: frozenset[Role]
    issued_at: datetime | None
    not_before: datetime | None
    expires_at: datetime


class _Sent(_Noted):
    """A track: what others are told of it, and what the engine calls it."""

    info: str
    cid: str
    names: list[str]
    kind: str
    mid: str | None
    track: str | None
    said_muted: bool | None = None  # None: as `info` says it


class NotedClient(_Noted):
    """A client."""

    sid: str
    version: int
    rights: _Rights
    auto: bool
    adaptive: bool
    protocol: int
    client_protocol: int
    capabilities: list[int]
    offers: int
    spoken_of: dict[str, bool]
    permissions: str
    sent: list[_Sent]
    said: int = 0  # the number of the latest message that came from it


def written(person: Person, member: Member, tracks: Mapping[str, MediaTrack]) -> str:
    """Writes down a client; `tracks` are those that can be received, by sid."""
    grant, asked = member.grant, member.asked
    return NotedClient(
        sid=person.sid,
        version=person.version,
        rights=_Rights.model_validate(grant, from_attributes=True),
        auto=asked.auto_subscribe,
        adaptive=asked.adaptive_stream,
        protocol=asked.protocol,
        client_protocol=asked.client_protocol,
        capabilities=list(asked.capabilities),
        offers=member.receiving.offering.number,
        spoken_of=member.subscriptions.spoken_of,
        permissions=_text(member.permissions.said.SerializeToString()),
        sent=[
            _Sent(
                info=_text(_without_words(track.info).SerializeToString()),
                cid=track.cid,
                names=sorted(track.names),
                kind=track.kind,
                mid=track.mid,
                track=tracks[sid].id if sid in tracks else None,
                said_muted=track.said_muted,
            )
            for sid, track in member.publishing.tracks.items()
        ],
        said=member.received.last_sequence,
    ).model_dump_json()


def read(note: str) -> NotedClient:
    """Reads the note on a client.

    Raises:
        ValueError: it is none.
    """
    return NotedClient.model_validate_json(note)


def version_in(note: str) -> int:
    """Returns the version of what others were told of a client; 0 where the note cannot be read."""
    try:
        return read(note).version
    except ValueError:
        return 0


def taken_up(
    noted: NotedClient, connection: OpenConnection, *, new_sid: Callable[[], str]
) -> tuple[Person, dict[str, MediaTrack]]:
    """Makes a client anew that the server before had, and finds its tracks, by sid.

    Raises:
        ValueError: the note is damaged.
    """
    asked = Asked(
        auto_subscribe=noted.auto,
        adaptive_stream=noted.adaptive,
        protocol=noted.protocol,
        client_protocol=noted.client_protocol,
        capabilities=tuple(noted.capabilities),
    )
    member = member_of(_grant(noted, connection), asked, new_sid=new_sid, first_offer=noted.offers)
    media = {track.id: track for track in connection.tracks}
    tracks: dict[str, MediaTrack] = {}
    for sent in noted.sent:
        announced = _announced(sent)
        if sent.track is not None and sent.track not in media:
            continue  # It has ended meanwhile.
        if sent.track is None:
            announced.mid, announced.info.mid = None, ""  # It was about to begin, and does with the next offer.
        member.publishing.tracks[announced.info.sid] = announced
        if sent.track is not None:
            tracks[announced.info.sid] = media[sent.track]
            # As before: to clients it would be another one otherwise.
            media[sent.track].call(f"{noted.sid}|{announced.info.sid}", announced.info.sid)
    member.subscriptions.spoken_of.update(noted.spoken_of)
    member.permissions.say(_parsed(SubscriptionPermission, noted.permissions))
    member.received.last_sequence = noted.said
    member.has_line, member.is_taken_up = False, True
    person = Person(
        sid=noted.sid,
        identity=connection.connection.participant,
        joined_at=connection.connection.opened_at,
        version=noted.version,
        state=ParticipantInfo.State.ACTIVE,
        tracks={sid: member.publishing.tracks[sid].info for sid in tracks},
        member=member,
    )
    return person, tracks


def _grant(noted: NotedClient, connection: OpenConnection) -> Grant:
    room, participant = RoomId(connection.room), ParticipantId(connection.connection.participant)
    return Grant(room=room, participant=participant, **noted.rights.model_dump())


def _announced(sent: _Sent) -> Announced:
    if sent.kind not in ("audio", "video"):
        raise ValueError("a track is sound or pictures")
    info = _parsed(TrackInfo, sent.info)
    kind: MediaKind = "audio" if sent.kind == "audio" else "video"
    said_muted = info.muted if sent.said_muted is None else sent.said_muted
    return Announced(sent.cid, frozenset(sent.names), kind, info, sent.mid, said_muted)


def _without_words(info: TrackInfo) -> TrackInfo:
    copy = TrackInfo()
    copy.CopyFrom(info)
    copy.name = ""
    return copy


def _text(message: bytes) -> str:
    return base64.b64encode(message).decode()


def _parsed(kind: Callable[[], M], text: str) -> M:
    message = kind()
    try:
        message.ParseFromString(base64.b64decode(text, validate=True))
    except DecodeError as error:
        raise ValueError("the note is damaged") from error
    return message
