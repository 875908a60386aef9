"""What happens in rooms, as the webhooks that LiveKit's server SDKs read."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from conftest import NOW
from google.protobuf import json_format
from happened import ANNA, CAMERA, CANARY, EVERYTHING, GRANT, PICTURE, ROOM, SEAT, SENDS
from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from signalling.domain.happenings import Happening, ParticipantJoined, ParticipantLeft, RoomFinished, TrackPublished
from signalling.domain.notices import Reason
from signalling.rtc.hooks import NAMES, event_of
from signalling.rtc.infos import participant_sid, room_sid, track_sid


def told(name: str, *, words: bool = False) -> WebhookEvent:
    return event_of(EVERYTHING[name], words=words)


def test_every_kind_of_happening_has_the_name_that_livekit_gives_it() -> None:
    assert set(NAMES) == set(get_args(Happening))
    assert [event_of(happening, words=True).event for happening in EVERYTHING.values()] == list(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_event_says_when_it_was_and_in_which_room(name: str) -> None:
    event = told(name)
    assert event.created_at == int(NOW.timestamp())
    assert (event.room.sid, event.room.name) == (room_sid(ROOM.room), "ward-7")
    assert event.room.num_participants == event.room.num_publishers == len(EVERYTHING[name].roster)


def test_a_participant_is_told_by_the_ids_that_the_sdks_know_and_with_what_they_may() -> None:
    who = told("participant_joined").participant
    assert (who.sid, who.identity) == (participant_sid(ROOM.room, SEAT.participant), "p_1")
    assert (who.state, who.is_publisher) == (models.ParticipantInfo.JOINED, True)
    assert who.permission.can_publish
    assert list(who.tracks) == [], "each has events of its own"


@pytest.mark.parametrize(
    ("reason", "called"),
    [
        (Reason.LEFT, models.DisconnectReason.CLIENT_INITIATED),
        (Reason.REMOVED, models.DisconnectReason.PARTICIPANT_REMOVED),
        (Reason.REPLACED, models.DisconnectReason.DUPLICATE_IDENTITY),
        (Reason.ROOM_FAILED, models.DisconnectReason.MEDIA_FAILURE),
    ],
)
def test_who_has_left_is_told_with_the_reason(reason: Reason, called: int) -> None:
    who = event_of(ParticipantLeft(room=ROOM, at=NOW, who=ANNA, reason=reason), words=False).participant
    assert (who.state, who.disconnect_reason) == (models.ParticipantInfo.DISCONNECTED, called)


def test_a_track_is_told_with_whose_it_is_and_what_it_shows() -> None:
    for name in ("track_published", "track_unpublished"):
        event = told(name)
        assert event.participant.identity == "p_1"
        assert event.track.sid == track_sid(SENDS.publication, PICTURE)
        assert (event.track.type, event.track.source) == (models.TrackType.VIDEO, models.TrackSource.CAMERA)
        assert (event.track.mime_type, event.track.muted) == ("video/VP8", True)


def test_who_speaks_livekits_protocol_is_told_by_the_sids_that_were_made_for_them() -> None:
    who, track = replace(ANNA, sid="PA_made"), replace(CAMERA, sid="TR_made")
    event = event_of(TrackPublished(room=ROOM, at=NOW, who=who, track=track), words=False)
    assert (event.participant.sid, event.track.sid) == ("PA_made", "TR_made")


@pytest.mark.parametrize(
    ("reason", "called"),
    [
        (Reason.ROOM_DELETED, models.RoomEndReason.ROOM_END_API_DELETE),
        (Reason.STOPPING, models.RoomEndReason.ROOM_END_SERVER_SHUTDOWN),
        (Reason.ROOM_FAILED, models.RoomEndReason.ROOM_END_UNKNOWN),
    ],
)
def test_a_room_that_has_ended_is_told_with_the_reason(reason: Reason, called: int) -> None:
    assert event_of(RoomFinished(room=ROOM, at=NOW, reason=reason), words=False).room_end_reason == called


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_that_anybody_wrote_is_told_unless_it_is_asked_for(name: str) -> None:
    assert CANARY not in json_format.MessageToJson(told(name))
    assert CANARY in json_format.MessageToJson(told(name, words=True))


def test_what_a_publisher_calls_its_codec_is_told_only_where_it_is_one() -> None:
    odd = replace(CAMERA, mime=CANARY)
    happening = TrackPublished(room=ROOM, at=NOW, who=ANNA, track=odd)
    assert event_of(happening, words=False).track.mime_type == ""
    assert event_of(happening, words=True).track.mime_type == CANARY


def test_words_that_cannot_be_written_are_in_the_way_only_where_they_would_be_told() -> None:
    who = replace(ANNA, grant=replace(GRANT, name="\ud800"))
    happening = ParticipantJoined(room=ROOM, at=NOW, who=who)
    assert event_of(happening, words=False).participant.identity == "p_1"
    with pytest.raises(ValueError, match=r"surrogate|UTF-8|encode"):
        event_of(happening, words=True)


def test_what_is_told_says_nothing_of_the_room_as_it_was_before() -> None:
    before = ROOM.metadata
    told("room_started")
    assert ROOM.metadata == before
