"""Tracks that an administrating system mutes: whoever sends them learns it once, and does not take it for a mistake."""

from __future__ import annotations

from livekit.protocol.rtc import MuteTrackRequest
from meeting_room import Caller, Line, MeetingRoom

from signalling.domain.ids import ParticipantId
from signalling.rtc.asked import Asked


async def mute(there: MeetingRoom, sid: str, *, muted: bool = True) -> None:
    await there.administering.mute_track(there.room.room, ParticipantId("ann"), sid, muted=muted)
    await there.settle()


async def back(there: MeetingRoom, caller: Caller, who: str) -> Caller:
    line = Line()
    session = await there.meetings.resume(there.room.room, there.grant(who), Asked(resumes=caller.sid), line)
    assert session is not None
    await there.settle()
    return Caller(there, session, line)


def mutes(caller: Caller) -> list[tuple[str, bool]]:
    return [(told.mute.sid, told.mute.muted) for told in caller.line.told if told.WhichOneof("message") == "mute"]


def is_shown_muted(who: str, *, to: Caller) -> bool:
    (track,) = to.line.participants()[who].tracks
    return track.muted


async def test_who_is_back_learns_first_that_it_was_muted_meanwhile(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    sid = await ann.publish("audio")
    ann.session.on_end()
    await mute(there, sid)
    assert is_shown_muted("ann", to=bo)
    ann = await back(there, ann, "ann")
    assert mutes(ann) == [(sid, True)]
    assert ann.line.kinds().index("mute") < ann.line.kinds().index("update")


async def test_a_sender_is_shown_muted_to_itself_once_it_has_said_so(there: MeetingRoom) -> None:
    # Of a difference LiveKit's clients say how they have it, and so undo what was not theirs.
    ann = await there.meet("ann")
    sid = await ann.publish("audio")
    await mute(there, sid)
    assert not is_shown_muted("ann", to=ann)
    ann.session.on_end()
    ann = await back(there, ann, "ann")
    assert not is_shown_muted("ann", to=ann)
    await ann.ask(mute=MuteTrackRequest(sid=sid, muted=True))
    assert is_shown_muted("ann", to=ann)
    ann.session.on_end()
    ann = await back(there, ann, "ann")
    assert not mutes(ann)
    assert is_shown_muted("ann", to=ann)


async def test_of_a_mute_that_was_taken_back_meanwhile_nobody_learns(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    sid = await ann.publish("audio")
    ann.session.on_end()
    for muted in (True, False):
        await mute(there, sid, muted=muted)
    assert not mutes(await back(there, ann, "ann"))


async def test_of_what_its_sender_muted_it_learns_nothing(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    sid = await ann.publish("audio", muted=True)
    await ann.ask(mute=MuteTrackRequest(sid=sid, muted=False))
    await ann.ask(mute=MuteTrackRequest(sid=sid, muted=True))
    ann.session.on_end()
    assert not mutes(await back(there, ann, "ann"))


async def test_who_is_back_at_the_next_server_learns_that_the_one_before_muted_it() -> None:
    there = await MeetingRoom().open()
    ann = await there.meet("ann")
    sids = {muted: await ann.publish("audio", muted=muted) for muted in (True, False)}
    ann.session.on_end()
    await mute(there, sids[False])
    after = await there.killed()
    assert mutes(await back(after, ann, "ann")) == [(sids[False], True)]
