"""Rooms, participants and tracks as LiveKit's SDKs know them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from conftest import NOW
from livekit.protocol import models

from signalling.domain.grants import Grant, Kind, Role, Source
from signalling.domain.ids import ParticipantId, PublicationId, RoomId, TrackId
from signalling.domain.room import Publication, PublishedTrack, Room, RoomPolicy, Seat
from signalling.rtc.infos import (
    name_of,
    participant_info,
    participant_sid,
    permission,
    room_info,
    room_sid,
    track_sid,
)

ROOM = Room(room=RoomId("r_1"), name="ward-7", created_at=NOW, policy=RoomPolicy(max_participants=3))
SOUND, PICTURE = PublishedTrack(track=TrackId("1"), kind="audio"), PublishedTrack(track=TrackId("2"), kind="video")
SENDS = Publication(publication=PublicationId("pub_1"), tracks=(SOUND, PICTURE))


def seat(participant: str, *publishes: Publication) -> Seat:
    return Seat(participant=ParticipantId(participant), joined_at=NOW, publishes=publishes, receives_from=())


def grant(**changes: object) -> Grant:
    given: dict[str, object] = {
        "participant": "p_1",
        "room": "r_1",
        "join": True,
        "can_publish": True,
        "can_subscribe": True,
        "issued_at": None,
        "not_before": None,
        "expires_at": NOW,
    }
    return Grant(**given | changes)  # type: ignore[arg-type]


def test_sids_have_the_shape_that_sdks_look_for_and_stay_the_same() -> None:
    assert room_sid(RoomId("r_1")) == "RM_7c77127f7fae6fe1600398d7", "also after an update"
    for sid, prefix in (
        (room_sid(RoomId("r_1")), "RM_"),
        (participant_sid(RoomId("r_1"), ParticipantId("p_1")), "PA_"),
        (track_sid(PublicationId("pub_1"), SOUND), "TR_"),
    ):
        assert sid.startswith(prefix)
        assert len(sid) == len(prefix) + 24


def test_one_sid_is_one_thing() -> None:
    sids = [participant_sid(RoomId(room), ParticipantId(who)) for room in ("r_1", "r_2") for who in ("a", "b")]
    sids += [track_sid(PublicationId(of), track) for of in ("pub_1", "pub_2") for track in (SOUND, PICTURE)]
    sids += [participant_sid(RoomId("r_1a"), ParticipantId("b")), participant_sid(RoomId("r_1"), ParticipantId("ab"))]
    assert len(set(sids)) == len(sids) == 10


def test_a_room_is_described_with_how_many_are_in_it_and_how_many_of_them_send() -> None:
    info = room_info(ROOM, [seat("a", SENDS), seat("b")])
    assert (info.name, info.max_participants, info.num_participants, info.num_publishers) == ("ward-7", 3, 2, 1)
    assert (info.creation_time, info.creation_time_ms) == (int(NOW.timestamp()), int(NOW.timestamp()) * 1_000)
    assert (info.empty_timeout, info.departure_timeout) == (0, 0), "it does not end by itself"


def test_a_room_without_a_name_is_called_by_its_id() -> None:
    unnamed = Room(room=RoomId("r_1"), name=None, created_at=NOW, policy=ROOM.policy)
    assert (name_of(unnamed), room_info(unnamed, []).name) == ("r_1", "r_1")


def test_a_track_is_described_with_how_it_is_encoded_where_that_is_known() -> None:
    tracks = (SOUND, PICTURE, replace(PICTURE, codec="h264"))
    info = participant_info(ROOM, seat("p_1", replace(SENDS, tracks=tracks)))
    assert [track.mime_type for track in info.tracks] == ["audio/opus", "", "video/h264"]


def test_a_participant_is_described_with_what_they_send() -> None:
    info = participant_info(ROOM, seat("p_1", SENDS))
    assert (info.identity, info.state, info.is_publisher) == ("p_1", models.ParticipantInfo.JOINED, True)
    assert (info.joined_at, info.version) == (int(NOW.timestamp()), 1)
    assert [track.type for track in info.tracks] == [models.TrackType.AUDIO, models.TrackType.VIDEO]
    assert [track.sid for track in info.tracks] == [track_sid(SENDS.publication, t) for t in (SOUND, PICTURE)]
    assert not info.HasField("permission"), "nobody said what they may"


def test_what_a_token_says_of_a_participant_is_told_with_what_they_may() -> None:
    theirs = grant(name="Anna", metadata="m", attributes={"a": "b"}, kind=Kind.SIP, can_update_own_metadata=True)
    info = participant_info(ROOM, seat("p_1"), grant=theirs, state=models.ParticipantInfo.ACTIVE, version=7)
    assert (info.name, info.metadata, dict(info.attributes)) == ("Anna", "m", {"a": "b"})
    assert (info.kind, info.state, info.version) == (models.ParticipantInfo.SIP, models.ParticipantInfo.ACTIVE, 7)
    assert info.permission.can_update_metadata


def test_a_permission_lists_the_sources_that_are_allowed_and_hides_nobody() -> None:
    allowed = permission(grant(sources=frozenset({Source.MICROPHONE, Source.CAMERA}), can_publish_data=True))
    assert set(allowed.can_publish_sources) == {models.TrackSource.CAMERA, models.TrackSource.MICROPHONE}
    assert (allowed.can_publish, allowed.can_subscribe, allowed.can_publish_data) == (True, True, True)
    assert list(permission(grant()).can_publish_sources) == [], "every source"
    assert not permission(grant(roles=frozenset({Role.HIDDEN}))).hidden


def test_every_kind_has_its_own() -> None:
    kinds = {participant_info(ROOM, seat("p_1"), grant=grant(kind=kind)).kind for kind in Kind}
    assert len(kinds) == len(Kind)


def test_times_are_told_to_the_millisecond() -> None:
    later = Seat(
        participant=ParticipantId("p_1"),
        joined_at=NOW + timedelta(milliseconds=250),
        publishes=(),
        receives_from=(),
    )
    assert participant_info(ROOM, later).joined_at_ms - int(NOW.timestamp()) * 1_000 == 250
