"""Rooms, participants and tracks, against a stand-in for the engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle

from pysfu import Sfu, errors, events, messages

pytestmark = pytest.mark.asyncio


async def test_a_room_lives_on_the_worker_that_has_the_fewest(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        rooms = [await sfu.create_room() for _ in range(4)]
        assert [room.worker for room in rooms] == [0, 1, 0, 1]
        assert len({room.id for room in rooms}) == 4
        await rooms[0].close()
        await rooms[0].close()
        assert (await sfu.create_room()).worker == 0


async def test_a_worker_that_hangs_keeps_nobody_who_makes_a_room_waiting(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        cores[0].held = True
        with pytest.raises(errors.LateError, match="has not answered in time"):
            await sfu.create_room(timeout=timedelta(0))
        cores[0].release()
        await settle()
        assert (sfu.rooms, cores[0].rooms) == ((), set()), "one that is made too late is ended"


@pytest.mark.parametrize(
    "late_answer",
    [messages.Reply(id=1, reply=messages.RoomReply(room=99)), messages.Refused(id=1, refusal={"full": "rooms"})],
    ids=["made", "refused"],
)
async def test_rooms_go_to_the_other_workers_until_one_that_was_late_has_answered(
    cores: list[FakeCore], late_answer: messages.Reply | messages.Refused
) -> None:
    async with Sfu() as sfu:
        bridge, core = sfu._bridge, cores[0]
        submit = core.submit

        def silent(worker: int, request: bytes) -> bool:
            return True if worker == 0 else submit(worker, request)

        core.submit = silent  # type: ignore[method-assign]
        with pytest.raises(errors.LateError, match="has not answered in time"):
            await sfu.create_room(timeout=timedelta(0))
        assert [(await asyncio.wait_for(sfu.create_room(), 5)).worker for _ in range(3)] == [1, 1, 1]
        core.submit = submit  # type: ignore[method-assign]
        bridge._take(0, late_answer)
        assert (await sfu.create_room()).worker == 0
        assert (0, 99) not in {(room.worker, room.number) for room in sfu.rooms}, "nobody waits for that one any more"


async def test_a_worker_that_fails_just_behind_its_answer_fails_the_room_too(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = FakeCore.drain

    def drain(self: FakeCore) -> list[tuple[int, bytes]]:
        batch = drained(self)
        if batch:
            batch.append((0, msgspec.msgpack.encode(messages.WorkerFailed(reason="a bug"))))
        return batch

    monkeypatch.setattr(FakeCore, "drain", drain)
    async with Sfu() as sfu:
        with sfu.subscription() as queue:
            room = await sfu.create_room()
            told = [await asyncio.wait_for(anext(queue), 5) for _ in range(2)]
            assert told == [events.WorkerFailed(0), events.RoomFailed(room)]
        assert room.failed
        assert sfu.rooms == ()


async def test_a_first_packet_just_behind_the_answer_that_names_its_track_is_told(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = FakeCore.drain

    def drain(self: FakeCore) -> list[tuple[int, bytes]]:
        batch = drained(self)
        for worker, data in tuple(batch):
            read = msgspec.msgpack.decode(data, type=messages.Outgoing)
            if isinstance(read, messages.Reply) and isinstance(read.reply, messages.TrackReply):
                started = self.outgoing(messages.TrackStarted(track=read.reply.track, codec="opus"))
                batch.append((worker, msgspec.msgpack.encode(started)))
        return batch

    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        monkeypatch.setattr(FakeCore, "drain", drain)
        with sfu.subscription() as queue:
            sending = await alice.answer(SENDS_BOTH)
            started = [await asyncio.wait_for(anext(queue), 5) for _ in sending.tracks]
        assert started == [events.TrackStarted(track, "opus") for track in sending.tracks]


async def test_rooms_are_placed_on_workers_that_do_not_hang_and_those_under_way_count(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        assert [room.worker for room in await asyncio.gather(sfu.create_room(), sfu.create_room())] == [0, 1]
        assert [(await sfu.create_room(avoid={0})).worker for _ in range(3)] == [1, 1, 1]
        with pytest.raises(errors.UnavailableError):
            await sfu.create_room(avoid={0, 1})


async def test_what_a_participant_offers_becomes_tracks_that_nobody_receives(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        transport = await alice.answer(SENDS_BOTH)
        assert transport.sdp.startswith("v=0")
        assert [(track.kind, track.source) for track in transport.tracks] == [
            ("audio", "microphone"),
            ("video", "camera"),
        ]
        assert cores[0].edges == set()


async def test_a_bad_offer_leaves_nothing_behind(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        with pytest.raises(errors.InvalidSdpError):
            await alice.answer("nonsense")
        await settle()
        assert cores[0].peers == {}
        assert room.transports == {}


async def test_a_refusal_becomes_its_error_and_leaves_nothing_behind(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        cores[0].refuse[messages.Connect] = {"full": "peers_per_room"}
        with pytest.raises(errors.FullError, match="peers_per_room"):
            await alice.answer(SENDS_BOTH)
        await settle()
        assert cores[0].peers == {}


async def test_an_ice_restart_keeps_the_tracks(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        transport = await (await room.add_participant()).answer(SENDS_BOTH)
        tracks = list(transport.tracks)
        answer = await transport.restart(SENDS_BOTH.replace("ice-ufrag:remo", "ice-ufrag:other"))
        assert answer.startswith("v=0")
        assert transport.tracks == tracks
        kinds = [type(command) for _, command in cores[0].log]
        assert kinds[-2:] == [messages.RestartIce, messages.Connect]


async def test_removing_a_participant_ends_its_transports_and_tracks(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, _ = (await alice.answer(SENDS_BOTH)).tracks
        await bob.answer(TAKES_BOTH, publish=False, play=[audio])
        await bob.allow(audio)
        await alice.remove()
        await alice.remove()
        assert cores[0].edges == set()
        assert room.participants == (bob,)


async def test_connected_waits_and_tells_of_failure(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        good = await (await room.add_participant()).answer(SENDS_BOTH)
        bad = await (await room.add_participant()).answer(SENDS_BOTH)
        waiting = [asyncio.create_task(good.connected()), asyncio.create_task(bad.connected())]
        await settle()
        cores[0].tell(messages.PeerConnected(peer=good.number, srtp_profile="AEAD_AES_256_GCM", dtls_version="1.2"))
        cores[0].tell(messages.PeerFailed(peer=bad.number, reason="ice"))
        await waiting[0]
        with pytest.raises(errors.TransportFailedError):
            await waiting[1]


async def test_events_name_objects_and_every_reader_gets_them(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        transport = await alice.answer(SENDS_BOTH)
        with sfu.subscription() as one, sfu.subscription() as two:
            cores[0].tell(messages.TrackStarted(track=transport.tracks[0].number, codec="opus"))
            speaker = messages.SpeakerLevel(participant=alice.number, level=30)
            cores[0].tell(messages.Speakers(room=room.number, speakers=[speaker]))
            for queue in (one, two):
                assert await anext(queue) == events.TrackStarted(transport.tracks[0], "opus")
                assert await anext(queue) == events.SpeakersChanged(room, ((alice.id, 30),))


async def test_a_failed_worker_ends_its_rooms_and_gets_no_new_ones(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        first, second = await sfu.create_room(), await sfu.create_room()
        with sfu.subscription() as queue:
            cores[0].tell(messages.WorkerFailed(reason="a bug"), worker=0)
            assert await anext(queue) == events.WorkerFailed(0)
            assert await anext(queue) == events.RoomFailed(first)
        assert sfu.rooms == (second,)
        assert [(await sfu.create_room()).worker for _ in range(2)] == [1, 1]


async def test_after_close_nothing_hangs(cores: list[FakeCore]) -> None:
    sfu = Sfu()
    async with sfu:
        cores[0].held = True
        waiting = asyncio.create_task(sfu.create_room())
        reading = asyncio.create_task(anext(sfu.events()))
        await settle()
    with pytest.raises(errors.ClosedError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await reading
    with pytest.raises(errors.ClosedError):
        await sfu.create_room()


async def test_a_worker_that_hangs_at_the_end_is_named(cores: list[FakeCore], caplog: pytest.LogCaptureFixture) -> None:
    async with Sfu() as sfu:
        cores[0].hangs = [1]
        assert sfu.left_behind == ()
    assert sfu.left_behind == (1,)
    assert "worker 1 hangs" in caplog.text


async def test_a_room_that_failed_gives_its_place_back(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        cores[0].tell(messages.RoomFailed(room=room.number), worker=room.worker)
        await settle()
        await settle()
        assert (room.worker, messages.RemoveRoom(room=room.number)) in cores[0].log
        await room.close()


async def test_a_track_that_could_not_be_played_is_not_played_by_anyone(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        (track, _) = (await alice.answer(SENDS_BOTH)).tracks
        transport = await bob.answer(TAKES_BOTH, publish=False)
        cores[0].refuse[messages.Subscribe] = "bad_session"
        with pytest.raises(errors.BadSessionError):
            await transport.play(track)
        assert track.played_by == set()


async def test_a_section_that_plays_something_goes_on_when_something_else_is_refused(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        other = (await alice.answer(SENDS_BOTH)).tracks[0]
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[track])
        with pytest.raises(errors.MidInUseError):
            await transport.play(other, mid="0")
        await settle()
        assert dict(transport.playing) == {"0": track}
        assert not [command for _, command in cores[0].log if isinstance(command, messages.Unsubscribe)]


async def test_who_waits_for_a_worker_that_fails_is_told(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        await bob.answer(TAKES_BOTH, publish=False, play=[track])
        cores[0].silent = True
        granting, taking = asyncio.create_task(bob.allow(track)), asyncio.create_task(bob.revoke(track))
        await settle()
        cores[0].tell(messages.WorkerFailed(reason="a bug"), worker=0)
        with pytest.raises(errors.UnavailableError):
            await granting
        await taking
        with pytest.raises(errors.UnavailableError):
            await track.unmute()


async def test_a_worker_that_hangs_has_no_figures_but_those_of_its_rim(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        cores[0].held = True
        stats = await sfu.stats(timeout=timedelta(0))
        assert [worker.engine for worker in stats.workers] == [None, None]
        assert [worker.rim.turns for worker in stats.workers] == [0, 0]
        assert sfu.counters() == [worker.rim for worker in stats.workers]


async def test_what_the_system_does_not_grant_is_a_value_with_the_line_that_helps(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    capped = messages.ReceiveBufferCapped(granted=212_992, wanted=4_194_304)
    monkeypatch.setattr(FakeCore, "warnings", msgspec.msgpack.encode([capped]))
    async with Sfu() as sfu:
        (warning,) = sfu.warnings
        assert (warning.code, warning.worker) == ("receive_buffer_capped", None)
        assert warning.remedy == "sysctl -w net.core.rmem_max=4194304"
        assert warning.figures == {"granted": 212_992, "wanted": 4_194_304}
        with sfu.subscription() as queue:
            cores[0].tell(messages.Warned(warning=messages.ReceiveFailed(errno=5)), worker=1)
            happened = await anext(queue)
            assert isinstance(happened, events.Warned)
            assert (happened.warning.code, happened.warning.worker) == ("receive_failed", 1)


async def test_the_section_of_a_track_that_ended_is_free_and_stopping_it_is_harmless(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob, carol = [await room.add_participant() for _ in range(3)]
        gone = (await alice.answer(SENDS_BOTH)).tracks[0]
        next_one = (await carol.answer(SENDS_BOTH)).tracks[0]
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[gone])
        stopping = asyncio.create_task(transport.stop(gone))
        cores[0].refuse[messages.Unsubscribe] = "unknown_track"
        await stopping
        cores[0].refuse.clear()
        await transport.play(gone)
        await alice.remove()
        assert dict(transport.playing) == {}
        await transport.stop(gone)
        assert await transport.play(next_one) == "0"


async def test_a_section_that_played_a_track_that_ended_meanwhile_stays_free(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        transport = await bob.answer(TAKES_BOTH, publish=False)
        cores[0].refuse[messages.Subscribe] = "unknown_track"
        playing = asyncio.create_task(transport.play(track))
        await asyncio.sleep(0)
        await alice.remove()
        with pytest.raises(errors.UnknownTrackError):
            await playing
        assert dict(transport.playing) == {}
