"""Clients of a meeting whose server was killed while their media goes on."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from livekit.protocol.models import DataPacket, TrackSource, TrackType, UserPacket
from livekit.protocol.rtc import (
    AddTrackRequest,
    SimulcastCodec,
    SubscriptionPermission,
    TrackPermission,
    UpdateTrackSettings,
)
from meeting_room import NOW, Caller, Line, MeetingRoom
from restarts import resumed

from signalling.domain.grants import Kind, Source
from signalling.media import ResumedRoom
from signalling.meetings.conference import RESUME_WITHIN
from signalling.rtc.asked import Asked
from signalling.rtc.subscribing import BEST

CANARY = "kanariefagel"


async def test_clients_go_on_at_the_next_server() -> None:
    there = await MeetingRoom().open()
    ann, bo = await there.meet("ann", name="Ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    notes = [ann.peer.note, bo.peer.note]
    assert all(b"Ann" not in note for note in notes)
    after = await there.killed()
    assert after.engine is there.engine
    assert [seat.participant for seat in after.rooms.roster(there.room.room)] == ["ann", "bo"]
    line = Line()
    session = await after.meetings.resume(there.room.room, there.grant("bo"), Asked(resumes=bo.sid), line)
    assert session is not None
    await after.settle()
    assert line.kinds()[0] == "reconnect"
    shown = line.participants()["ann"]
    assert [track.sid for track in shown.tracks] == [sid]
    assert shown.version >= bo.line.participants()["ann"].version
    bo = Caller(after, session, line)
    assert f"{ann.sid}|{sid} {sid}" in bo.offers()[-1].sdp, "a client would take it for another track"
    await bo.answer()
    assert after.receives(bo) == {sid}
    back = Line()
    returned = await after.meetings.resume(
        there.room.room, there.grant("ann", name="Ann"), Asked(resumes=ann.sid), back
    )
    assert returned is not None
    await after.settle()
    assert line.participants()["ann"].name == "Ann"
    await Caller(after, returned, back).answer()
    await after.pass_time(RESUME_WITHIN.total_seconds())
    assert set(line.participants()) == {"ann", "bo"}


async def test_at_the_next_server_everybody_may_what_they_might_and_no_word_about_them_is_known_yet() -> None:
    there = await MeetingRoom().open()
    rights = {
        "can_subscribe": False,
        "can_publish_data": False,
        "can_update_own_metadata": True,
        "sources": frozenset({Source.CAMERA, Source.MICROPHONE}),
        "kind": Kind.BRIDGE,
        "issued_at": NOW,
        "not_before": NOW,
    }
    words = {"name": "Ann", "metadata": "m", "attributes": {"a": "b"}}
    ann = await there.meet("ann", **rights, **words)
    after = await there.killed()
    found = after.meetings.find(there.room.room)
    assert found is not None
    before = ann.session.conference.meeting.client(ann.sid).grant
    assert found.meeting.client(ann.sid).grant == replace(before, name="", metadata="", attributes={})


async def test_who_is_not_back_at_the_next_server_in_time_is_gone() -> None:
    there = await MeetingRoom().open()
    ann = await there.meet("ann")
    await ann.publish("audio")
    after = await there.killed()
    await after.pass_time(RESUME_WITHIN.total_seconds())
    assert not after.rooms.roster(there.room.room)
    assert ann.peer.removed


async def test_of_a_picture_that_was_small_the_next_server_asks_for_the_best_until_it_hears_otherwise() -> None:
    there = await MeetingRoom().open()
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("video")
    await bo.answer()
    await bo.ask(track_setting=UpdateTrackSettings(track_sids=[sid], width=200, height=100))
    assert list(bo.peer.limits.values()) == [0]
    after = await there.killed()
    await after.settle()
    assert list(bo.peer.limits.values()) == [BEST]


async def test_what_was_said_at_the_server_before_nobody_hears_again() -> None:
    there = await MeetingRoom().open()
    ann, bo = await there.meet("ann"), await there.meet("bo")
    said = [DataPacket(user=UserPacket(payload=b"%d" % n), sequence=n).SerializeToString() for n in (1, 2, 3)]
    for each in said[:2]:
        ann.peer.say("_reliable", each)
    await there.settle()
    after = await there.killed()
    line = Line()
    await after.meetings.resume(there.room.room, there.grant("ann"), Asked(resumes=ann.sid), line)
    await after.settle()
    assert line.told[0].reconnect.last_message_seq == 2
    for each in said[1:]:
        ann.peer.say("_reliable", each)
    await after.settle()
    assert [DataPacket.FromString(heard.payload).sequence for heard in bo.peer.heard()] == [1, 2, 3]


async def test_what_a_client_calls_its_tracks_is_noted_and_reaches_no_log(logged: io.StringIO) -> None:
    there = await MeetingRoom().open()
    callers = [await there.meet(who) for who in ("ann", "bo")]
    for caller in callers:
        codecs = [SimulcastCodec(codec="vp8", cid=f"codec {CANARY}")]
        camera = {"type": TrackType.VIDEO, "source": TrackSource.CAMERA, "simulcast_codecs": codecs}
        words = {"cid": f"cid {CANARY}", "stream": f"stream {CANARY}", "name": f"name {CANARY}"}
        await caller.ask(add_track=AddTrackRequest(**camera, **words))  # type: ignore[arg-type]
        named = [TrackPermission(participant_identity=f"nobody {CANARY}", all_tracks=True)]
        await caller.ask(subscription_permission=SubscriptionPermission(track_permissions=named))
    assert CANARY.encode() in callers[0].peer.note
    damaged = json.loads(callers[1].peer.note)
    noted = json.loads(damaged["client"])
    noted["sent"][0]["kind"] = noted["sid"] = [CANARY]
    callers[1].peer.note = json.dumps(damaged | {"client": json.dumps(noted)}).encode()
    after = MeetingRoom(there)
    lines = len(logged.getvalue().splitlines())
    found = [resumed(caller.peer, has_ended=False) for caller in callers]
    (room,) = there.engine.rooms
    there.engine.found = [ResumedRoom(room=room, note=room.note, peers=tuple(found))]
    taking_up = after.rooms.resume(await there.store.load())
    after.meetings.take_up()
    await taking_up
    assert any("cannot be read" in line for line in logged.getvalue().splitlines()[lines:])
    assert CANARY not in logged.getvalue()
    assert CANARY not in repr(found) + repr(there.engine.found) + repr(callers[0].session.client.connection)
