"""Clients of a meeting whose server was killed while their media goes on."""

from __future__ import annotations

from livekit.protocol.models import DataPacket, UserPacket
from meeting_room import Caller, Line, MeetingRoom

from signalling.meetings.conference import RESUME_WITHIN
from signalling.rtc.asked import Asked


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


async def test_who_is_not_back_at_the_next_server_in_time_is_gone() -> None:
    there = await MeetingRoom().open()
    ann = await there.meet("ann")
    await ann.publish("audio")
    after = await there.killed()
    await after.pass_time(RESUME_WITHIN.total_seconds())
    assert not after.rooms.roster(there.room.room)
    assert ann.peer.removed


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
