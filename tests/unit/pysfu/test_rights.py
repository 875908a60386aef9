"""Rights: given, taken away, given up half-way; no edge is left that Python does not know of."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Literal

import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, offer, settle

from pysfu import Sfu, _bridge, errors, messages

pytestmark = pytest.mark.asyncio


async def test_played_tracks_flow_only_once_allowed_and_not_after_revoke(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, video = (await alice.answer(SENDS_BOTH)).tracks
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[audio, video])
        assert dict(transport.playing) == {"0": audio, "1": video}
        assert cores[0].edges == set()
        await bob.allow(audio)
        assert cores[0].edges == {(0, audio.number, transport.number)}
        await bob.revoke(audio)
        assert cores[0].edges == set()


async def test_no_track_comes_of_a_kind_that_may_not_be_published(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob, carol = [await room.add_participant() for _ in range(3)]
        (_, video) = (await alice.answer(SENDS_BOTH)).tracks
        sending = await bob.answer(SENDS_BOTH, publish=["audio"])
        assert [track.kind for track in sending.tracks] == ["audio"]
        assert "m=video 0 " in sending.sdp
        assert "m=video 0 " in await sending.restart(SENDS_BOTH.replace("ice-ufrag:remo", "ice-ufrag:other"))
        both_ways = offer(("audio", "sendrecv"), ("video", "sendrecv"))
        receiving_too = await carol.answer(both_ways, publish=["audio"], play=[video])
        assert [track.kind for track in receiving_too.tracks] == ["audio"]
        assert dict(receiving_too.playing) == {"1": video}


@pytest.mark.parametrize("publish", ["audio", ["audio", "screen"], ["a"]], ids=["word", "unknown", "letter"])
async def test_what_is_no_kind_of_media_is_refused_before_anything_is_made(
    cores: list[FakeCore], publish: list[Literal["audio", "video"]]
) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        asked_before = len(cores[0].log)
        for asked in (lambda: alice.answer(SENDS_BOTH, publish=publish), lambda: alice.offer(publish=publish)):
            with pytest.raises(ValueError, match=r"'audio' or 'video'"):
                await asked()
        assert len(cores[0].log) == asked_before
        assert room.transports == {}


@pytest.mark.parametrize("apart", [1, 2], ids=["on_another_worker", "on_the_same_worker"])
async def test_what_is_in_another_room_is_refused_and_nobody_elses_is_given_in_its_place(
    cores: list[FakeCore], apart: int
) -> None:
    async with Sfu() as sfu:
        rooms = [await sfu.create_room() for _ in range(1 + apart)]
        room, other = rooms[0], rooms[apart]
        alice, stranger = await room.add_participant(), await other.add_participant()
        (hers, _) = (await alice.answer(SENDS_BOTH)).tracks
        (theirs, _) = (await stranger.answer(SENDS_BOTH)).tracks
        bob = await room.add_participant()
        receiving = await bob.answer(TAKES_BOTH, publish=False)
        assert (theirs.number == hers.number) == (other.worker != room.worker)
        for asked in (
            lambda: bob.allow(theirs),
            lambda: bob.revoke(theirs),
            lambda: bob.allow_data(stranger),
            lambda: bob.revoke_data(stranger),
            lambda: receiving.play(theirs),
            lambda: theirs.limit(bob, encoding=0),
            lambda: bob.answer(TAKES_BOTH, publish=False, play=[theirs]),
            lambda: bob.offer(play=[theirs]),
        ):
            asked_before = len(cores[0].log)
            with pytest.raises(errors.OtherRoomError):
                await asked()
            assert len(cores[0].log) == asked_before
        with pytest.raises(errors.OtherRoomError):
            async with room.bot(play=[theirs]):
                pass
        assert (cores[0].edges, cores[0].data_edges) == (set(), set())
        assert (bob.allowed, bob.data_publishers, theirs.played_by) == (frozenset(), frozenset(), set())
        await bob.allow(hers)
        assert cores[0].edges == {(room.worker, hers.number, receiving.number)}


async def test_rights_hold_for_transports_that_come_later(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, video = (await alice.answer(SENDS_BOTH)).tracks
        await bob.allow(audio)
        await bob.allow(video)
        await bob.revoke(video)
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[audio])
        assert cores[0].edges == {(0, audio.number, transport.number)}


async def test_a_busy_engine_refuses_but_undoing_is_tried_again(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        cores[0].held = True
        creating = asyncio.create_task(sfu.create_room())
        await settle()
        creating.cancel()
        cores[0].busy = True
        cores[0].release()
        await settle()
        assert len(cores[0].rooms) == 1
        with pytest.raises(errors.UnavailableError):
            await sfu.create_room()
        cores[0].busy = False
        await sfu.stats()
        await settle()
        assert cores[0].rooms == set()


async def test_a_right_is_taken_away_even_when_whoever_asked_is_cancelled_at_once(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, video = (await alice.answer(SENDS_BOTH)).tracks
        await bob.answer(TAKES_BOTH, publish=False, play=[audio, video])
        await bob.allow(audio)
        await bob.allow(video)
        cores[0].busy = True
        revoking = asyncio.create_task(bob.revoke(audio))
        await asyncio.sleep(0)
        revoking.cancel()
        cores[0].busy = False
        await bob.revoke(video)
        assert cores[0].edges == set()


@pytest.mark.parametrize("seed", range(40))
async def test_cancelling_at_any_moment_leaves_what_python_knows_and_nothing_else(
    cores: list[FakeCore], seed: int
) -> None:
    chance = random.Random(seed)
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice = await room.add_participant()
        tracks = (await alice.answer(SENDS_BOTH)).tracks

        async def life() -> None:
            bob = await room.add_participant()
            transport = await bob.answer(TAKES_BOTH, publish=False, play=tracks)
            await bob.answer(TAKES_BOTH, publish=False, play=tracks)
            for track in tracks:
                await bob.allow(track)
            await bob.allow_data(alice)
            await asyncio.gather(bob.revoke(tracks[0]), bob.allow(tracks[1]))
            await bob.revoke_data(alice)
            await transport.close()
            await bob.answer(SENDS_BOTH)
            await bob.answer(TAKES_BOTH, publish=False, play=tracks)
            await sfu.create_room()

        lives = [asyncio.create_task(life()) for _ in range(8)]
        for task in lives:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        await settle()
        core = cores[0]
        assert {(room.worker, room.number) for room in sfu.rooms} == core.rooms
        known = {(0, transport.number) for participant in room.participants for transport in participant.transports}
        assert known == {key for key in core.peers if key[0] == 0}
        assert set(room.tracks) == {key for key in core.tracks if key[0] == 0}
        allowed = {
            (0, track.number, transport.number)
            for participant in room.participants
            for transport in participant.transports
            for track in participant.allowed
        }
        assert core.edges == allowed
        said = {
            (0, theirs.number, ours.number)
            for participant in room.participants
            for ours in participant.transports
            for publisher in participant.data_publishers
            for theirs in publisher.transports
        }
        assert core.data_edges == said


@pytest.mark.parametrize("turns", range(1, 5))
async def test_after_revoke_returns_no_transport_has_the_edge_that_was_being_granted(
    cores: list[FakeCore], turns: int
) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        for _ in range(2):
            await alice.answer(SENDS_BOTH)
            await bob.answer(TAKES_BOTH, publish=False, play=[track])
        granting = [asyncio.create_task(bob.allow(track)), asyncio.create_task(bob.allow_data(alice))]
        for _ in range(turns):
            await asyncio.sleep(0)
        await bob.revoke(track)
        await bob.revoke_data(alice)
        assert (cores[0].edges, cores[0].data_edges) == (set(), set())
        await asyncio.gather(*granting)
        await settle()
        assert (cores[0].edges, cores[0].data_edges) == (set(), set())
        assert (bob.allowed, bob.data_publishers) == (frozenset(), frozenset())


async def test_who_gives_up_granting_does_not_take_back_what_another_granted(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[track])
        first = asyncio.create_task(bob.allow(track))
        await asyncio.sleep(0)
        second = asyncio.create_task(bob.allow(track))
        await asyncio.sleep(0)
        first.cancel()
        await second
        await settle()
        assert cores[0].edges == {(0, track.number, transport.number)}
        assert bob.allowed == {track}


async def test_a_track_that_ended_is_no_right_and_nobody_fails_over_it(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = (await alice.answer(SENDS_BOTH)).tracks[0]
        await bob.allow(track)
        await bob.allow_data(alice)
        await alice.remove()
        assert (bob.allowed, bob.data_publishers) == (frozenset(), frozenset())
        await bob.answer(TAKES_BOTH, publish=False)


async def test_a_track_that_has_ended_is_kept_as_no_right(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        (track, _) = (await alice.answer(SENDS_BOTH)).tracks
        await bob.answer(TAKES_BOTH, publish=False)
        await alice.remove()
        await bob.allow(track)
        assert bob.allowed == frozenset()


async def test_who_takes_away_more_than_can_wait_is_told_and_asks_again(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bridge, "MAX_BACKLOG", 2)
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        tracks = (await alice.answer(SENDS_BOTH)).tracks
        for _ in range(2):
            await bob.answer(TAKES_BOTH, publish=False, play=tracks)
        await bob.allow(tracks[0])
        await bob.allow(tracks[1])
        cores[0].busy = True
        waiting = asyncio.create_task(bob.revoke(tracks[0]))
        await asyncio.sleep(0)
        for refused in (bob.revoke(tracks[1]), alice.remove(), room.close()):
            with pytest.raises(errors.UnavailableError):
                await refused
        assert len(cores[0].edges) == 4
        assert room.transports, "what is still there is still known"
        cores[0].busy = False
        await bob.revoke(tracks[1])
        await waiting
        assert cores[0].edges == set()
        await alice.remove()
        await room.close()
        assert (cores[0].peers, cores[0].rooms) == ({}, set())


async def test_what_was_asked_before_something_that_could_not_be_is_awaited_by_nobody_and_complains_to_nobody(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bridge, "MAX_BACKLOG", 1)
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        (track, _) = (await alice.answer(SENDS_BOTH)).tracks
        for _ in range(2):
            await bob.answer(TAKES_BOTH, publish=False)
        await bob.allow(track)
        cores[0].busy = True
        with pytest.raises(errors.UnavailableError):
            await bob.revoke(track)
        cores[0].busy = False
        cores[0].refuse[messages.Revoke] = "bad_session"
        await sfu.stats()
    gc.collect()
    assert complaints == []


async def test_a_worker_that_takes_no_commands_keeps_no_revocation_from_another(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        first, second = await sfu.create_room(), await sfu.create_room()
        cores[0].busy_workers = {0}
        closing = asyncio.create_task(first.close())
        await asyncio.sleep(0)
        await second.close()
        assert cores[0].rooms == {(0, first.number)}
        with pytest.raises(errors.UnavailableError):
            await sfu.create_room()  # behind what waits: it could not be taken back in time
        cores[0].busy_workers.clear()
        await sfu.stats()
        await closing
        assert cores[0].rooms == set()


async def test_a_limit_is_for_the_transports_that_play_the_track(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        _, video = (await alice.answer(SENDS_BOTH)).tracks
        with pytest.raises(errors.UnknownPeerError):
            await video.limit(bob, encoding=0)
        await bob.answer(offer(("audio", "sendonly")))
        playing = await bob.answer(TAKES_BOTH, publish=False, play=[video])
        await video.limit(bob, encoding=1)
        limits = [command for _, command in cores[0].log if isinstance(command, messages.LimitLayer)]
        limit = messages.LayerLimit(encoding=1, temporal=255)
        assert limits == [messages.LimitLayer(track=video.number, subscriber=playing.number, limit=limit)]
