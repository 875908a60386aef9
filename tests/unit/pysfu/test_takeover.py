"""Of two who control one media process the latest does, and the other knows that it does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from fake_core import SENDS_BOTH

from pysfu import Config, MediaProcess, Sfu, errors, messages
from pysfu._bridge import Bridge
from pysfu._remote import MAX_PAYLOAD, EngineLostError, ProtocolError, RemoteCore
from pysfu.events import EngineLost, EngineNotStarted, EngineRestarted, EngineTakenOver

pytestmark = pytest.mark.asyncio
CONFIG = Config(bind=("127.0.0.1",), workers=2)


def remote(sfu: Sfu) -> RemoteCore:
    core = sfu._bridge.core
    assert isinstance(core, RemoteCore)
    return core


async def test_who_lost_control_unseen_does_not_take_it_back(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as first:
        with first.subscription() as events:
            core = remote(first)
            asyncio.get_running_loop().remove_reader(core.event_fd)  # it stands still
            async with Sfu(CONFIG, process=process) as second:
                room = await second.create_room()
                first._bridge._lose(core, EngineLostError("it has ended"))  # all that it saw of it
                assert isinstance(await anext(events), EngineLost)
                assert isinstance(await anext(events), EngineTakenOver)
                assert second.rooms == (room,)
                reply = await second._bridge.call(room.worker, messages.Snapshot(), messages.SnapshotReply)
                assert reply.snapshot.rooms == [room.number]


async def test_nothing_is_said_to_have_ended_that_another_process_controls(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as first:
        room = await first.create_room()
        anna, bela = await room.add_participant(), await room.add_participant()
        sent = await anna.answer(SENDS_BOTH, publish=True)
        with first.subscription() as events:
            async with Sfu(CONFIG, process=process) as second:
                assert isinstance(await anext(events), EngineTakenOver)
                for ending in (anna.remove, room.close, sent.close, lambda: bela.revoke_data(anna)):
                    with pytest.raises(errors.UnavailableError, match="another process"):
                        await ending()
                (found,) = {peer.peer for peer in await peers(second, room.worker)}
                assert found == sent.number, "it goes on"


async def peers(sfu: Sfu, worker: int) -> list[messages.PeerState]:
    reply = await sfu._bridge.call(worker, messages.Snapshot(), messages.SnapshotReply)
    return reply.snapshot.peers


async def test_a_removal_under_way_when_control_is_lost_is_not_answered_as_done(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as first:
        room = await first.create_room()
        asyncio.get_running_loop().remove_reader(remote(first).event_fd)  # it stands still
        closing = asyncio.ensure_future(room.close())
        await asyncio.sleep(0)  # it has been asked for
        core = remote(first)
        async with Sfu(CONFIG, process=process):
            asyncio.get_running_loop().add_reader(core.event_fd, first._bridge._drain)
            with pytest.raises(errors.UnavailableError):
                await closing


async def test_a_folder_that_others_may_write_to_is_refused_though_a_process_listens_there(
    process: MediaProcess,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(process.socket))
        listening.listen()
        process.socket.parent.chmod(0o777)
        with pytest.raises(errors.StartError, match="others may write"):
            async with Sfu(CONFIG, process=process):
                pass


async def test_a_process_that_accepts_nobody_is_told_of_and_not_waited_for(process: MediaProcess) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(process.socket))
        listening.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as filling:
            filling.connect(str(process.socket))
            with pytest.raises(errors.StartError, match="accepts no connection"):
                async with Sfu(CONFIG, process=process):
                    pass


async def test_a_process_that_cannot_be_spoken_to_is_tried_again(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        with sfu.subscription() as events:
            opened: list[Callable[[], object]] = []
            real = sfu._bridge._open_core

            async def upgraded() -> object:
                if not opened:
                    opened.append(upgraded)
                    raise ProtocolError("another version")
                return await real()

            monkeypatch.setattr(sfu._bridge, "_open_core", upgraded)
            sfu._bridge._lose(remote(sfu), EngineLostError("it has ended"))
            assert isinstance(await anext(events), EngineLost)
            assert isinstance(await anext(events), EngineNotStarted)
            assert isinstance(await anext(events), EngineRestarted)
            await sfu.create_room()


async def test_a_request_longer_than_a_frame_is_refused_at_once(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room()
        transport = await (await room.add_participant()).answer(SENDS_BOTH, publish=True)
        with pytest.raises(ValueError, match="at most"):
            await transport.channels.send("chat", bytes(MAX_PAYLOAD))
        await room.add_participant()


async def test_who_cannot_take_up_what_goes_on_leaves_it_to_the_next(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        await sfu.create_room(note=b"goes on")
        sfu.detach()
    with monkeypatch.context() as faulty:
        faulty.setattr(Bridge, "notes", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await Sfu(CONFIG, process=process).__aenter__()
    async with Sfu(CONFIG, process=process) as sfu:
        assert [room.note for room in sfu.rooms] == [b"goes on"]
