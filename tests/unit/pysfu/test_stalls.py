"""What does not flow is known at the track, whether the engine tells it, or a snapshot does."""

from __future__ import annotations

import msgspec
import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle

from pysfu import Sfu, Transport, events, messages
from pysfu._stalls import note_stalls
from pysfu.track import Track

pytestmark = pytest.mark.asyncio


async def call(sfu: Sfu) -> tuple[Track, Transport]:
    """Returns a track, and the transport of somebody who plays it."""
    room = await sfu.create_room()
    alice, bob = await room.add_participant(), await room.add_participant()
    sent = await alice.answer(SENDS_BOTH)
    return sent.tracks[0], await bob.answer(TAKES_BOTH, publish=False, play=sent.tracks)


async def test_what_the_engine_tells_is_an_event_and_at_the_track_until_it_flows_again(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        track, playing = await call(sfu)
        with sfu.subscription() as queue:
            cores[0].tell(messages.TrackStalled(track=track.number, stalled=True))
            stalled = messages.SubscriptionStalled(
                subscriber=playing.number, track=track.number, cause="nothing_arrives"
            )
            cores[0].tell(stalled)
            await settle()
            assert (track.stalled, track.stalled_at) == (True, {playing: "nothing_arrives"})
            assert await anext(queue) == events.TrackStalled(track, stalled=True)
            assert await anext(queue) == events.SubscriptionStalled(playing, track, "nothing_arrives")
            cores[0].tell(messages.TrackStalled(track=track.number, stalled=False))
            cores[0].tell(msgspec.structs.replace(stalled, cause=None))
            await settle()
            assert (track.stalled, track.stalled_at) == (False, {})
            queue.close()
            assert [event async for event in queue] == [
                events.TrackStalled(track, stalled=False),
                events.SubscriptionStalled(playing, track, None),
            ]


async def test_who_no_longer_plays_a_track_is_no_longer_told_of_it(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        track, playing = await call(sfu)
        paused = messages.SubscriptionStalled(subscriber=playing.number, track=track.number, cause="paused")
        cores[0].tell(paused)
        await settle()
        await playing.stop(track)
        assert track.stalled_at == {}
        cores[0].tell(paused)
        await settle()
        assert track.stalled_at == {}, "it was said before it had ended"


async def test_many_that_stall_at_once_push_nothing_else_out_of_a_readers_queue(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        track, playing = await call(sfu)
        with sfu.subscription(capacity=4) as queue:
            for stalled in (True, False) * 20:
                cores[0].tell(messages.TrackStalled(track=track.number, stalled=stalled))
            await settle()
            queue.close()
            read = [event async for event in queue]
            assert events.Resynced() not in read
            assert read[-1] == events.TrackStalled(track, stalled=False)
        assert playing.playing


async def test_a_snapshot_tells_what_does_not_flow_now(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        track, playing = await call(sfu)
        reply = await sfu._bridge.ask(0, messages.Snapshot())
        assert isinstance(reply, messages.SnapshotReply)
        carried = [messages.PlayingState(mid="0", track=track.number, stalled="paused")]
        said = messages.TrackState(
            track=track.number,
            peer=track.transport.number,
            mid=track.mid,
            kind=track.kind,
            source=track.source,
            muted=False,
            holds_encodings=False,
            stalled=True,
            allowed=[],
        )
        state = msgspec.structs.replace(
            reply.snapshot,
            tracks=[said],
            peers=[
                msgspec.structs.replace(peer, playing=carried if peer.peer == playing.number else [])
                for peer in reply.snapshot.peers
            ],
        )
        note_stalls(0, state, sfu.index.tracks, sfu.index.transports)
        assert (track.stalled, track.stalled_at) == (True, {playing: "paused"})
        carried[0] = msgspec.structs.replace(carried[0], stalled=None)
        note_stalls(0, state, sfu.index.tracks, sfu.index.transports)
        assert (track.stalled, track.stalled_at) == (True, {})


async def test_what_was_told_before_a_snapshot_says_nothing_after_it(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        track, _ = await call(sfu)
        with sfu.subscription() as queue:
            cores[0].tell(messages.Resync(version=9))
            assert await anext(queue) == events.Resynced()
            old = messages.Event(version=8, event=messages.TrackStalled(track=track.number, stalled=True))
            sfu._on_message(0, old)
            assert track.stalled is False
