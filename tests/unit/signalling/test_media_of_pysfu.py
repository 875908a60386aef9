"""What only the real media engine can be seen to do, on a core in memory."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import fake_pysfu
import pytest
from fake_core import settle
from fake_engine import FakeEngine
from media_worlds import OnCore, answer, listener, offer, real_world, speaker

from pysfu import _sections, messages
from signalling.media import (
    MAX_PLAYED,
    ChannelInUseError,
    ChannelNotOpenError,
    EncodingHeldError,
    EngineFullError,
    EngineUnavailableError,
    MediaApartError,
    MediaError,
    MediaGoneError,
    MediaLaterError,
    MediaNotAllowedError,
    MediaPeer,
)
from signalling.media_events import PeerGone, PeerReconnected, PeerSaid
from signalling.pysfu_errors import translated


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OnCore]:
    async with real_world(monkeypatch) as made:
        yield made


async def people(world: OnCore, count: int) -> list[MediaPeer]:
    room = await world.engine.create_room(avoid=())
    return [await room.add_participant(avoid=()) for _ in range(count)]


def asked(world: OnCore, *kinds: type) -> list[messages.Command]:
    return [command for _, command in world.core.log if isinstance(command, kinds)]


async def test_messages_are_held_before_the_other_end_knows_of_the_transport(world: OnCore) -> None:
    alice, bob = await people(world, 2)
    await alice.take(offer(("data", "")), kinds=())
    (connected, held) = asked(world, messages.Connect, messages.HoldData)
    assert isinstance(connected, messages.Connect)
    assert held == messages.HoldData(peer=connected.peer)
    offered = await bob.offer([])
    assert len(asked(world, messages.HoldData)) == 2, "before it is known where to connect to"
    await offered.accept(answer(offered.sdp))
    assert len(asked(world, messages.Connect)) == 2


async def test_a_transport_whose_messages_cannot_be_held_is_not_there(world: OnCore) -> None:
    alice, bob = await people(world, 2)
    world.core.refuse[messages.HoldData] = "unavailable"
    with pytest.raises(EngineUnavailableError):
        await alice.take(offer(("audio", "sendonly")), kinds=("audio",))
    with pytest.raises(EngineUnavailableError):
        await bob.offer([])
    await settle()
    assert world.core.peers == {}
    (room,) = world.sfu.rooms
    assert [participant.transports for participant in room.participants] == [[], []]


async def test_what_a_track_shows_and_whether_it_is_encrypted_reaches_the_engine(world: OnCore) -> None:
    (alice,) = await people(world, 1)
    transport = await alice.take(offer(("video", "sendonly")), kinds=("video",))
    await transport.publish("0", shows="screen", encrypted=True)
    (published,) = asked(world, messages.Publish)
    assert published == messages.Publish(peer=published.peer, mid="0", source="screen", encrypted=True)


async def test_whoever_may_send_nothing_is_asked_for_no_bitrate(world: OnCore) -> None:
    alice, bob = await people(world, 2)
    sends = offer(("video", "sendonly"))
    assert "x-google-start-bitrate" in (await alice.take(sends, kinds=("video",))).sdp
    refused = await bob.take(sends, kinds=())
    assert "x-google-start-bitrate" not in refused.sdp
    assert "a=inactive" in refused.sdp


async def test_a_channel_is_opened_as_it_was_asked_for(world: OnCore) -> None:
    (bob,) = await people(world, 1)
    transport = await listener(bob)
    await transport.open_channel("_lossy", ordered=False, max_retransmits=0)
    await transport.open_channel("_reliable", ordered=True, max_retransmits=None)
    assert [(opened.label, opened.ordered, opened.reliability) for opened in asked(world, messages.OpenData)] == [
        ("_lossy", False, {"max_retransmits": 0}),
        ("_reliable", True, "reliable"),
    ]


async def test_nobody_who_says_a_lot_keeps_the_end_of_another_from_being_told(world: OnCore) -> None:
    alice, bob = await people(world, 2)
    mouth, _ = await speaker(alice)
    ear = await listener(bob)
    events = world.engine.events()
    first = messages.PeerReconnected(peer=mouth.inner.number)
    said = messages.DataReceived(peer=mouth.inner.number, label="chat", payload=b"hello", binary=True)
    reading = anext(events)
    # An asynchronous generator begins when it is asked for something.
    world.core.tell(first)
    assert await reading == PeerReconnected(peer=alice.id)
    for _ in range(3_000):
        world.core.tell(said)
    world.core.tell(messages.PeerFailed(peer=ear.inner.number, reason="ice"))
    told = [await anext(events) for _ in range(3_001)]
    assert told[:-1] == [PeerSaid(peer=alice.id, label="chat", payload=b"hello")] * 3_000
    assert told[-1] == PeerGone(peer=bob.id, reason="ice")
    await events.aclose()


async def test_what_belongs_to_another_engine_is_refused(world: OnCore) -> None:
    (alice,) = await people(world, 1)
    transport, _ = await speaker(alice)
    stranger = await (await FakeEngine().create_room()).add_participant(avoid=())
    theirs, (track,) = await speaker(stranger, "audio")
    for ask in (
        lambda: alice.allow(track),
        lambda: alice.offer([track]),
        lambda: alice.allow_data(stranger),
        lambda: transport.send("chat", b"", publisher=theirs),
    ):
        with pytest.raises(TypeError, match="of another engine"):
            await ask()


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("not_allowed", MediaNotAllowedError),
        ("only_relays", MediaApartError),
        ("unknown_channel", ChannelNotOpenError),
        ("encoding_held", EncodingHeldError),
        ("unknown_track", MediaGoneError),
        ("unknown_peer", MediaGoneError),
        ("full", EngineFullError),
        ("message_too_large", MediaError),
        ("channel_in_use", ChannelInUseError),
        ("mid_in_use", MediaError),
        ("other_room", MediaError),
    ],
)
def test_callers_can_tell_refusals_apart(code: str, meaning: type[MediaError], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysfu", fake_pysfu)
    with pytest.raises(MediaError) as raised, translated():
        raise fake_pysfu.PysfuError(code)
    assert type(raised.value) is meaning
    with pytest.raises(MediaLaterError), translated(**{code: MediaLaterError}):
        raise fake_pysfu.PysfuError(code)


def test_as_much_is_played_at_once_as_the_engine_has_sections_for() -> None:
    assert _sections.MAX_SECTIONS == MAX_PLAYED
