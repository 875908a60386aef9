"""What meetings ask of the media engine, with aiortc at the other end: a transport each way, and messages between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiortc import RTCDataChannel
from callers import HANG_S, Caller, Wire, until
from footage import Camera, Tone

from signalling.media import ChannelNotOpenError, MediaNotAllowedError, MediaPeer, MediaTransport
from signalling.media_events import PeerSaid, Speaking
from signalling.pysfu_engine import PysfuEngine

A_WHILE_S = 1.5  # In it a publisher of pictures and sound sends about 100 packets.
LABEL = "_reliable"


@pytest.fixture
async def engine() -> AsyncIterator[PysfuEngine]:
    async with PysfuEngine(host="127.0.0.1", port=0, workers=1, announced_addresses=[]) as running:
        yield running


@dataclass
class Member:
    """Somebody in the meeting: how the engine knows them, and over what."""

    caller: Caller
    peer: MediaPeer
    transport: MediaTransport


@contextlib.asynccontextmanager
async def two_members(engine: PysfuEngine) -> AsyncIterator[tuple[Member, RTCDataChannel, Member]]:
    """Lets one in who announces pictures and sound, with her channel, and one who is offered the sound."""
    async with Caller() as speaking, Caller() as listening:
        room = await engine.create_room(avoid=())
        alice, bob = [await room.add_participant(avoid=()) for _ in range(2)]
        channel = speaking.connection.createDataChannel(LABEL)
        offer = await speaking.send(Camera(1), Tone(440)).offer()
        taken = await alice.take(offer, kinds=("audio", "video"))
        await speaking.accept(taken.sdp)
        (microphone,) = [section for section in taken.sent if section.kind == "audio"]
        track = await taken.publish(microphone.mid, shows="microphone", encrypted=False)
        offered = await bob.offer([track])
        listening.connection.on("datachannel", lambda opened: hear(listening, opened))
        received = await offered.accept(await listening.answer(offered.sdp))
        await asyncio.gather(speaking.connected(), listening.connected())
        await until(lambda: channel.readyState == "open", "an open data channel")
        yield Member(speaking, alice, taken), channel, Member(listening, bob, received)
        figures = await engine.figures()
        assert figures.counters["unauthorized_forwards"] == 0


def hear(caller: Caller, channel: RTCDataChannel) -> None:
    channel.on("message", lambda message: caller.messages.append((channel.label, message)))


async def test_media_of_a_member_flows_only_once_published_and_only_while_allowed(engine: PysfuEngine) -> None:
    async with two_members(engine) as (alice, _, bob):
        wire = Wire(bob.caller)
        (sound,) = alice.transport.tracks
        assert len(alice.transport.sent) == 2, "the picture is announced, and of no track"
        await asyncio.sleep(A_WHILE_S)
        assert wire.rtp == 0
        await bob.peer.allow(sound)
        assert abs(await bob.caller.heard() - 440) <= 2
        assert bob.caller.pictures == []
        await bob.peer.revoke(sound)
        wire.flush()  # what lies in the socket was sent before
        before = wire.rtp
        await asyncio.sleep(A_WHILE_S)
        assert wire.rtp == before
        await bob.peer.allow(sound)
        await until(lambda: wire.rtp > before, "sound again")
        await sound.unpublish()
        wire.flush()
        before = wire.rtp
        await asyncio.sleep(A_WHILE_S)
        assert wire.rtp == before
        wire.close()


async def test_what_a_member_says_is_told_to_the_server_and_goes_on_only_as_the_server_sends_it(
    engine: PysfuEngine,
) -> None:
    events = engine.events()
    reading = asyncio.ensure_future(next_said(events))
    async with two_members(engine) as (alice, channel, bob), asyncio.timeout(HANG_S):
        with pytest.raises(ChannelNotOpenError):
            await bob.transport.send(LABEL, b"nobody hears this", publisher=None)
        await bob.transport.open_channel(LABEL, ordered=True, max_retransmits=None)
        await bob.peer.allow_data(alice.peer)
        channel.send(b"to be looked at")
        said = await reading
        assert said == PeerSaid(peer=alice.peer.id, label=LABEL, payload=b"to be looked at")
        await sent(bob.transport, b"first", publisher=alice.transport)
        for number in range(100):
            await bob.transport.send(LABEL, b"%d" % number, publisher=alice.transport)
        await until(lambda: len(bob.caller.messages) >= 101, "what the server sent")
        assert bob.caller.messages == [(LABEL, b"first"), *((LABEL, b"%d" % number) for number in range(100))]

        await bob.peer.revoke_data(alice.peer)
        with pytest.raises(MediaNotAllowedError):
            await bob.transport.send(LABEL, b"too late", publisher=alice.transport)
        with pytest.raises(MediaNotAllowedError):
            await alice.transport.send(LABEL, b"the other way", publisher=bob.transport)
        await bob.transport.send(LABEL, b"of the server's own", publisher=None)
        await until(lambda: len(bob.caller.messages) >= 102, "what is the server's own")
        assert bob.caller.messages[-1] == (LABEL, b"of the server's own")
    await events.aclose()


async def test_who_speaks_is_told_by_participant(engine: PysfuEngine) -> None:
    events = engine.events()

    async def heard() -> Speaking:
        async for event in events:
            if isinstance(event, Speaking) and event.peers:
                return event
        raise AssertionError("the engine has stopped")

    reading = asyncio.ensure_future(heard())
    async with two_members(engine) as (alice, _, bob), asyncio.timeout(HANG_S):
        await bob.peer.allow(alice.transport.tracks[0])
        ((peer, level),) = (await reading).peers
        assert peer == alice.peer.id
        assert 0 <= level < 127
    await events.aclose()


async def next_said(events: AsyncIterator[object]) -> PeerSaid:
    async for event in events:
        if isinstance(event, PeerSaid):
            return event
    raise AssertionError("the engine has stopped")


async def sent(transport: MediaTransport, payload: bytes, *, publisher: MediaTransport) -> None:
    """Sends something as soon as the channel is open."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                return await transport.send(LABEL, payload, publisher=publisher)
            except ChannelNotOpenError:
                await asyncio.sleep(0.02)  # nothing tells of it
