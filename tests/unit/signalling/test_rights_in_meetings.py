"""Rights that are changed in a meeting: whoever leaves it, or loses it, has no other ones when they are back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackSource, TrackType
from livekit.protocol.rtc import AddTrackRequest, RequestResponse
from meeting_room import NOW, Caller, MeetingRoom

from signalling.domain import room as rooms
from signalling.domain.ids import ParticipantId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import rights_of
from signalling.faults import RefusedError
from signalling.meetings.edge import RENEW_EVERY, LiveMeetings
from signalling.store.base import StoreUnavailableError

MUTED = ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)


async def permit(there: MeetingRoom, who: str, permission: ParticipantPermission | None) -> ParticipantInfo:
    return await there.administering.update_participant(
        there.room.room, ParticipantId(who), name="Ann", metadata=None, attributes=None, permission=permission
    )


async def is_refused(caller: Caller) -> bool:
    """Whether somebody cannot announce a microphone."""
    await caller.ask(add_track=AddTrackRequest(cid="c", type=TrackType.AUDIO, source=TrackSource.MICROPHONE))
    return caller.line.last("request_response").request_response.reason == RequestResponse.Reason.NOT_ALLOWED


async def test_who_was_muted_for_good_is_so_after_joining_anew_with_the_token_that_they_had(
    there: MeetingRoom,
) -> None:
    ann = await there.meet("ann", issued_at=NOW)
    await ann.publish("audio")
    await permit(there, "ann", MUTED)
    assert await is_refused(ann)
    (seat,) = there.rooms.roster(there.room.room)
    assert seat.publishes == (), "but they are there, and hear the others"
    assert not ann.line.ended
    again = await there.join("ann", issued_at=NOW)
    assert not again.line.told[0].join.participant.permission.can_publish
    assert await is_refused(again)


async def test_the_tokens_that_clients_are_given_carry_the_change_and_undo_it_for_no_older_one(
    there: MeetingRoom,
) -> None:
    await there.join("ann", issued_at=NOW)
    await permit(there, "ann", MUTED)
    assert not there.tokens.grants[-1].can_publish, "at once"
    await there.pass_time(RENEW_EVERY.total_seconds())
    assert not there.tokens.grants[-1].can_publish
    again = await there.join("ann", can_publish=False, issued_at=there.clock.utc())
    assert await is_refused(again)
    last = await there.join("ann", issued_at=NOW)
    assert await is_refused(last)


async def test_whoever_is_given_a_newer_token_may_what_that_says(there: MeetingRoom) -> None:
    await there.join("ann", issued_at=NOW)
    await permit(there, "ann", MUTED)
    again = await there.join("ann", issued_at=NOW + timedelta(seconds=1))
    assert await again.announce("audio", cid="c")


async def test_other_words_change_no_right_and_are_not_kept(there: MeetingRoom) -> None:
    await there.join("ann", issued_at=NOW)
    assert (await permit(there, "ann", None)).name == "Ann"
    assert there.room.rights == {}


async def test_a_change_that_a_room_cannot_remember_is_refused_whole(
    there: MeetingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MAX_CHANGED_RIGHTS", 0)
    ann = await there.meet("ann")
    await ann.publish("audio")
    with pytest.raises(RefusedError) as refused:
        await permit(there, "ann", MUTED)
    assert refused.value.refusal is Refusal.TOO_MANY_CHANGED_RIGHTS
    assert there.engine.live_tracks()
    assert ann.line.participants()["ann"].name == ""


async def test_what_flowed_has_ended_although_the_disk_takes_nothing(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    await ann.publish("audio")
    there.store.unavailable = True
    with pytest.raises(StoreUnavailableError):
        await permit(there, "ann", MUTED)
    assert not there.engine.live_tracks()
    assert await is_refused(await there.join("ann"))


async def test_rights_that_were_changed_as_a_server_ended_hold_at_the_next_one(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    for caller in (ann, bo):
        await caller.publish("audio")
    await there.pass_time(0)  # what is noted is noted now and then
    muted = replace(there.grant("ann"), can_publish=False)
    there.room.rights[muted.participant] = rights_of(muted, now=NOW)  # it is on disk, and the server is killed
    after = LiveMeetings(there.rooms, there.tokens, utc=there.clock.utc, steady=there.clock)
    after.take_up()
    await there.settle()
    assert [seat.participant for seat in there.rooms.roster(there.room.room)] == ["bo"]
    assert len(there.engine.live_tracks()) == 1
