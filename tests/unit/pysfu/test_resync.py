"""What Python knows after events were lost, against a stand-in for the engine."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle

from pysfu import Room, Sfu, Transport, TransportState, _resync, errors, events, messages

pytestmark = pytest.mark.asyncio


async def room_with_listener(sfu: Sfu) -> tuple[Room, Transport]:
    """Makes a room in which bob may hear alice's messages."""
    room = await sfu.create_room()
    alice, bob = await room.add_participant(), await room.add_participant()
    await alice.answer(SENDS_BOTH)
    transport = await bob.answer(TAKES_BOTH, publish=False)
    await bob.allow_data(alice)
    return room, transport


async def read_all(queue: events.EventQueue) -> list[events.Event]:
    await settle()
    queue.close()
    return [event async for event in queue]


@pytest.mark.parametrize("state", ["connected", "disconnected", "failed", "closed"])
async def test_a_resync_takes_a_snapshot_and_then_tells(
    cores: list[FakeCore], state: Literal["connected", "disconnected", "failed", "closed"]
) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        transport = await (await room.add_participant()).answer(SENDS_BOTH)
        key = (0, transport.number)
        before = cores[0].peers[key]
        cores[0].peers[key] = messages.PeerState(
            peer=before.peer, room=before.room, participant=before.participant, state=state, playing=[]
        )
        with sfu.subscription() as queue:
            cores[0].tell(messages.Resync(version=9))
            assert await anext(queue) == events.Resynced()
        assert transport.state == state


