"""What events are about is found by its number, whatever has come and gone."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle
from hypothesis import given
from hypothesis import strategies as st

from pysfu import Config, Room, Sfu, _compiled, errors, events, messages

STEPS = (
    *("room", "participant", "publish", "play", "unpublish", "hang up", "leave", "close"),
    *("fail", "fail worker", "lose"),
)


def agree(sfu: Sfu) -> None:
    """Checks that the index has what the rooms have, and nothing else."""
    parts = [part for room in sfu.rooms for part in room.parts.values()]
    for name in ("transports", "tracks", "ends"):
        own = {(part.worker, number): each for part in parts for number, each in getattr(part, name).items()}
        assert getattr(sfu.index, name) == own
    assert set(sfu.index.transports.values()) == {
        transport for room in sfu.rooms for each in room.participants for transport in each.transports
    }
    relays = {relay for room in sfu.rooms for relay in room.relays._all()}
    assert sfu.index.ends == {end: relay for relay in relays for end in relay.ends()}


async def take(sfu: Sfu, core: FakeCore, step: str, which: int) -> None:
    """Takes one step with one of what there is, where there is anything."""

    def one(of: Any) -> Any:
        return list(of)[which % len(of)] if of else None

    room = one(sfu.rooms)
    participant = one(room.participants) if room is not None else None
    transport = one(participant.transports) if participant is not None else None
    match step:
        case "room":
            await sfu.create_room()
        case "participant" if room is not None:
            await room.add_participant()
        case "publish" if participant is not None:
            await participant.answer(SENDS_BOTH)
        case "play" if participant is not None:
            await participant.answer(TAKES_BOTH, publish=False, play=[*room.tracks.values()][:2])
        case "unpublish" if room is not None and room.tracks:
            await one(room.tracks.values()).unpublish()
        case "hang up" if transport is not None:
            await transport.close()
        case "leave" if participant is not None:
            await participant.remove()
        case "close" if room is not None:
            await room.close()
        case "fail" if room is not None:
            core.tell(messages.RoomFailed(room=room.number), worker=room.worker)
        case "fail worker":
            core.tell(messages.WorkerFailed(reason="a bug"), worker=which % 2)
        case "lose" if room is not None:
            core.failed_rooms.add((room.worker, room.number))
            core.tell(messages.Resync(version=core.version + 1), worker=room.worker)
        case _:
            return
    await settle()


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=30))
def test_the_index_has_what_rooms_have_in_whatever_order_they_come_and_go(steps: list[tuple[str, int]]) -> None:
    made: list[FakeCore] = []

    def make(config: bytes) -> FakeCore:
        made.append(FakeCore(config))
        return made[-1]

    async def run() -> None:
        async with Sfu(Config(workers=2, room_spread_over=1)) as sfu:
            for step, which in [("room", 0), *steps]:
                try:
                    await take(sfu, made[0], step, which)
                except errors.PysfuError:
                    await settle()  # of a room or worker that has failed meanwhile
                agree(sfu)
            for room in sfu.rooms:
                await room.close()
            agree(sfu)
            assert (sfu.index.transports, sfu.index.tracks, sfu.index.ends) == ({}, {}, {})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_compiled._core, "Core", make)
        asyncio.run(run())


class Unsearched(dict[tuple[int, int], Room]):
    """Rooms that nobody may look through."""

    def __iter__(self) -> NoReturn:
        raise AssertionError("looked through")

    items = values = keys = __iter__  # type: ignore[assignment]


@pytest.mark.asyncio
async def test_no_room_is_looked_at_that_an_event_is_not_about(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room, _ = await sfu.create_room(), await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        sent = await alice.answer(SENDS_BOTH)
        taken = await bob.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        sfu._translator._rooms = Unsearched(sfu._rooms)
        with sfu.subscription() as queue:
            for event in (
                messages.PeerReconnected(peer=taken.number),
                messages.TrackStarted(track=sent.tracks[1].number, codec="vp8"),
                messages.LayerChanged(subscriber=taken.number, track=sent.tracks[1].number, encoding=1),
                messages.Roster(room=room.number, listeners=[bob.number]),
                messages.PeerClosed(peer=99),
                messages.PeerClosed(peer=sent.number),
            ):
                cores[0].tell(event)
            await settle()
            queue.close()
            assert [event async for event in queue] == [
                events.TransportReconnected(taken),
                events.TrackStarted(sent.tracks[1], "vp8"),
                events.RosterChanged(room, (bob.id,)),
                events.TransportClosed(sent),
                events.LayerChanged(taken, sent.tracks[1], 1),
            ]
