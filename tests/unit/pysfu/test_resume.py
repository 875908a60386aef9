"""What goes on in a media process is the same for whoever takes it up, and can be changed at once."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH

from pysfu import Config, MediaProcess, Sfu, TransportState, _remote, _resume, messages
from pysfu._bridge import Bridge
from pysfu._remote import RemoteCore
from pysfu.errors import StartError
from pysfu.events import EngineTakenOver, RoomFailed

pytestmark = pytest.mark.asyncio
CONFIG = Config(bind=("127.0.0.1",), workers=2)
SPREAD = Config(bind=("127.0.0.1",), workers=2, room_spread_over=1)


async def leave_a_meeting(process: MediaProcess) -> dict[str, object]:
    """Makes a meeting, leaves it, and returns what was known of it."""
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room(note=b"ward round")
        await sfu.create_room(note=b"another")
        anna, bela = await room.add_participant(note=b"a"), await room.add_participant()
        sent = await anna.answer(SENDS_BOTH, publish=True)
        taken = await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        await bela.allow(sent.tracks[0])
        await anna.allow(sent.tracks[1], echo=True)
        await bela.allow_data(anna)
        await sent.tracks[1].mute()
        bela.keep(b"b, changed")
        sfu.detach()
        return {
            "room": room.id,
            "participants": [anna.id, bela.id],
            "tracks": [(track.id, track.mid, track.kind, track.source) for track in sent.tracks],
            "playing": {mid: track.id for mid, track in taken.playing.items()},
            "sdp": (sent.sdp, taken.sdp),
            "sent": list(sent.sent),
        }


async def test_rooms_participants_tracks_rights_and_notes_are_as_they_were(process: MediaProcess) -> None:
    before = await leave_a_meeting(process)
    async with Sfu(CONFIG, process=process) as sfu:
        room = next(room for room in sfu.rooms if room.note == b"ward round")
        assert {room.note for room in sfu.rooms} == {b"ward round", b"another"}
        assert room.id == before["room"]
        anna, bela = sorted(room.participants, key=lambda participant: participant.number)
        assert [anna.id, bela.id] == before["participants"]
        assert (anna.note, bela.note) == (b"a", b"b, changed")
        (sent,), (taken,) = anna.transports, bela.transports
        assert [(track.id, track.mid, track.kind, track.source) for track in sent.tracks] == before["tracks"]
        assert {mid: track.id for mid, track in taken.playing.items()} == before["playing"]
        assert (sent.sdp, taken.sdp) == before["sdp"]
        assert len(sent.sent) == 2
        assert list(sent.sent) == before["sent"]
        sound, pictures = sent.tracks
        assert (bela.allowed, anna.allowed) == ({sound}, {pictures})
        assert (sound.played_by, pictures.played_by) == ({taken}, {taken})
        assert (sound.muted, pictures.muted) == (False, True)
        assert anna._allowed[pictures].echo, "their own, for a test"
        assert bela.data_publishers == {anna}
        assert set(room.listeners) == {anna.id, bela.id}
        # And all of it can be changed.
        await bela.revoke(sound)
        await taken.stop(sound)
        await taken.play(sound)
        await sent.restart(re.sub(r"ice-ufrag:\S+", "ice-ufrag:other", SENDS_BOTH))
        assert (await room.add_participant()).number > bela.number
        await anna.remove()
        assert room.tracks == {}
        await room.close()


async def test_what_nobody_can_name_is_ended(process: MediaProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as forgetful:
        forgetful.setattr(Bridge, "note", lambda *_: None)
        await leave_a_meeting(process)
    async with Sfu(CONFIG, process=process) as sfu:
        assert sfu.rooms == ()
        for worker in range(2):
            reply = await sfu._bridge.call(worker, messages.Snapshot(), messages.SnapshotReply)
            assert (reply.snapshot.rooms, reply.snapshot.peers) == ([], [])


async def test_a_room_on_two_workers_is_as_it_was_with_its_relays(process: MediaProcess) -> None:
    async with Sfu(SPREAD, process=process) as sfu:
        room = await sfu.create_room(note=b"ward round")
        anna, bela = await room.add_participant(), await room.add_participant(note=b"b")
        sent = await anna.answer(SENDS_BOTH)
        await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        await bela.allow(sent.tracks[0])
        numbers = [room.relays.number_now(track, bela.worker) for track in sent.tracks]
        sfu.detach()
    async with Sfu(SPREAD, process=process) as sfu:
        (room,) = sfu.rooms
        assert (room.note, room.workers) == (b"ward round", (0, 1))
        anna, bela = sorted(room.participants, key=lambda participant: participant.number)
        assert (anna.worker, bela.worker, bela.note) == (0, 1, b"b")
        (sent,), (taken,) = anna.transports, bela.transports
        sound, pictures = sent.tracks
        assert list(taken.playing.values()) == [sound, pictures]
        assert [room.relays.number_now(track, 1) for track in sent.tracks] == numbers
        assert (bela.allowed, room.listeners) == ({sound}, (bela.id,))
        assert (await sfu.stats()).total("peers") == 2 + 2 * 2
        # And all of it can be changed.
        await bela.revoke(sound)
        await bela.allow(pictures)
        await taken.stop(sound)
        assert (await sfu.stats()).total("peers") == 2 + 2
        await taken.play(sound)
        assert (await sfu.stats()).total("peers") == 2 + 2 * 2, "under a number that no relay has had"
        await room.close()
        assert [(await sfu.stats()).total(name) for name in ("rooms", "peers", "tracks", "edges")] == [0, 0, 0, 0]


async def test_a_room_of_which_a_part_has_ended_has_ended(process: MediaProcess) -> None:
    async with Sfu(SPREAD, process=process) as sfu:
        room = await sfu.create_room(note=b"over")
        for _ in range(2):
            await (await room.add_participant()).answer(SENDS_BOTH)
        part = room.parts[1]
        await sfu._bridge.call(part.worker, messages.RemoveRoom(room=part.number), messages.DoneReply)
        sfu.detach()
    async with Sfu(SPREAD, process=process) as sfu:
        assert (sfu.rooms, sfu.ended_rooms) == ((), (b"over",))
        assert (await sfu.stats()).total("rooms") == 0
        sfu.detach()
    async with Sfu(SPREAD, process=process) as sfu:
        assert sfu.ended_rooms == ()


@pytest.mark.parametrize("lost", ["near", "far"])
async def test_a_relay_that_has_lost_an_end_is_ended_and_a_new_one_made_when_somebody_plays(
    process: MediaProcess, lost: Literal["near", "far"]
) -> None:
    async with Sfu(SPREAD, process=process) as sfu:
        room = await sfu.create_room(note=b"ward round")
        anna, bela = await room.add_participant(), await room.add_participant()
        sent = await anna.answer(SENDS_BOTH)
        taken = await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks[:1])
        near, far = room.relays._find(sent.tracks[0], 1).ends()
        worker, peer = near if lost == "near" else far
        # As if this process had been killed right then.
        sfu._bridge.ask(worker, messages.RemovePeer(peer=peer)).cancel()
        sfu.detach()
    async with Sfu(SPREAD, process=process) as sfu:
        (room,) = sfu.rooms
        (pictures, *_) = (track for track in room.tracks.values() if track.kind == "video")
        taken = next(each for each in room.transports.values() if each.worker == 1)
        assert taken.playing == {}
        assert (await sfu.stats()).total("peers") == 2
        await taken.play(pictures)
        assert (await sfu.stats()).total("peers") == 2 + 2
        await room.close()


async def test_the_notes_on_rooms_that_ended_meanwhile_are_told_once(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room(note=b"over")
        await sfu._bridge.call(room.worker, messages.RemoveRoom(room=room.number), messages.DoneReply)
        sfu.detach()
    async with Sfu(CONFIG, process=process) as sfu:
        assert (sfu.rooms, sfu.ended_rooms) == ((), (b"over",))
        sfu.detach()
    async with Sfu(CONFIG, process=process) as sfu:
        assert sfu.ended_rooms == ()


async def test_what_could_not_be_handed_over_yet_is_taken_away_before_the_process_is_left(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remote, "MAX_REVOCATIONS", 1)
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room()
        anna, bela = await room.add_participant(), await room.add_participant()
        sound, pictures = (await anna.answer(SENDS_BOTH)).tracks
        for _ in range(2):
            await bela.answer(TAKES_BOTH, publish=False)
        await bela.allow(sound)
        await bela.allow(pictures)
        awaited, given_up = (asyncio.ensure_future(bela.revoke(track)) for track in (sound, pictures))
        await asyncio.sleep(0)  # both have been asked for
        given_up.cancel()
        sfu.detach()
    await awaited
    async with Sfu(CONFIG, process=process) as sfu:
        (room,) = sfu.rooms
        assert [participant.allowed for participant in room.participants] == [frozenset(), frozenset()]


async def test_who_is_replaced_is_told_and_starts_nothing(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as first:
        with first.subscription() as events:
            async with Sfu(CONFIG, process=process) as second:
                assert isinstance(await anext(events), EngineTakenOver)
                await second.create_room()
            assert first.rooms == ()


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[list[messages.Outgoing]], list[messages.Outgoing]]]:
    """What worker 1 says passes through `words["change"]`."""
    passed = {"change": list}
    drain = RemoteCore.drain

    def changed(core: RemoteCore) -> list[tuple[int, bytes]]:
        said = drain(core)
        of_one = [msgspec.msgpack.decode(data, type=messages.Outgoing) for worker, data in said if worker == 1]
        others = [(worker, data) for worker, data in said if worker != 1]
        return others + [(1, msgspec.msgpack.encode(outgoing)) for outgoing in passed["change"](of_one)]

    monkeypatch.setattr(RemoteCore, "drain", changed)
    return passed


async def rooms_of(sfu: Sfu, worker: int) -> list[int]:
    reply = await sfu._bridge.call(worker, messages.Snapshot(), messages.SnapshotReply)
    return reply.snapshot.rooms


async def test_what_a_late_worker_carries_ends_as_soon_as_it_goes_on_and_is_told_as_ended(
    process: MediaProcess, words: dict[str, Callable[..., list[messages.Outgoing]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_resume, "RESUME_TIMEOUT_S", 0.05)
    async with Sfu(CONFIG, process=process) as sfu:
        await sfu.create_room(note=b"in time")
        late = await sfu.create_room(note=b"late")
        unnamed = await sfu._bridge.call(1, messages.CreateRoom(), messages.RoomReply)
        assert late.worker == 1
        sfu.detach()
    held: list[messages.Outgoing] = []

    def hold(said: list[messages.Outgoing]) -> list[messages.Outgoing]:
        held.extend(said)
        return []

    words["change"] = hold
    async with Sfu(CONFIG, process=process) as sfu:
        assert [room.note for room in sfu.rooms] == [b"in time"]
        assert sfu.ended_rooms == (b"late",)
        assert (await sfu.create_room()).worker == 0, "of those in time first"
        words["change"] = lambda said: [*held, *said]
        assert await rooms_of(sfu, 1) == [unnamed.room], "its own answer had been given before"
        held.clear()
        assert await rooms_of(sfu, 1) == []


async def test_the_rooms_of_a_worker_that_has_failed_are_told_as_ended(
    process: MediaProcess, words: dict[str, Callable[..., list[messages.Outgoing]]]
) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        await sfu.create_room(note=b"goes on")
        await sfu.create_room(note=b"failed")
        sfu.detach()
    words["change"] = lambda said: [
        messages.Refused(id=outgoing.id, refusal="unavailable")
        for outgoing in said
        if isinstance(outgoing, messages.Reply)
    ]
    async with Sfu(CONFIG, process=process) as sfu:
        assert [room.note for room in sfu.rooms] == [b"goes on"]
        assert sfu.ended_rooms == (b"failed",)
        assert {(await sfu.create_room()).worker for _ in range(3)} == {0}


async def test_what_a_worker_says_right_behind_its_state_is_not_missed(
    process: MediaProcess, words: dict[str, Callable[..., list[messages.Outgoing]]]
) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        await sfu.create_room(note=b"on the first worker")
        room = await sfu.create_room(note=b"meeting")
        transport = await (await room.add_participant()).answer(SENDS_BOTH, publish=True)
        other = await sfu.create_room(note=b"on the first worker, too")
        failed = await sfu.create_room(note=b"fails")
        assert (room.worker, other.worker, failed.worker) == (1, 0, 1)
        sfu.detach()

    def behind(said: list[messages.Outgoing]) -> list[messages.Outgoing]:
        if not any(isinstance(outgoing, messages.Reply) for outgoing in said):
            return said
        words["change"] = list
        events = (
            messages.PeerFailed(peer=transport.number, reason="ice"),
            messages.RoomFailed(room=failed.number),
        )
        return [*said, *(messages.Event(version=1_000 + at, event=event) for at, event in enumerate(events))]

    words["change"] = behind
    async with Sfu(CONFIG, process=process) as sfu:
        assert {room.note for room in sfu.rooms} == {b"on the first worker", b"meeting", b"on the first worker, too"}
        assert sfu.ended_rooms == (b"fails",)
        (resumed,) = next(room for room in sfu.rooms if room.note == b"meeting").transports.values()
        assert resumed.state is TransportState.FAILED


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_room_that_failed_is_told_as_ended_until_it_was_closed(
    process: MediaProcess, words: dict[str, Callable[..., list[messages.Outgoing]]], *, is_closed: bool
) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        await sfu.create_room()
        failed = await sfu.create_room(note=b"ward round")
        event = messages.Event(version=1_000, event=messages.RoomFailed(room=failed.number))
        with sfu.subscription() as events:
            words["change"] = lambda said: [*said, event]
            await rooms_of(sfu, failed.worker)
            words["change"] = list
            assert await anext(events) == RoomFailed(failed)
        failed.keep(b"ward round, without carl")
        if is_closed:
            await failed.close()
            failed.keep(b"said afterwards")
        sfu.detach()
    async with Sfu(CONFIG, process=process) as sfu:
        assert sfu.ended_rooms == (() if is_closed else (b"ward round, without carl",))
        sfu.detach()
    async with Sfu(CONFIG, process=process) as sfu:
        assert sfu.ended_rooms == ()


async def test_no_note_is_left_on_what_has_ended(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room(note=b"over")
        transport = await (await room.add_participant()).answer(SENDS_BOTH, publish=True)
        await room.close()
        room.keep(b"said afterwards")
        transport.negotiation.leave_note()
        sfu.detach()
    async with Sfu(CONFIG, process=process) as sfu:
        assert (sfu.rooms, sfu.ended_rooms, sfu._bridge.notes()) == ((), (), [])


def children() -> list[int]:
    """The processes that this one has started and not seen to end."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def reap(child: int) -> None:
    os.waitpid(child, 0)


