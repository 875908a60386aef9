"""What waits to be told to one receiver of webhooks."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signalling.domain.ids import RoomId
from signalling.webhooks.outbox import (
    MAX_WAITING,
    MAX_WAITING_BYTES,
    MAX_WAITING_BYTES_OF_ROOM,
    MAX_WAITING_OF_ROOM,
    Outbox,
)

A, B, C = RoomId("r_a"), RoomId("r_b"), RoomId("r_c")


def filled(
    *things: tuple[RoomId, int],
    most: int = 100,
    most_of_room: int = 100,
    most_bytes: int = 1_000,
    most_bytes_of_room: int = 1_000,
) -> Outbox[int]:
    """Returns an outbox with things of ten bytes each."""
    outbox = Outbox[int](
        most=most, most_of_room=most_of_room, most_bytes=most_bytes, most_bytes_of_room=most_bytes_of_room
    )
    for room, thing in things:
        outbox.put(room, thing, size=10)
    return outbox


def all_of(outbox: Outbox[int]) -> list[tuple[RoomId, int]]:
    """Takes everything, one after another."""
    taken = []
    while (next_one := outbox.take()) is not None:
        taken.append(next_one)
        outbox.done(next_one[0])
    return taken


def test_rooms_have_their_turn_one_after_another_and_each_its_own_order() -> None:
    outbox = filled((A, 1), (A, 2), (A, 3), (B, 4), (B, 5), (C, 6))
    assert all_of(outbox) == [(A, 1), (B, 4), (C, 6), (A, 2), (B, 5), (A, 3)]
    assert outbox.is_empty


def test_nothing_of_a_room_is_taken_while_something_of_it_is_not_done() -> None:
    outbox = filled((A, 1), (A, 2))
    assert outbox.take() == (A, 1)
    assert outbox.take() is None
    assert not outbox.is_empty
    outbox.done(A)
    assert outbox.take() == (A, 2)
    assert not outbox.is_empty, "it is not done"
    outbox.done(A)
    assert outbox.is_empty


def test_of_a_room_of_which_too_much_waits_the_oldest_is_dropped() -> None:
    outbox = filled((A, 1), (A, 2), (B, 3), most_of_room=2)
    assert outbox.put(A, 4, size=10)
    assert not outbox.put(B, 5, size=10)
    assert [thing for room, thing in all_of(outbox) if room == A] == [2, 4]


def test_when_too_much_waits_what_has_its_turn_next_is_dropped_for_a_room_of_which_nothing_waits() -> None:
    outbox = filled((A, 1), (B, 2), (B, 3), most=3)
    assert outbox.put(C, 4, size=10)
    assert all_of(outbox) == [(B, 2), (C, 4), (B, 3)]


def test_what_is_taken_is_not_dropped() -> None:
    outbox = filled((A, 1), most=1)
    assert outbox.take() == (A, 1)
    assert not outbox.put(A, 2, size=10)
    assert outbox.put(A, 3, size=10)
    outbox.done(A)
    assert all_of(outbox) == [(A, 3)]


@pytest.mark.parametrize("cap", [MAX_WAITING, MAX_WAITING_OF_ROOM])
def test_the_caps_are_those_that_are_named(cap: int) -> None:
    outbox = Outbox[int]()
    per_room = 1 if cap == MAX_WAITING else cap
    dropped = [outbox.put(RoomId(f"r_{number // per_room}"), number, size=1) for number in range(cap)]
    assert not any(dropped)
    assert outbox.put(RoomId("r_0"), cap, size=1)
    assert outbox.count == cap


@pytest.mark.parametrize("cap", [MAX_WAITING_BYTES, MAX_WAITING_BYTES_OF_ROOM])
def test_the_caps_of_bytes_are_those_that_are_named(cap: int) -> None:
    outbox = Outbox[int]()
    size = MAX_WAITING_BYTES_OF_ROOM // 4
    per_room = 1 if cap == MAX_WAITING_BYTES else cap
    dropped = [outbox.put(RoomId(f"r_{number // per_room}"), number, size=size) for number in range(cap // size)]
    assert not any(dropped)
    assert outbox.put(RoomId("r_0"), -1, size=1) == 1
    assert outbox.bytes == cap - size + 1


def test_of_a_room_of_which_too_many_bytes_wait_as_many_are_dropped_as_the_latest_needs() -> None:
    outbox = filled((A, 1), (A, 2), (A, 3), (B, 4), most_bytes_of_room=35)
    assert outbox.put(A, 5, size=20) == 2
    assert all_of(outbox) == [(A, 3), (B, 4), (A, 5)]
    assert outbox.bytes == 0


def test_when_too_many_bytes_wait_its_own_older_ones_go_before_those_of_other_rooms() -> None:
    outbox = filled((A, 1), (B, 2), (B, 3), most_bytes=30)
    assert outbox.put(A, 4, size=15) == 2
    assert all_of(outbox) == [(A, 4), (B, 3)], "and the room keeps its turn"


def test_the_latest_is_kept_however_long_it_is() -> None:
    outbox = filled((A, 1), (B, 2), most_bytes=30, most_bytes_of_room=20)
    assert outbox.put(A, 3, size=40) == 2
    assert all_of(outbox) == [(A, 3)]


class Outboxes(RuleBasedStateMachine):
    """Puts, takes and has done in any order: nothing overtakes, caps hold, and what is lost is said."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox[int](most=6, most_of_room=3, most_bytes=50, most_bytes_of_room=30)
        self.put_in: dict[RoomId, list[int]] = {A: [], B: [], C: []}
        self.out: dict[RoomId, list[int]] = {A: [], B: [], C: []}
        self.busy: set[RoomId] = set()
        self.number = self.dropped = self.taken = 0

    @rule(room=st.sampled_from([A, B, C]), size=st.integers(1, 30))
    def put(self, room: RoomId, size: int) -> None:
        self.number += 1
        self.put_in[room].append(self.number)
        self.dropped += self.outbox.put(room, self.number, size=size)

    @rule()
    def take(self) -> None:
        taken = self.outbox.take()
        if taken is None:
            return
        room, thing = taken
        assert room not in self.busy
        self.busy.add(room)
        self.out[room].append(thing)
        self.taken += 1

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        room = data.draw(st.sampled_from(sorted(self.busy)))
        self.busy.discard(room)
        self.outbox.done(room)

    @invariant()
    def what_came_out_is_in_the_order_in_which_it_went_in(self) -> None:
        for room, out in self.out.items():
            assert out == sorted(out)
            assert set(out) <= set(self.put_in[room])

    @invariant()
    def everything_waits_was_taken_or_was_said_to_be_dropped(self) -> None:
        assert self.outbox.count + self.taken + self.dropped == self.number
        assert self.outbox.count <= 6
        assert self.outbox.bytes <= 50
        assert (self.outbox.bytes == 0) == (self.outbox.count == 0)


TestOutboxes = Outboxes.TestCase
