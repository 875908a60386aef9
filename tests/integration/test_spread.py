"""A room that is too large for one worker goes on to the next, and nobody in it can tell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from callers import HANG_S, Caller, Wire, until
from fake_core import SENDS_BOTH, TAKES_BOTH
from footage import Camera, Tone

import pysfu
from pysfu import messages
from pysfu.errors import OnlyRelaysError, UnknownTrackError

CONFIG = pysfu.Config(bind=("127.0.0.1",), workers=2, room_spread_over=1)
A_WHILE_S = 1.5  # In it a publisher of pictures and sound sends about 100 packets.


@dataclass
class Seat:
    """Somebody who sends pictures and sound, and takes those of another."""

    participant: pysfu.Participant
    sending: pysfu.Transport
    sender: Caller
    watcher: Caller

    async def play(self, other: Seat) -> pysfu.Transport:
        """Plays somebody else, without a right to it."""
        offer = await self.watcher.take("video", "audio").offer()
        taking = await self.participant.answer(offer, publish=False, play=other.sending.tracks)
        await self.watcher.accept(taking.sdp)
        await self.watcher.connected()
        return taking

    async def allow(self, other: Seat) -> None:
        """Gets the right to all of them."""
        for track in other.sending.tracks:
            await self.participant.allow(track)


async def seat(room: pysfu.Room, number: int, stack: contextlib.AsyncExitStack) -> Seat:
    """Has somebody come in who sends a picture with that number, and a tone of so many hundred hertz."""
    sender, watcher = [await stack.enter_async_context(Caller()) for _ in range(2)]
    participant = await room.add_participant()
    offer = await sender.send(Camera(number, frame_rate=30), Tone(100 * number)).offer()
    sending = await participant.answer(offer)
    await sender.accept(sending.sdp)
    await sender.connected()
    return Seat(participant, sending, sender, watcher)


@contextlib.asynccontextmanager
async def seats(count: int) -> AsyncIterator[tuple[pysfu.Sfu, pysfu.Room, list[Seat]]]:
    """Has so many come into a room of which a worker takes one before the next is asked."""
    async with (
        pysfu.Sfu(CONFIG) as sfu,
        await sfu.create_room() as room,
        contextlib.AsyncExitStack() as stack,
    ):
        yield sfu, room, [await seat(room, 3 + number, stack) for number in range(count)]
        assert (await sfu.stats()).total("unauthorized_forwards") == 0


async def nothing_comes(wire: Wire) -> None:
    """Asserts that no packet arrives for a while but those that lie in the socket, which were sent before."""
    wire.flush()
    before = wire.rtp
    await asyncio.sleep(A_WHILE_S)
    assert wire.rtp == before


async def peers_are(sfu: pysfu.Sfu, count: int) -> None:
    """Waits until the engine has so many transports and ends of relays."""
    async with asyncio.timeout(HANG_S):
        while (await sfu.stats()).total("peers") != count:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.02)


async def test_two_on_different_workers_see_and_hear_each_other() -> None:
    async with seats(2) as (sfu, room, (anna, bela)):
        assert (anna.participant.worker, bela.participant.worker) == (0, 1)
        for one, other in ((anna, bela), (bela, anna)):
            await one.play(other)
            await one.allow(other)
        assert {number for number, _ in await anna.watcher.watched(30)} == {4}
        assert {number for number, _ in await bela.watcher.watched(30)} == {3}
        assert await anna.watcher.heard() == pytest.approx(400, abs=10)
        assert await bela.watcher.heard() == pytest.approx(300, abs=10)
        await until(lambda: len(room.listeners) == 2, "both in the roster")
        assert set(room.listeners) == {anna.participant.id, bela.participant.id}
        stats = await sfu.stats()
        assert stats.total("relay_packets_out") > 0
        assert (stats.total("rooms") - stats.further_rooms, stats.total("peers") - 2 * stats.relays) == (1, 4)
        assert stats.total("connected_peers") - 2 * stats.relays == 4
        assert stats.total("edges") - stats.relays == 2 * 2 * 2, "each track to each transport of the other"
        assert [rim.relay_drops for rim in sfu.counters()] == [0, 0]


async def test_no_packet_of_another_worker_arrives_after_a_right_to_it_was_taken() -> None:
    async with seats(2) as (_, _, (anna, bela)):
        await bela.play(anna)
        wire = Wire(bela.watcher)
        await nothing_comes(wire)
        for take in (
            lambda track: bela.participant.revoke(track),
            lambda track: track.mute(),
        ):
            await bela.allow(anna)
            before = wire.rtp
            await until(lambda before=before: wire.rtp >= before + 40, "packets while allowed")
            await asyncio.gather(*(take(track) for track in anna.sending.tracks))
            await nothing_comes(wire)
        for track in anna.sending.tracks:
            await track.unmute()
        before = wire.rtp
        await until(lambda: wire.rtp >= before + 40, "packets that are not muted any more")
        await anna.participant.remove()
        await nothing_comes(wire)
        wire.close()


async def test_a_track_is_relayed_once_to_a_worker_and_no_longer_than_somebody_there_plays_it() -> None:
    async with seats(4) as (sfu, _, (anna, bela, carl, dora)):
        workers = [each.participant.worker for each in (anna, bela, carl, dora)]
        assert workers == [0, 1, 0, 1]
        await peers_are(sfu, 4)
        takings = [await each.play(anna) for each in (bela, carl, dora)]
        relays = 2  # of two tracks, to the only other worker
        await peers_are(sfu, 4 + 3 + 2 * relays)
        for each in (bela, carl, dora):
            await each.allow(anna)
            await each.watcher.watched(10)
        sound, pictures = sorted(anna.sending.tracks, key=lambda track: track.kind)
        await takings[0].close()
        await takings[2].stop(sound)
        await peers_are(sfu, 4 + 2 + 2)
        await anna.participant.remove()
        await peers_are(sfu, 3 + 2)
        with pytest.raises(UnknownTrackError):
            await takings[2].play(pictures)


async def test_a_bot_hears_somebody_on_another_worker() -> None:
    async with seats(1) as (_, room, (anna,)):
        (sound,) = [track for track in anna.sending.tracks if track.kind == "audio"]
        async with room.bot(play=[sound]) as bot:
            assert bot.participant.worker == 1
            await bot.participant.allow(sound)
            async with asyncio.timeout(HANG_S):
                assert await anext(bot.packets(sound))


async def test_a_room_that_ends_leaves_nothing_on_any_worker() -> None:
    async with seats(2) as (sfu, room, (anna, bela)):
        await bela.play(anna)
        await bela.allow(anna)
        await room.close()
        await peers_are(sfu, 0)
        stats = await sfu.stats()
        assert (stats.total("rooms"), stats.total("tracks"), stats.total("edges")) == (0, 0, 0)


async def test_a_right_from_before_somebody_plays_holds_once_they_do() -> None:
    async with seats(2) as (_, _, (anna, bela)):
        await bela.allow(anna)
        await bela.play(anna)
        await bela.watcher.watched(10)


async def test_messages_do_not_go_from_one_worker_to_another_and_whoever_allows_them_is_told() -> None:
    async with seats(2) as (_, _, (anna, bela)):
        with pytest.raises(OnlyRelaysError, match="on different workers"):
            await bela.participant.allow_data(anna.participant)
        await bela.participant.revoke_data(anna.participant)
        assert bela.participant.data_publishers == frozenset()


async def test_what_a_publisher_sends_under_other_numbers_from_here_on_is_relayed_anew() -> None:
    async with pysfu.Sfu(CONFIG) as sfu, await sfu.create_room() as room:
        anna, bela = await room.add_participant(), await room.add_participant()
        sending = await anna.answer(SENDS_BOTH)
        taking = await bela.answer(TAKES_BOTH, publish=False, play=sending.tracks)
        sound, pictures = sending.tracks
        await bela.allow(sound)
        before = [room.relays.number_now(track, 1) for track in (sound, pictures)]
        await sending.restart(SENDS_BOTH.replace("ufrag:remo", "ufrag:other").replace("111", "109"))
        async with asyncio.timeout(HANG_S):
            while room.relays.number_now(sound, 1) in (before[0], None):  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.01)
        assert room.relays.number_now(pictures, 1) == before[1], "that is as it was"
        await peers_are(sfu, 2 + 2 * 2)
        state = (await room.bridge.call(1, messages.Snapshot(), messages.SnapshotReply)).snapshot
        (playing,) = [peer.playing for peer in state.peers if peer.peer == taking.number]
        assert {section.track for section in playing} == {room.relays.number_now(track, 1) for track in sending.tracks}
        assert {track.track for track in state.tracks if taking.number in track.allowed} == {
            room.relays.number_now(sound, 1)
        }