async def test_a_media_process_that_cannot_start_is_not_left_behind(process: MediaProcess) -> None:
    before = children()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(StartError, match="cannot bind"):
            async with Sfu(Config(bind=("127.0.0.1",), port=taken.getsockname()[1]), process=process):
                pass
    assert (children(), process.socket.exists()) == (before, False)


async def test_a_start_that_is_cancelled_leaves_nothing_behind(process: MediaProcess) -> None:
    before = children()
    starting = asyncio.ensure_future(Sfu(CONFIG, process=process).__aenter__())
    await asyncio.sleep(0)  # it has been started and said hello to
    assert len(children()) == len(before) + 1
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (children(), process.socket.exists()) == (before, False)


async def test_a_media_process_of_another_version_is_ended_and_one_of_ours_takes_its_place(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    async with Sfu(CONFIG, process=process) as sfu:
        port = int(sfu.addresses[0][0].rpartition(":")[2])
        await sfu.create_room()
        (old,) = set(children()) - set(before)
        sfu.detach()
    say_hello = messages.Hello

    def of_a_later_version(**said: object) -> messages.Hello:
        # What is said to the old one only.
        monkeypatch.setattr(messages, "Hello", say_hello)
        return say_hello(**{**said, "protocol": 2})

    monkeypatch.setattr(messages, "Hello", of_a_later_version)
    async with Sfu(Config(bind=("127.0.0.1",), port=port), process=process) as sfu:
        assert sfu.rooms == (), "nobody could have controlled those"
        assert sfu.addresses == [[f"127.0.0.1:{port}"]], "its ports are free"
    reap(old)
    assert children() == before