async def test_after_a_resync_the_roster_is_told_again(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room, other = await sfu.create_room(), await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        await alice.answer(SENDS_BOTH)
        await bob.answer(TAKES_BOTH, publish=False)
        await bob.allow_data(alice)
        with sfu.subscription() as queue:
            cores[0].tell(messages.Resync(version=9))
            assert await anext(queue) == events.Resynced()
            assert await anext(queue) == events.RosterChanged(room, (bob.id,))
            assert (room.listeners, other.listeners) == ((bob.id,), ())
            cores[0].tell(messages.Roster(room=room.number, listeners=[]))
            assert await anext(queue) == events.RosterChanged(room, ())
            assert room.listeners == ()


async def test_a_room_whose_end_was_lost_is_told_as_failed_and_gives_its_place_back(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room, transport = await room_with_listener(sfu)
        core = cores[0]
        core.failed_rooms.add((0, room.number))
        with sfu.subscription() as queue:
            core.tell(messages.Resync(version=9))
            assert await read_all(queue) == [events.RoomFailed(room), events.Resynced()]
        assert (room.failed, sfu.rooms, transport.state) == (True, (), TransportState.CLOSED)
        assert core.log[-1] == (0, messages.RemoveRoom(room=room.number))
        assert core.rooms == set()


async def test_what_comes_behind_a_snapshot_in_the_same_batch_is_the_last_word(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sfu() as sfu:
        room, transport = await room_with_listener(sfu)
        core, listener = cores[0], transport.participant
        drained = FakeCore.drain

        def drain(self: FakeCore) -> list[tuple[int, bytes]]:
            batch = drained(self)
            if any(b"snapshot" in data for _, data in batch):
                for event in (
                    messages.Roster(room=room.number, listeners=[listener.number, 99]),
                    messages.PeerDisconnected(peer=transport.number),
                ):
                    batch.append((0, msgspec.msgpack.encode(self.outgoing(event))))
            return batch

        key = (0, transport.number)
        core.peers[key] = msgspec.structs.replace(core.peers[key], state="connected")
        monkeypatch.setattr(FakeCore, "drain", drain)
        with sfu.subscription() as queue:
            core.tell(messages.Resync(version=9))
            told = await read_all(queue)
        assert room.listeners == (listener.id, "participant-63")
        assert transport.state is TransportState.DISCONNECTED
        assert told == [
            events.Resynced(),
            events.RosterChanged(room, (listener.id,)),
            events.RosterChanged(room, room.listeners),
            events.TransportDisconnected(transport),
        ]


async def test_a_roster_that_a_snapshot_overtook_is_not_told_as_news(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room, transport = await room_with_listener(sfu)
        with sfu.subscription() as queue:
            cores[0].tell(messages.Resync(version=9))
            assert await anext(queue) == events.Resynced()
            assert await anext(queue) == events.RosterChanged(room, room.listeners)
            cores[0].version = 8
            cores[0].tell(messages.Roster(room=room.number, listeners=[]))
            assert await read_all(queue) == []
        assert room.listeners == (transport.participant.id,)


async def test_events_lost_while_a_snapshot_is_under_way_are_made_up_for_by_another(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room, transport = await room_with_listener(sfu)
        core = cores[0]
        core.held = True
        with sfu.subscription() as queue:
            core.tell(messages.Resync(version=9))
            await settle()
            core.tell(messages.Resync(version=12))
            core.snapshot_versions = [9, 11]
            await settle()
            core.release()
            told = await read_all(queue)
        assert [command for _, command in core.log].count(messages.Snapshot()) == 3, "the first two are too old"
        assert told == [events.Resynced(), events.RosterChanged(room, (transport.participant.id,))]


async def test_nothing_is_told_to_be_up_to_date_before_there_was_room_to_ask_for_a_snapshot(
    cores: list[FakeCore],
) -> None:
    async with Sfu() as sfu:
        await room_with_listener(sfu)
        core = cores[0]
        with sfu.subscription() as queue:
            core.busy = True
            core.tell(messages.Resync(version=9))
            await settle()
            assert not [command for _, command in core.log if isinstance(command, messages.Snapshot)]
            core.busy = False
            core.tell(messages.Speakers(room=1, speakers=[]))  # something is read: there is room again
            told = await read_all(queue)
        assert told.count(events.Resynced()) == 1
        assert core.log[-1] == (0, messages.Snapshot())


async def test_a_snapshot_that_is_refused_is_asked_for_again(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_resync, "RESYNC_RETRY_S", 0)
    async with Sfu() as sfu:
        await room_with_listener(sfu)
        core = cores[0]
        core.refuse[messages.Snapshot] = "unknown_room"
        with sfu.subscription() as queue:
            core.tell(messages.Resync(version=9))
            while [command for _, command in core.log].count(messages.Snapshot()) < 3:
                await settle()
            core.refuse.clear()
            while core.log[-1] != (0, messages.Snapshot()):
                await settle()
            assert await anext(queue) == events.Resynced()


async def test_a_snapshot_that_cannot_be_applied_is_logged_and_asked_for_again(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_resync, "RESYNC_RETRY_S", 0)
    apply, faults = Sfu._apply, [RuntimeError("a bug")]

    def faulty(self: Sfu, worker: int, state: messages.State) -> None:
        if faults:
            raise faults.pop()
        apply(self, worker, state)

    monkeypatch.setattr(Sfu, "_apply", faulty)
    async with Sfu() as sfu:
        await room_with_listener(sfu)
        with sfu.subscription() as queue:
            cores[0].tell(messages.Resync(version=9))
            assert await anext(queue) == events.Resynced()
    assert "a bug" in caplog.text


async def test_a_worker_that_fails_while_a_snapshot_is_under_way_is_not_asked_again(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        await room_with_listener(sfu)
        core = cores[0]
        core.silent = True
        with sfu.subscription() as queue:
            core.tell(messages.Resync(version=9))
            await settle()
            core.tell(messages.WorkerFailed(reason="a bug"))
            assert events.Resynced() not in await read_all(queue)
        assert [command for _, command in core.log].count(messages.Snapshot()) == 1


async def test_an_answer_that_cannot_be_read_is_an_error_of_whoever_waits_for_it(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = FakeCore.drain

    def drain(self: FakeCore) -> list[tuple[int, bytes]]:
        return [(at, data.replace(b"\xa4type\xa4room", b"\xa4type\xa4moor")) for at, data in drained(self)]

    async with Sfu() as sfu:
        monkeypatch.setattr(FakeCore, "drain", drain)
        with pytest.raises(errors.PysfuError, match="cannot be read"):
            await sfu.create_room()


async def test_an_answer_of_the_wrong_kind_is_told_without_what_is_in_it(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sfu() as sfu:
        room, _ = await room_with_listener(sfu)
        reply = messages.RoomReply(room=1)
        monkeypatch.setattr(FakeCore, "carry_out", lambda *_: reply)
        transport = next(iter(room.transports.values()))
        with pytest.raises(TypeError, match="SendData was answered with RoomReply") as raised:
            await transport.channels.send("chat", b"the patient's name")
        assert "patient" not in str(raised.value)
