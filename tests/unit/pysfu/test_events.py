"""What a slow reader of events gets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pysfu import events

pytestmark = pytest.mark.asyncio


class Named:
    def __init__(self, name: str) -> None:
        self.id = name


def failed(name: str) -> Any:
    return events.RoomFailed(Named(name))  # type: ignore[arg-type]


def said(payload: bytes) -> Any:
    return events.DataReceived(None, "chat", payload, binary=True)  # type: ignore[arg-type]


async def read(queue: events.EventQueue) -> list[Any]:
    queue.close()
    return [event async for event in queue]


async def test_events_come_in_order() -> None:
    queue = events.EventQueue(capacity=4)
    sent = [failed(str(number)) for number in range(4)]
    for event in sent:
        queue.put(event)
    assert await read(queue) == sent


async def test_too_many_become_one_word() -> None:
    queue = events.EventQueue(capacity=4)
    for number in range(1_000):
        queue.put(failed(str(number)))
    lost, *told = await read(queue)
    assert lost == events.Resynced()
    assert len(told) <= 4, "what came after the loss"
    assert events.Resynced() not in told


@pytest.mark.parametrize(
    "end", [events.EngineLost("it has ended", timedelta(0)), events.EngineTakenOver(), events.EngineRestarted()]
)
@pytest.mark.parametrize("before", [1, 3, 4, 1_000])
async def test_what_was_lost_before_the_engine_was_is_not_told_beside_that(end: events.Event, before: int) -> None:
    queue = events.EventQueue(capacity=4)
    queue.put(events.Resynced())
    sent = [failed(str(number)) for number in range(before)]
    for event in sent:
        queue.put(event)
    queue.put(end)
    *told, last = await read(queue)
    assert last == end
    assert told == sent[len(sent) - len(told) :]


async def test_of_levels_the_latest_wins() -> None:
    queue = events.EventQueue(capacity=4)
    room: Any = Named("room")
    for level in range(1_000):
        queue.put(events.SpeakersChanged(room, (("someone", level),)))
    assert await read(queue) == [events.SpeakersChanged(room, (("someone", 999),))]


async def test_a_reader_that_waits_is_woken() -> None:
    queue = events.EventQueue(capacity=4)
    reading = asyncio.create_task(anext(queue))
    await asyncio.sleep(0)
    event = failed("room")
    queue.put(event)
    assert await reading is event


async def test_a_flood_of_messages_keeps_no_other_event_out() -> None:
    queue = events.EventQueue(capacity=4)
    told = [failed(str(number)) for number in range(4)]
    for number, event in enumerate(told):
        for _ in range(1_000):
            queue.put(said(bytes([number])))
        queue.put(event)
    got = await read(queue)
    assert [event for event in got if not isinstance(event, events.DataReceived)] == told
    assert [event.payload[0] for event in got if isinstance(event, events.DataReceived)] == sorted([0, 1, 2, 3] * 1_000)
    assert got[1_000] == told[0], "each is where it happened"
    assert queue.messages_lost == 0


async def test_messages_are_told_also_when_other_events_were_lost() -> None:
    queue = events.EventQueue(capacity=4)
    happened = [failed(str(number)) for number in range(6)]
    for number, event in enumerate(happened):
        queue.put(said(bytes([number])))
        queue.put(event)
    lost, *told = await read(queue)
    assert lost == events.Resynced()
    assert [event.payload[0] for event in told if isinstance(event, events.DataReceived)] == list(range(6))
    assert [event for event in told if isinstance(event, events.RoomFailed)] == happened[4:], "those after the loss"


@pytest.mark.parametrize("size", [0, 60_000], ids=["many", "large"])
async def test_messages_that_nobody_reads_are_dropped_and_counted_until_there_is_room(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    queue, message, happened = events.EventQueue(capacity=4), said(bytes(size)), failed("room")
    most = min(events.MAX_WAITING_MESSAGES, events.MAX_WAITING_MESSAGE_BYTES // max(size, 1))
    for _ in range(most + 10):
        queue.put(message)
    queue.put(happened)
    assert queue.messages_lost == 10
    assert [record.getMessage() for record in caplog.records] == [
        "messages of data channels are lost: they are not read in time"
    ]
    assert await anext(queue) is message
    queue.put(message)
    assert queue.messages_lost == 10, "there is room for one again"
    assert await read(queue) == [*[message] * (most - 1), happened, message]


async def test_a_reader_of_many_events_lets_everybody_else_have_their_turn() -> None:
    queue, turns = events.EventQueue(capacity=4), 0
    for _ in range(10 * events.READ_AT_ONCE):
        queue.put(said(b""))

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await read(queue)
    beside.cancel()
    assert turns == 10
