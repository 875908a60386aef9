"""What happens in rooms, as it is told."""

from __future__ import annotations

from livekit.protocol.rtc import LeaveRequest
from meeting_room import MeetingRoom
from offers import offer

from signalling.domain.grants import Source
from signalling.domain.happenings import (
    Happening,
    ParticipantJoined,
    ParticipantLeft,
    RoomFinished,
    RoomStarted,
    TrackPublished,
    TrackUnpublished,
)
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Reason


async def chronicled() -> tuple[MeetingRoom, list[Happening]]:
    told: list[Happening] = []
    there = MeetingRoom(tell=told.append)
    await there.open()
    return there, told


async def test_a_clients_meeting_is_told_from_beginning_to_end() -> None:
    there, told = await chronicled()
    ann = await there.meet("ann", name="Ann")
    sid = await ann.publish("video")
    ann.sections.clear()
    await ann.offer()
    await ann.ask(leave=LeaveRequest())
    await there.rooms.delete(there.room.room)
    await there.settle()
    assert [type(happening) for happening in told] == [
        RoomStarted,
        ParticipantJoined,
        TrackPublished,
        TrackUnpublished,
        ParticipantLeft,
        RoomFinished,
    ]
    _, joined, published, unpublished, left, finished = told
    assert isinstance(joined, ParticipantJoined)
    assert joined.who.sid == ann.sid
    assert joined.who.grant is not None
    assert joined.who.grant.name == "Ann"
    assert isinstance(published, TrackPublished)
    assert (published.track.sid, published.track.source) == (sid, Source.CAMERA)
    assert isinstance(unpublished, TrackUnpublished)
    assert unpublished.track.sid == sid
    assert isinstance(left, ParticipantLeft)
    assert (left.reason, left.who.sid) == (Reason.LEFT, ann.sid)
    assert isinstance(finished, RoomFinished)
    assert finished.reason is Reason.ROOM_DELETED


async def test_those_who_come_by_whip_are_told_of_and_why_they_left() -> None:
    there, told = await chronicled()
    await there.rooms.publish(there.room.room, there.grant("cam"), offer())
    await there.settle()
    await there.rooms.remove(there.room.room, ParticipantId("cam"))
    await there.settle()
    assert [type(happening) for happening in told[1:]] == [
        ParticipantJoined,
        TrackPublished,
        TrackPublished,
        TrackUnpublished,
        TrackUnpublished,
        ParticipantLeft,
    ]
    left = told[-1]
    assert isinstance(left, ParticipantLeft)
    assert left.reason is Reason.REMOVED


async def test_whoever_is_in_a_room_that_ends_has_left_it_before() -> None:
    there, told = await chronicled()
    await there.meet("ann")
    await there.rooms.delete(there.room.room)
    await there.settle()
    assert [type(happening) for happening in told] == [RoomStarted, ParticipantJoined, ParticipantLeft, RoomFinished]


async def test_the_next_server_tells_of_nobody_who_was_there_already() -> None:
    there, _ = await chronicled()
    ann = await there.meet("ann")
    await ann.publish("audio")
    told: list[Happening] = []
    after = await there.killed(tell=told.append)
    assert not told
    await after.rooms.remove(there.room.room, ParticipantId("ann"))
    await after.settle()
    assert [type(happening) for happening in told] == [TrackUnpublished, ParticipantLeft]
