"""Meetings in which somebody does what they may not, or the engine not what it should."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from livekit.protocol.models import (
    DataPacket,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
    TrackType,
    UserPacket,
    VideoLayer,
)
from livekit.protocol.rtc import (
    AddTrackRequest,
    RequestResponse,
    SimulcastCodec,
    SubscriptionPermission,
    SyncState,
    UpdateSubscription,
)
from meeting_room import MeetingRoom
from offers import offer

from signalling.domain.grants import Source
from signalling.domain.ids import ParticipantId
from signalling.domain.refusals import Refusal
from signalling.faults import NotFoundError, RefusedError
from signalling.media import MediaError
from signalling.media_events import Resynced
from signalling.meetings import downlink
from signalling.rtc.publishing import MAX_LAYERS, MAX_TEXT
from signalling.rtc.words import MAX_WORDS


async def test_a_right_that_the_engine_does_not_take_away_at_once_is_tried_again(
    there: MeetingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downlink, "RETRY_S", 0)
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    there.engine.faults["revoke"] = MediaError("something else")
    await bo.ask(subscription=UpdateSubscription(track_sids=[sid], subscribe=False))
    assert there.engine.edges()
    del there.engine.faults["revoke"]
    await there.settle()
    assert not there.engine.edges()


async def test_whose_connecting_was_among_lost_events_keeps_its_seat_and_its_channels_and_is_shown_as_there(
    there: MeetingRoom,
) -> None:
    ann, bo = await there.meet("ann"), await there.join("bo")
    await bo.answer()
    await bo.offer()
    dan = await there.join("dan")
    await dan.answer()
    (media,) = there.engine.rooms
    living = frozenset({ann.peer.id, bo.peer.id, dan.peer.id})
    lost = Resynced(media_rooms=frozenset({media.id}), peers=living, connected=frozenset({ann.peer.id, bo.peer.id}))
    there.engine.happened.put_nowait(lost)
    await there.settle()
    states = {who: info.state for who, info in ann.line.participants().items()}
    assert (states["bo"], states["dan"]) == (ParticipantInfo.State.ACTIVE, ParticipantInfo.State.JOINED)
    (receiving,) = bo.peer.offered
    assert set(receiving.channels) == {"_reliable", "_lossy"}
    for caller in (bo, dan):
        caller.session.on_end()
    await there.settle()
    assert [seat.participant for seat in there.rooms.roster(there.room.room)] == ["ann", "bo"]


async def test_a_meeting_stays_one_when_the_first_of_several_joins_fails(there: MeetingRoom) -> None:
    there.engine.full = True
    first = asyncio.ensure_future(there.join("ann"))
    second = asyncio.ensure_future(there.join("bo"))
    with pytest.raises(MediaError):
        await first
    there.engine.full = False
    with contextlib.suppress(MediaError):
        await second
    cia, dan = await there.meet("cia"), await there.meet("dan")
    assert cia.session.conference is dan.session.conference
    assert there.meetings.find(there.room.room) is cia.session.conference


async def test_who_watches_by_whep_sees_only_what_its_publisher_lets_them(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await ann.publish("video")
    viewer = await there.rooms.play(there.room.room, there.grant("tv"), "ann", offer("recvonly"))
    await ann.ask(subscription_permission=SubscriptionPermission(all_participants=False))
    assert viewer.watch.over
    assert not there.engine.edges()
    with pytest.raises(NotFoundError):
        await there.rooms.play(there.room.room, there.grant("tv"), "ann", offer("recvonly"))


async def test_a_picture_is_not_sent_as_a_microphone(there: MeetingRoom) -> None:
    ann = await there.meet("ann", sources=frozenset({Source.MICROPHONE}))
    camera = AddTrackRequest(cid="c", type=TrackType.VIDEO, source=TrackSource.MICROPHONE)
    await ann.ask(add_track=camera)
    assert ann.line.last("request_response").request_response.reason == RequestResponse.Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * (MAX_TEXT + 1)},
        {"stream": "s" * (MAX_TEXT + 1)},
        {"layers": [VideoLayer()] * (MAX_LAYERS + 1)},
        {"layers": [VideoLayer(rid="r" * MAX_TEXT)]},
        {"layers": [VideoLayer.FromString(b"\xfa\x01\x80\x02" + b"?" * 256)]},
        {"simulcast_codecs": [SimulcastCodec(layers=[VideoLayer(rid="r" * MAX_TEXT)])]},
        {"simulcast_codecs": [SimulcastCodec(codec="c" * (MAX_TEXT + 1))]},
    ],
)
async def test_nobody_says_so_much_of_a_track_that_others_are_told_too_much(
    there: MeetingRoom, fields: dict[str, object]
) -> None:
    ann = await there.meet("ann")
    await ann.ask(add_track=AddTrackRequest(cid="c", type=TrackType.VIDEO, **fields))  # type: ignore[arg-type]
    assert ann.line.last("request_response").request_response.reason == RequestResponse.Reason.LIMIT_EXCEEDED


async def test_no_more_is_written_on_anybody_bit_by_bit_than_at_once(there: MeetingRoom) -> None:
    ann = await there.meet("ann")

    async def write(**attributes: str) -> None:
        await there.administering.update_participant(
            there.room.room, ParticipantId("ann"), name=None, metadata=None, attributes=attributes, permission=None
        )

    await write(a="1" * (MAX_WORDS // 2))
    with pytest.raises(RefusedError) as refused:
        await write(b="2" * (MAX_WORDS // 2))
    assert refused.value.refusal is Refusal.ATTRIBUTES_TOO_LONG
    await write(a="", b="3")
    assert dict(ann.line.participants()["ann"].attributes) == {"b": "3"}


async def test_what_is_still_sent_of_a_track_that_was_withdrawn_is_no_other_one(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    await ann.publish("video")
    may = ParticipantPermission(can_subscribe=True, can_publish=False)
    for can_publish in (False, True):
        may.can_publish = can_publish
        await there.administering.update_participant(
            there.room.room, ParticipantId("ann"), name=None, metadata=None, attributes=None, permission=may
        )
    await ann.announce("video", cid="screen")
    assert not there.engine.live_tracks()
    assert not bo.line.participants()["ann"].tracks


async def test_a_client_without_rights_is_sent_nothing_again(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo", can_subscribe=False)
    packet = DataPacket(user=UserPacket(payload=b"secret"), sequence=1)
    ann.peer.say("_reliable", packet.SerializeToString())
    await there.settle()
    await bo.ask(sync_state=SyncState())
    assert not bo.peer.heard()
