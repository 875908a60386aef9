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
