"""Meetings of LiveKit's clients, from what they ask to what the media engine is asked to do."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol.models import (
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
)
from livekit.protocol.rtc import (
    LeaveRequest,
    MuteTrackRequest,
    RequestResponse,
    SyncState,
    TrackPublishedResponse,
    UpdateParticipantMetadata,
    UpdateSubscription,
    UpdateTrackSettings,
)
from meeting_room import Line, MeetingRoom
from offers import offer

from signalling.domain.grants import Source
from signalling.domain.ids import ParticipantId
from signalling.domain.refusals import Refusal
from signalling.faults import NotFoundError, RefusedError
from signalling.media_events import PeerGone
from signalling.meetings.conference import RESUME_WITHIN
from signalling.meetings.edge import RENEW_EVERY
from signalling.rtc.asked import Asked
from signalling.rtc.offering import ANSWER_WITHIN

# --- coming in ---


async def test_who_comes_in_is_told_so_first_then_gets_a_token_and_an_offer(there: MeetingRoom) -> None:
    ann = await there.join("ann")
    assert ann.line.kinds()[:3] == ["join", "refresh_token", "offer"]
    join = ann.line.told[0].join
    assert join.participant.sid.startswith("PA_")
    assert join.participant.permission.can_publish
    assert join.subscriber_primary
    assert (join.ping_interval, join.ping_timeout) == (3, 9)
    assert join.room.name == "round"


async def test_everybody_sees_everybody(there: MeetingRoom) -> None:
    ann, bo = await there.join("ann"), await there.join("bo", name="Bo")
    assert [info.identity for info in bo.line.told[0].join.other_participants] == ["ann"]
    assert ann.line.participants()["bo"].name == "Bo"
    assert [seat.participant for seat in there.rooms.roster(there.room.room)] == ["ann", "bo"]


async def test_whoever_may_receive_nothing_is_offered_nothing(there: MeetingRoom) -> None:
    ann = await there.meet("ann", can_subscribe=False)
    assert not ann.line.told[0].join.subscriber_primary
    assert not ann.offers()


async def test_a_token_for_another_room_opens_nothing(there: MeetingRoom) -> None:
    with pytest.raises(RefusedError) as refused:
        await there.join("ann", room="r_other")
    assert refused.value.refusal is Refusal.TOKEN_FOR_OTHER_ROOM


async def test_who_was_removed_does_not_come_back(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    await ann.publish("audio")
    await there.rooms.remove(there.room.room, ParticipantId("ann"))
    await there.settle()
    leave = ann.line.last("leave").leave
    assert (leave.action, leave.reason) == (LeaveRequest.Action.DISCONNECT, DisconnectReason.PARTICIPANT_REMOVED)
    assert ann.line.ended
    assert "ann" not in bo.line.participants()
    assert not there.receives(bo)
    with pytest.raises(RefusedError):
        await there.join("ann")


async def test_who_joins_again_takes_the_place_of_the_one_before(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    again = await there.meet("ann")
    leave = ann.line.last("leave").leave
    assert (leave.action, leave.reason) == (LeaveRequest.Action.DISCONNECT, DisconnectReason.DUPLICATE_IDENTITY)
    assert bo.line.participants()["ann"].sid == again.sid != ann.sid
    assert [seat.participant for seat in there.rooms.roster(there.room.room)] == ["bo", "ann"]


async def test_who_leaves_is_gone_with_all_that_they_had(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    await ann.publish("video")
    await bo.answer()
    await ann.ask(leave=LeaveRequest())
    assert ann.line.ended
    assert ann.peer.removed
    assert list(bo.line.participants()) == ["bo"]
    assert there.engine.data_edges() == set()
    conference = bo.session.conference
    assert list(conference.clients) == [bo.sid]
    assert not conference.tracks


async def test_a_room_that_is_deleted_sends_everybody_away(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await there.rooms.delete(there.room.room)
    await there.settle()
    assert ann.line.last("leave").leave.reason == DisconnectReason.ROOM_DELETED
    assert ann.line.ended
    await there.pass_time(1)
    assert there.meetings.find(there.room.room) is None


# --- sending and receiving ---


async def test_a_track_is_shown_before_it_is_offered_and_flows_once_that_is_answered(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    kinds = bo.line.kinds()
    assert kinds.index("offer", kinds.index("offer") + 1) > max(i for i, kind in enumerate(kinds) if kind == "update")
    assert bo.line.participants()["ann"].tracks[0].sid == sid
    assert f"{ann.sid}|{sid} {sid}" in bo.line.last("offer").offer.sdp
    assert not there.engine.edges()
    await bo.answer()
    assert there.receives(bo) == {sid}
    assert [seat.receives_from for seat in there.rooms.roster(there.room.room)] == [(), ("ann",)]


async def test_tracks_are_found_whether_announced_or_offered_first(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    ann.sections.append(("0", "audio", "later"))
    await ann.offer()
    assert not bo.line.participants()["ann"].tracks
    sid = await ann.announce("audio", cid="later")
    assert [track.sid for track in bo.line.participants()["ann"].tracks] == [sid]


async def test_what_was_never_announced_is_nobodys_track(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    ann.sections.append(("0", "video", "secret"))
    await ann.offer()
    assert not ann.sending.tracks
    assert not bo.line.participants()["ann"].tracks


async def test_what_is_not_granted_is_not_announced(there: MeetingRoom) -> None:
    ann = await there.meet("ann", sources=frozenset({Source.MICROPHONE}))
    with pytest.raises(LookupError):
        await ann.announce("video", cid="camera")
    assert ann.line.last("request_response").request_response.reason == RequestResponse.Reason.NOT_ALLOWED
    assert await ann.publish("audio")


async def test_one_offer_at_a_time_and_what_changes_meanwhile_goes_into_the_next(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    first = await ann.publish("audio")
    second = await ann.publish("video")
    assert len(bo.offers()) == 2  # the first of all, and that of the sound
    assert bo.offered() == {first}
    await bo.answer()
    assert len(bo.offers()) == 3
    assert bo.offered() == {first, second}


async def test_what_is_unpublished_ends_for_everybody(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    await ann.publish("video")
    await bo.answer()
    ann.sections.clear()
    await ann.offer()
    assert not bo.line.participants()["ann"].tracks
    assert not there.engine.live_tracks()
    assert not bo.offered()
    await bo.answer()
    again = await ann.publish("video")
    await bo.answer()
    assert there.receives(bo) == {again}


async def test_who_wants_nothing_by_itself_receives_what_it_asks_for(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo", auto_subscribe=False)
    sid = await ann.publish("video")
    assert not bo.offered()
    await bo.ask(subscription=UpdateSubscription(track_sids=[sid], subscribe=True))
    await bo.answer()
    assert there.receives(bo) == {sid}
    await bo.ask(subscription=UpdateSubscription(track_sids=[sid], subscribe=False))
    assert not there.receives(bo)
    assert not there.engine.edges()


async def test_a_picture_that_is_not_shown_does_not_flow(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], disabled=True))
    assert not there.engine.edges()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], width=200, height=100))
    assert there.receives(bo) == {sid}
    assert list(bo.peer.limits.values()) == [0]
    assert len(bo.offers()) == 2


async def test_what_somebody_is_to_receive_waits_for_the_engine_together(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sids = [await ann.publish("audio") for _ in range(3)]
    for _ in range(2):  # what came while the first of them was offered is in the next offer
        await bo.answer()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=sids, disabled=True))
    asked: list[str] = []
    there.engine.at_pause, there.engine.held = lambda: asked.append("allow"), asyncio.Event()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=sids))
    assert len(asked) == 3, "none has its answer yet"
    there.engine.held.set()
    await there.settle()
    assert there.receives(bo) == set(sids)


async def test_a_publisher_makes_no_picture_that_nobody_wants(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], width=200, height=100))
    await there.pass_time(5.1)
    update = ann.line.last("subscribed_quality_update").subscribed_quality_update
    assert [quality.enabled for quality in update.subscribed_qualities] == [True, False, False]
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], width=1280, height=720))
    update = ann.line.last("subscribed_quality_update").subscribed_quality_update
    assert [quality.enabled for quality in update.subscribed_qualities] == [True, True, True]


async def test_who_watches_by_whep_is_shown_the_best_picture_at_once(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], width=200, height=100))
    await there.pass_time(5.1)
    await there.rooms.play(there.room.room, there.grant("tv"), "ann", offer("recvonly"))
    await there.settle()
    update = ann.line.last("subscribed_quality_update").subscribed_quality_update
    assert [quality.enabled for quality in update.subscribed_qualities] == [True, True, True]


async def test_that_somebody_is_connected_stirs_nobody_else(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.join("bo")
    ann.session.client.stirred.clear()
    bo.session.conference.on_connected(bo.session.client)
    assert not ann.session.client.stirred.is_set()
    assert ann.line.participants()["bo"].state == ParticipantInfo.State.ACTIVE


async def test_a_muted_track_flows_to_nobody(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("audio")
    await bo.answer()
    await ann.ask(mute=MuteTrackRequest(sid=sid, muted=True))
    assert bo.line.participants()["ann"].tracks[0].muted
    assert not there.receives(bo)
    await ann.ask(mute=MuteTrackRequest(sid=sid, muted=False))
    assert there.receives(bo) == {sid}


async def test_nobody_mutes_what_is_somebody_elses(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("audio")
    await bo.answer()
    await bo.ask(mute=MuteTrackRequest(sid=sid, muted=True))
    assert there.receives(bo) == {sid}


# --- by other means ---


async def test_a_camera_by_whip_is_seen_by_clients(there: MeetingRoom) -> None:
    bo = await there.meet("bo")
    camera = await there.rooms.publish(there.room.room, there.grant("cam"), offer())
    await there.settle()
    tracks = bo.line.participants()["cam"].tracks
    assert {track.source for track in tracks} == {TrackSource.MICROPHONE, TrackSource.CAMERA}
    await bo.answer()
    assert there.receives(bo) == {track.sid for track in tracks}
    await there.rooms.close(there.room.room, camera.resource)
    await there.settle()
    assert "cam" not in bo.line.participants()
    assert not there.receives(bo)


async def test_the_first_client_sees_a_camera_by_whip_that_was_there_before(there: MeetingRoom) -> None:
    await there.rooms.publish(there.room.room, there.grant("cam"), offer())
    bo = await there.meet("bo")
    (camera,) = bo.line.told[0].join.other_participants
    assert (camera.identity, len(camera.tracks)) == ("cam", 2)
    assert there.receives(bo) == {track.sid for track in camera.tracks}


async def test_who_watches_by_whep_is_seen_and_sees_clients(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await ann.publish("video")
    viewer = await there.rooms.play(there.room.room, there.grant("tv"), "ann", offer("recvonly"))
    await there.settle()
    assert "tv" in ann.line.participants()
    assert len(there.engine.edges()) == 1
    ann.sections.clear()
    await ann.offer()
    assert viewer.watch.over


# --- lines that are lost ---


async def test_who_has_media_may_come_back_within_the_time(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("audio")
    await bo.answer()
    bo.session.on_end()
    await there.pass_time(RESUME_WITHIN.total_seconds() - 1)
    assert there.receives(bo) == {sid}
    cia = await there.meet("cia")
    await cia.ask(leave=LeaveRequest())
    dan = await there.meet("dan")
    line = Line()
    asked = Asked(resumes=bo.sid)
    session = await there.meetings.resume(there.room.room, there.grant("bo"), asked, line)
    assert session is not None
    await there.settle()
    assert line.kinds()[0] == "reconnect"
    assert {info.identity for info in line.told[1].update.participants} == {"ann", "bo", "cia", "dan"}
    gone = [info for info in line.told[1].update.participants if info.state == ParticipantInfo.State.DISCONNECTED]
    assert [info.identity for info in gone] == ["cia"]
    assert "offer" in line.kinds()
    bo.session, bo.line = session, line
    await bo.answer()
    assert there.receives(bo) == {sid}
    assert dan.line.participants()["bo"].sid == bo.sid


async def test_who_does_not_come_back_in_time_is_gone(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    bo.session.on_end()
    await there.pass_time(RESUME_WITHIN.total_seconds())
    assert "bo" not in ann.line.participants()
    assert bo.peer.removed


async def test_of_a_client_without_media_nothing_is_kept(there: MeetingRoom) -> None:
    ann = await there.join("ann")
    ann.session.on_end()
    await there.settle()
    assert ann.peer.removed
    assert not there.rooms.roster(there.room.room)


@pytest.mark.parametrize("sid", ["PA_nobody", ""])
async def test_who_resumes_what_there_is_not_has_to_join_anew(there: MeetingRoom, sid: str) -> None:
    line = Line()
    assert await there.meetings.resume(there.room.room, there.grant("ann"), Asked(resumes=sid), line) is None
    leave = line.last("leave").leave
    assert (leave.action, leave.can_reconnect) == (LeaveRequest.Action.RECONNECT, True)
    assert leave.reason == DisconnectReason.STATE_MISMATCH
    assert line.ended


async def test_nobody_resumes_as_somebody_else(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    line = Line()
    assert await there.meetings.resume(there.room.room, there.grant("eve"), Asked(resumes=ann.sid), line) is None
    assert line.kinds() == ["leave"]
    assert not ann.line.ended
    await ann.publish("audio")
    assert ann.line.kinds()[-1] in ("answer", "update")


async def test_who_believes_to_send_what_there_is_not_has_to_join_anew(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    published = TrackPublishedResponse(cid="x")
    published.track.sid = "TR_lost"
    await ann.ask(sync_state=SyncState(publish_tracks=[published]))
    assert ann.line.last("leave").leave.action == LeaveRequest.Action.RECONNECT


async def test_who_never_answers_has_to_join_anew(there: MeetingRoom) -> None:
    ann = await there.join("ann")
    await there.pass_time(ANSWER_WITHIN.total_seconds())
    assert ann.line.last("leave").leave.action == LeaveRequest.Action.RECONNECT
    assert ann.peer.removed


async def test_whose_media_is_lost_has_to_join_anew(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    there.engine.happened.put_nowait(PeerGone(peer=ann.peer.id, reason="ice"))
    await there.settle()
    assert ann.line.last("leave").leave.action == LeaveRequest.Action.RECONNECT
    assert "ann" not in bo.line.participants()


async def test_who_stays_is_given_other_tokens(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await there.pass_time(RENEW_EVERY.total_seconds())
    tokens = [each.refresh_token for each in ann.line.told if each.WhichOneof("message") == "refresh_token"]
    assert tokens == ["token1", "token2"]


# --- what an administrating system does ---


async def test_a_right_that_is_taken_away_ends_what_flowed_by_it_before_the_answer(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    await ann.publish("video")
    await bo.answer()
    nothing = ParticipantPermission(can_subscribe=False, can_publish=True, can_publish_data=False)
    await there.administering.update_participant(
        there.room.room, ParticipantId("bo"), name=None, metadata=None, attributes=None, permission=nothing
    )
    assert not there.engine.edges()
    assert there.engine.data_edges() == set()
    silenced = ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)
    await there.administering.update_participant(
        there.room.room, ParticipantId("ann"), name="Ann", metadata=None, attributes={"a": "b"}, permission=silenced
    )
    assert not there.engine.live_tracks()
    assert "track_unpublished" in ann.line.kinds()
    assert bo.line.participants()["ann"].name == "Ann"
    ann.line.told.clear()
    with pytest.raises(LookupError):
        await ann.announce("video", cid="again")


async def test_a_track_is_muted_from_afar_and_its_publisher_told(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("audio")
    await bo.answer()
    info = await there.administering.mute_track(there.room.room, ParticipantId("ann"), sid, muted=True)
    assert info.muted
    assert not there.receives(bo)
    assert ann.line.last("mute").mute.sid == sid
    with pytest.raises(NotFoundError):
        await there.administering.mute_track(there.room.room, ParticipantId("bo"), sid, muted=True)


async def test_who_may_not_write_on_themselves_does_not(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await ann.ask(update_metadata=UpdateParticipantMetadata(name="Queen", request_id=7))
    response = ann.line.last("request_response").request_response
    assert (response.request_id, response.reason) == (7, RequestResponse.Reason.NOT_ALLOWED)
    bo = await there.meet("bo", can_update_own_metadata=True)
    await bo.ask(update_metadata=UpdateParticipantMetadata(name="King", attributes={"a": "1"}, request_id=8))
    assert ann.line.participants()["bo"].name == "King"
    assert dict(ann.line.participants()["bo"].attributes) == {"a": "1"}
    assert bo.line.last("request_response").request_response.reason == RequestResponse.Reason.OK
