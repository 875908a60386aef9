"""Relays are made, granted, replaced and ended as those who play a track come and go; none is left half-way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle

import pysfu
from pysfu import Sfu, _spread, errors, events, messages

pytestmark = pytest.mark.asyncio
CONFIG = pysfu.Config(workers=2, room_spread_over=1)


async def two_apart(sfu: Sfu) -> tuple[pysfu.Room, pysfu.Transport, pysfu.Participant]:
    """Makes a room of two on different workers, one of whom publishes."""
    room = await sfu.create_room(note=b"ward round")
    anna, bela = await room.add_participant(), await room.add_participant()
    assert (anna.worker, bela.worker) == (0, 1)
    return room, await anna.answer(SENDS_BOTH), bela


def commands(core: FakeCore, kind: type) -> list[tuple[int, messages.Command]]:
    return [(worker, command) for worker, command in core.log if isinstance(command, kind)]


def ends(core: FakeCore) -> Counter[int]:
    """Counts the ends of relays of each worker."""
    return Counter(worker for (worker, _), peer in core.peers.items() if peer.relay is not None)


async def test_a_relay_is_granted_its_track_before_anybody_is_wired_to_it_and_then_rights_are(
    cores: list[FakeCore],
) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        track = sent.tracks[0]
        await bela.allow(track)
        assert cores[0].edges == set(), "it is nowhere yet where they are"
        before = len(cores[0].log)
        taking = await bela.answer(TAKES_BOTH, publish=False, play=[track])
        kinds = [(worker, type(command)) for worker, command in cores[0].log[before:]]
        order = [(0, messages.RelayOut), (1, messages.RelayIn), (0, messages.Allow), (1, messages.Subscribe)]
        assert [each for each in kinds if each in order] == order
        assert kinds[-1] == (1, messages.Allow)
        number = room.relays.number_now(track, 1)
        assert (1, number, taking.number) in cores[0].edges
        await bela.revoke(track)
        assert {edge for edge in cores[0].edges if edge[0] == 1} == set()
        assert room.tracks.keys() == {(0, each.number) for each in sent.tracks}


async def test_who_is_on_the_same_worker_needs_no_relay(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        carl = await room.add_participant()
        assert carl.worker == 0
        await carl.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        assert ends(cores[0]) == {}
        taking = [await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks) for _ in range(2)]
        assert ends(cores[0]) == {0: 2, 1: 2}, "one of each track, however many play it"
        await taking[0].stop(sent.tracks[0])
        await settle()
        assert ends(cores[0]) == {0: 2, 1: 2}
        await taking[1].close()
        await settle()
        assert ends(cores[0]) == {0: 1, 1: 1}


@pytest.mark.parametrize("steps", range(12))
async def test_who_gives_up_while_a_relay_is_made_leaves_none(cores: list[FakeCore], steps: int) -> None:
    async with Sfu(CONFIG) as sfu:
        _, sent, bela = await two_apart(sfu)
        taking = await bela.answer(TAKES_BOTH, publish=False)
        playing = asyncio.ensure_future(taking.play(sent.tracks[0]))
        for _ in range(steps):
            await asyncio.sleep(0)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        if playing.cancelled():
            assert taking.playing == {}
        else:
            await taking.stop(sent.tracks[0])
        await settle()
        assert ends(cores[0]) == {}


@pytest.mark.parametrize("steps", range(12))
async def test_a_track_that_ends_while_it_is_relayed_leaves_no_relay(cores: list[FakeCore], steps: int) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        track = sent.tracks[0]
        taking = await bela.answer(TAKES_BOTH, publish=False)
        playing = asyncio.ensure_future(taking.play(track))
        for _ in range(steps):
            await asyncio.sleep(0)
        await track.unpublish()
        await asyncio.gather(playing, return_exceptions=True)
        await settle()
        assert (ends(cores[0]), dict(taking.playing), track in room.tracks.values()) == ({}, {}, False)


async def test_a_track_that_cannot_be_relayed_is_an_error_of_whoever_plays_it_and_tried_again_by_the_next(
    cores: list[FakeCore], caplog: pytest.LogCaptureFixture
) -> None:
    async with Sfu(CONFIG) as sfu:
        _, sent, bela = await two_apart(sfu)
        taking = await bela.answer(TAKES_BOTH, publish=False)
        for kind in (messages.RelayOut, messages.RelayIn):
            cores[0].refuse[kind] = {"full": "relays"}
            with pytest.raises(errors.FullError):
                await taking.play(sent.tracks[0])
            del cores[0].refuse[kind]
            await settle()
            assert (ends(cores[0]), taking.playing) == ({}, {})
        assert "cannot be relayed to worker 1" in caplog.text
        await taking.play(sent.tracks[0])
        assert ends(cores[0]) == {0: 1, 1: 1}


async def test_a_relay_whose_track_was_negotiated_anew_is_made_anew_for_those_who_play_it(
    cores: list[FakeCore],
) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        (_, track), core = sent.tracks, cores[0]
        await bela.allow(track)
        taking = await bela.answer(TAKES_BOTH, publish=False, play=[track])
        await track.limit(bela, encoding=0)
        (near,) = (number for (worker, number), peer in core.peers.items() if peer.relay is not None and worker == 0)
        before = room.relays.number_now(track, 1)
        core.tell(messages.PeerClosed(peer=near), worker=0)
        await settle()
        number = room.relays.number_now(track, 1)
        assert number not in (before, None)
        assert ends(core) == {0: 1, 1: 1}
        assert core.edges >= {(1, number, taking.number)}
        (mid,) = taking.playing
        assert commands(core, messages.Subscribe)[-1] == (
            1,
            messages.Subscribe(peer=taking.number, mid=mid, track=number),
        )
        limit = messages.LayerLimit(encoding=0)
        assert commands(core, messages.LimitLayer)[-1] == (
            1,
            messages.LimitLayer(track=number, subscriber=taking.number, limit=limit),
        )


async def test_a_revocation_waits_for_the_worker_also_when_the_relay_has_just_ended(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        _, sent, bela = await two_apart(sfu)
        track = sent.tracks[0]
        await bela.allow(track)
        taking = await bela.answer(TAKES_BOTH, publish=False, play=[track])
        cores[0].held = True
        stopping = asyncio.ensure_future(taking.stop(track))
        revoking = asyncio.ensure_future(bela.revoke(track))
        await settle()
        assert not revoking.done(), "the worker may still send"
        cores[0].release()
        await asyncio.gather(stopping, revoking)
        assert (ends(cores[0]), cores[0].edges) == ({}, set())


async def test_a_loss_of_events_does_not_hide_that_a_relay_has_ended(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks[:1])
        before = room.relays.number_now(sent.tracks[0], 1)
        (far,) = (key for key, peer in cores[0].peers.items() if peer.relay is not None and key[0] == 1)
        cores[0].remove_peer(*far)
        cores[0].tell(messages.Resync(version=1), worker=1)
        await settle()
        assert room.relays.number_now(sent.tracks[0], 1) not in (before, None)
        assert ends(cores[0]) == {0: 1, 1: 1}


async def test_what_is_told_of_a_room_is_of_all_its_workers_together(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        anna, core, track = sent.participant, cores[0], sent.tracks[1]
        taking = await bela.answer(TAKES_BOTH, publish=False, play=[track])
        number = room.relays.number_now(track, 1)
        assert number is not None
        part = room.parts[1].number
        with sfu.subscription() as told:
            core.tell(messages.Roster(room=room.number, listeners=[anna.number]), worker=0)
            core.tell(messages.Roster(room=part, listeners=[bela.number]), worker=1)
            for _ in range(2):
                roster = await anext(told)
            assert roster == events.RosterChanged(room, (anna.id, bela.id))
            core.tell(messages.TrackStarted(track=number, codec="vp8"), worker=1)
            core.tell(messages.TrackStarted(track=track.number, codec="vp8"), worker=0)
            assert await anext(told) == events.TrackStarted(track, "vp8"), "once"
            core.tell(messages.LayerChanged(subscriber=taking.number, track=number, encoding=1), worker=1)
            assert await anext(told) == events.LayerChanged(taking, track, 1)
            # Worker 1 hears anna as well, who is relayed there; what her own says counts.
            hers, his = (messages.SpeakerLevel(participant=each.number, level=20) for each in (anna, bela))
            echo = messages.SpeakerLevel(participant=anna.number, level=90)
            core.tell(messages.Speakers(room=part, speakers=[his, echo]), worker=1)
            core.tell(messages.Speakers(room=room.number, speakers=[hers]), worker=0)
            await settle()
            assert await anext(told) == events.SpeakersChanged(room, ((anna.id, 20), (bela.id, 20)))


async def test_a_room_fails_as_a_whole_when_any_of_its_workers_does(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        with sfu.subscription() as told:
            cores[0].tell(messages.WorkerFailed(reason="a bug"), worker=1)
            assert [await anext(told) for _ in range(2)] == [events.WorkerFailed(1), events.RoomFailed(room)]
        await settle()
        assert (sfu.rooms, cores[0].log[-1]) == ((), (0, messages.RemoveRoom(room=room.number)))


async def test_a_room_ends_on_all_its_workers_before_closing_it_returns(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room, sent, bela = await two_apart(sfu)
        await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks)
        assert sfu.rooms == (room,)
        await room.close()
        assert (cores[0].rooms, cores[0].peers, sfu.rooms) == (set(), {}, ())


async def test_many_who_come_at_once_make_a_room_go_on_to_a_worker_once(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room = await sfu.create_room()
        everyone = await asyncio.gather(*(room.add_participant() for _ in range(6)))
        assert Counter(each.worker for each in everyone) == {0: 3, 1: 3}
        assert len(cores[0].rooms) == 2


async def test_a_room_that_cannot_go_on_to_another_worker_grows_where_it_is(
    cores: list[FakeCore], caplog: pytest.LogCaptureFixture
) -> None:
    async with Sfu(CONFIG) as sfu:
        room = await sfu.create_room()
        cores[0].busy_workers.add(1)
        assert [(await room.add_participant()).worker for _ in range(3)] == [0, 0, 0]
        assert "stays there" in caplog.text
        cores[0].busy_workers.clear()
        cores[0].refuse[messages.CreateRoom] = {"full": "rooms"}
        assert (await room.add_participant()).worker == 0
        cores[0].refuse.clear()
        assert (await room.add_participant()).worker == 1


async def test_a_room_goes_on_to_no_worker_that_is_to_be_avoided_which_is_not_even_asked(cores: list[FakeCore]) -> None:
    async with Sfu(CONFIG) as sfu:
        room = await sfu.create_room()
        await room.add_participant()
        cores[0].log.clear()
        assert (await room.add_participant(avoid=[1])).worker == 0
        assert cores[0].log == []
        assert (await room.add_participant()).worker == 1
        assert (await room.add_participant(avoid=[1])).worker == 0, "although there are fewer on the other one"
        assert (await room.add_participant(avoid=[0, 1])).worker == 1, "there is no third"


async def test_a_room_that_is_closed_while_it_goes_on_to_another_worker_is_not_left_there(
    cores: list[FakeCore],
) -> None:
    async with Sfu(CONFIG) as sfu:
        room = await sfu.create_room()
        await room.add_participant()
        cores[0].held = True
        coming = asyncio.ensure_future(room.add_participant())
        await settle()
        closing = asyncio.ensure_future(room.close())
        await settle()
        cores[0].release()
        await asyncio.gather(coming, closing)
        await settle()
        assert cores[0].rooms == set()


async def test_an_engine_with_one_worker_spreads_nothing(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCore, "workers", 1)
    monkeypatch.setattr(FakeCore, "addresses", (["192.0.2.1:7882"],))
    async with Sfu(CONFIG) as sfu:
        room = await sfu.create_room()
        assert [(await room.add_participant()).worker for _ in range(3)] == [0, 0, 0]


async def live(room: pysfu.Room, tracks: list[pysfu.Track], chance: random.Random) -> None:
    """Comes in, plays, gets rights and loses them, in some order."""
    bela = await room.add_participant()
    for _ in range(4):
        first = await bela.answer(TAKES_BOTH, publish=False, play=tracks)
        await bela.answer(TAKES_BOTH, publish=False, play=tracks[:1])
        for track in chance.sample(tracks, 2):
            await bela.allow(track)
        await first.stop(tracks[1])
        await asyncio.gather(bela.revoke(tracks[0]), first.play(tracks[1]))
        own = (await bela.answer(SENDS_BOTH)).tracks
        await bela.allow(own[0], echo=True)
        await chance.choice(list(bela.transports)).close()


@pytest.mark.parametrize("seed", range(40))
async def test_cancelling_at_any_moment_leaves_the_relays_that_are_needed_and_nothing_else(
    cores: list[FakeCore], seed: int
) -> None:
    chance = random.Random(seed)
    async with Sfu(CONFIG) as sfu:
        room, sent, _ = await two_apart(sfu)
        lives = [asyncio.create_task(live(room, list(sent.tracks), chance)) for _ in range(8)]
        for task in lives:
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        await settle()
        core = cores[0]
        plays = [
            (track, track.worker, each.worker) for each in room.transports.values() for track in each.playing.values()
        ]
        relays = [room.relays._find(track, worker) for track, worker in _spread.relays(plays)]
        assert set(relays) == set(room.relays._all())
        their_ends = {end for relay in relays if relay is not None for end in relay.ends()}
        assert len(their_ends) == 2 * len(relays)
        assert core.peers.keys() == room.transports.keys() | their_ends
        relayed = {(relay.track.worker, relay.track.number, relay.near) for relay in relays if relay is not None}
        allowed = {
            (each.worker, room.relays.number_now(track, each.worker), each.number)
            for each in room.transports.values()
            for track in each.participant.allowed
            if room.relays.number_now(track, each.worker) is not None
        }
        assert core.edges == relayed | allowed
        assert set(core.tracks) - set(room.tracks) == {(r.worker, r.number) for r in relays if r is not None}
