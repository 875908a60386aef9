"""What clients of a meeting say to each other, and what the server tells one of them."""

from __future__ import annotations

import json

from livekit.protocol.models import DataPacket, UserPacket
from livekit.protocol.rtc import DataChannelReceiveState, SyncState
from meeting_room import Caller, MeetingRoom

from signalling.domain.flow import Cause
from signalling.meetings.client import HEARS_AFTER, MAX_UNHEARD
from signalling.meetings.talking import FLOW_TOPIC, MAX_WAITING_MESSAGES


def said(payload: bytes = b"hello", *, sequence: int = 0, **fields: object) -> bytes:
    packet = DataPacket(user=UserPacket(payload=payload, topic="chat"), sequence=sequence, **fields)  # type: ignore[arg-type]
    return packet.SerializeToString()


def heard(caller: Caller) -> list[tuple[str, bytes, str]]:
    packets = [(message.label, DataPacket.FromString(message.payload)) for message in caller.peer.heard()]
    return [(label, packet.user.payload, packet.participant_identity) for label, packet in packets]


async def test_what_somebody_says_everybody_else_hears_and_from_whom(there: MeetingRoom) -> None:
    ann, bo, cia = await there.meet("ann"), await there.meet("bo"), await there.meet("cia")
    ann.peer.say("_reliable", said(participant_identity="bo", sequence=1))
    ann.peer.say("_lossy", said(b"dot"))
    ann.peer.say("other", said(b"nobody's"))
    await there.settle()
    assert heard(bo) == heard(cia) == [("_reliable", b"hello", "ann"), ("_lossy", b"dot", "ann")]
    assert not heard(ann)


async def test_what_is_said_to_one_nobody_else_hears(there: MeetingRoom) -> None:
    ann, bo, cia = await there.meet("ann"), await there.meet("bo"), await there.meet("cia")
    ann.peer.say("_reliable", said(destination_identities=["cia"]))
    await there.settle()
    assert not heard(bo)
    assert len(heard(cia)) == 1


async def test_what_is_said_before_somebody_can_hear_comes_once_they_can_and_in_order(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    client = bo.session.client
    client.can_hear = False  # as in the moment of a join
    for number in range(3):
        ann.peer.say("_reliable", said(b"%d" % number, sequence=number + 1))
    ann.peer.say("_lossy", said(b"dot"))
    await there.settle()
    assert not [label for label, *_ in heard(bo) if label == "_reliable"]
    client.stirred.set()
    ann.peer.say("_reliable", said(b"3", sequence=4))
    await there.settle()
    assert [payload for label, payload, _ in heard(bo) if label == "_reliable"] == [b"0", b"1", b"2", b"3"]


async def test_on_a_channel_that_has_just_opened_nothing_is_said_for_a_moment(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    bo.session.client.hears_at = there.clock() + HEARS_AFTER
    ann.peer.say("_reliable", said(sequence=1))
    await there.settle()
    bo.session.client.stirred.set()
    await there.settle()
    assert not heard(bo)
    await there.pass_time(HEARS_AFTER.total_seconds())
    assert heard(bo) == [("_reliable", b"hello", "ann")]


async def test_what_is_said_before_the_right_to_hear_it_is_given_comes_once_it_is(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    state = there.meetings.find(there.room.room).meeting.client(bo.sid).receiving  # type: ignore[union-attr]
    state.data_from.clear()
    ann.peer.say("_reliable", said(sequence=1))
    await there.settle()
    assert not heard(bo)
    bo.session.client.stirred.set()
    await there.settle()
    assert heard(bo) == [("_reliable", b"hello", "ann")]


async def test_for_somebody_who_cannot_hear_no_more_waits_than_so_much(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    client = bo.session.client
    client.can_hear = False
    for number in range(MAX_UNHEARD + 10):
        ann.peer.say("_reliable", said(b"%d" % number, sequence=number + 1))
    for _ in range(MAX_UNHEARD):
        await there.settle()  # one after the other
    assert not heard(bo)
    client.stirred.set()
    for _ in range(MAX_UNHEARD):
        await there.settle()
    assert [payload for _, payload, _ in heard(bo)] == [b"%d" % number for number in range(10, MAX_UNHEARD + 10)]


async def test_who_may_say_nothing_is_not_heard(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann", can_publish_data=False), await there.meet("bo")
    ann.peer.say("_reliable", said())
    await there.settle()
    assert not heard(bo)
    assert (bo.peer.id, ann.peer.id) not in there.engine.data_edges()


async def test_what_somebody_sends_again_is_heard_once(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    for sequence in (1, 2, 1, 2, 3):
        ann.peer.say("_reliable", said(str(sequence).encode(), sequence=sequence))
    await there.settle()
    assert [payload for _, payload, _ in heard(bo)] == [b"1", b"2", b"3"]


async def test_nobody_who_says_too_much_keeps_others_from_being_heard(there: MeetingRoom) -> None:
    ann, bo, cia = await there.meet("ann"), await there.meet("bo"), await there.meet("cia")
    talking = ann.session.conference.talking
    for number in range(MAX_WAITING_MESSAGES + 10):
        talking.on_said(ann.session.client, "_reliable", said(str(number).encode()))
    talking.on_said(bo.session.client, "_reliable", said(b"hush"))
    for _ in range(MAX_WAITING_MESSAGES):
        await there.settle()
        if len(heard(cia)) == MAX_WAITING_MESSAGES + 1:
            break
    payloads = [payload for _, payload, _ in heard(cia)]
    assert payloads[0] == b"10"
    assert payloads.index(b"hush") == 1


async def test_who_comes_back_hears_what_was_said_meanwhile(there: MeetingRoom) -> None:
    ann, bo = await there.meet("ann"), await there.meet("bo")
    for number in (1, 2, 3):
        ann.peer.say("_reliable", said(str(number).encode(), sequence=number))
    await there.settle()
    before = len(heard(bo))
    state = DataChannelReceiveState(publisher_sid=ann.sid, last_seq=1)
    await bo.ask(sync_state=SyncState(datachannel_receive_states=[state]))
    assert [payload for _, payload, _ in heard(bo)[before:]] == [b"2", b"3"]


async def test_a_client_is_told_what_of_its_media_does_not_flow(there: MeetingRoom) -> None:
    ann = await there.meet("ann")
    ann.session.client.connection.watch.stall({"video": Cause.NOTHING_ARRIVES})
    await there.settle()
    packet = DataPacket.FromString(ann.peer.heard()[-1].payload)
    assert (packet.user.topic, json.loads(packet.user.payload)) == (FLOW_TOPIC, {"video": "nothing_arrives"})
    assert not packet.participant_identity
