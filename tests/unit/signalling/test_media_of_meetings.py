"""What a meeting asks of the media engine: the real one and the one in memory do the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from media_worlds import World, answer, listener, named, offer, real_world, speaker, world_in_memory

from signalling.media import (
    MAX_PLAYED,
    ChannelNotOpenError,
    EncodingHeldError,
    EngineUnavailableError,
    InvalidOfferError,
    MediaError,
    MediaGoneError,
    MediaLaterError,
    MediaNotAllowedError,
    MediaPeer,
)


@pytest.fixture(params=["real", "in_memory"])
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with real_world(monkeypatch) if request.param == "real" else world_in_memory() as made:
        yield made


async def people(world: World, count: int) -> list[MediaPeer]:
    room = await world.engine.create_room(avoid=())
    return [await room.add_participant(avoid=()) for _ in range(count)]


async def test_no_track_is_made_of_what_is_sent_before_it_is_published(world: World) -> None:
    (alice,) = await people(world, 1)
    sends = named(offer(("audio", "sendonly"), ("video", "sendonly"), ("data", "")), "1", "camera-of-alice")
    transport = await alice.take(sends, kinds=("audio", "video"))
    assert list(transport.tracks) == []
    assert [(sent.mid, sent.kind, sent.name) for sent in transport.sent] == [
        ("0", "audio", None),
        ("1", "video", "camera-of-alice"),
    ]
    track = await transport.publish("1", shows="screen", encrypted=False)
    assert (track.kind, list(transport.tracks), transport.is_offered) == ("video", [track], False)
    with pytest.raises(MediaError):
        await transport.publish("1", shows=None, encrypted=False)
    with pytest.raises(MediaGoneError):
        await transport.publish("7", shows=None, encrypted=False)


async def test_what_may_not_be_sent_is_no_track_either(world: World) -> None:
    (alice,) = await people(world, 1)
    transport = await alice.take(offer(("audio", "sendonly"), ("video", "sendonly")), kinds=("audio",))
    with pytest.raises(MediaGoneError):
        await transport.publish("1", shows=None, encrypted=False)


async def test_what_is_sent_no_more_has_ended(world: World) -> None:
    alice, bob = await people(world, 2)
    transport, (audio, video) = await speaker(alice, "audio", "video")
    await listener(bob, audio)
    await bob.allow(audio)
    again = offer(("audio", "inactive"), ("video", "sendonly"), ("data", ""), ("audio", "sendonly"))
    assert await transport.reanswer(again, mids=["3"]) == transport.sdp
    (new,) = set(transport.tracks) - {video}
    assert (new.kind, len(transport.tracks)) == ("audio", 2)
    assert world.edges() == set()
    for muted in (True, False):
        with pytest.raises(MediaGoneError):
            await audio.mute(muted=muted)
    await audio.unpublish()
    await video.unpublish()
    assert list(transport.tracks) == [new]


async def test_an_offer_of_theirs_that_cannot_be_answered_changes_nothing(world: World) -> None:
    (alice,) = await people(world, 1)
    transport, tracks = await speaker(alice, "audio")
    before = transport.sdp
    with pytest.raises(InvalidOfferError):
        await transport.reanswer("a=unanswerable", mids=())
    assert (list(transport.tracks), transport.sdp) == (tracks, before)
    with pytest.raises(InvalidOfferError):
        await alice.take("a=unanswerable", kinds=("audio",))


async def test_what_is_played_is_named_as_it_was_called_and_flows_only_while_allowed(world: World) -> None:
    alice, bob = await people(world, 2)
    _, (audio, video) = await speaker(alice, "audio", "video")
    video.call("PA_1", "TR_2")
    offered = await bob.offer([audio, video])
    assert (offered.carries, offered.is_whole) == ({"0": audio, "1": video}, True)
    assert "a=msid:PA_1 TR_2\r\n" in offered.sdp
    transport = await offered.accept(answer(offered.sdp))
    assert world.playing(transport) == {"0": audio.id, "1": video.id}
    assert transport.is_offered
    assert world.edges() == set()
    await bob.allow(video)
    assert world.edges() == {(bob.id, video.id)}
    await bob.revoke(video)
    assert world.edges() == set()


async def test_a_later_offer_stops_at_once_what_it_leaves_out(world: World) -> None:
    alice, bob = await people(world, 2)
    _, (audio, video) = await speaker(alice, "audio", "video")
    transport = await listener(bob, audio)
    older = await transport.reoffer([], restart=False)
    assert world.playing(transport) == {}
    latest = await transport.reoffer([video], restart=True)
    with pytest.raises(InvalidOfferError):
        await older.accept(answer(older.sdp))
    with pytest.raises(InvalidOfferError):
        await latest.accept("a=unanswerable")
    assert await latest.accept(answer(latest.sdp)) == transport
    assert list(world.playing(transport).values()) == [video.id]


async def test_an_offer_that_is_given_up_leaves_the_transport_as_it_is(world: World) -> None:
    alice, bob = await people(world, 2)
    _, (audio,) = await speaker(alice, "audio")
    transport = await listener(bob, audio)
    offered = await transport.reoffer([audio], restart=False)
    await offered.cancel()
    assert world.playing(transport) == {"0": audio.id}
    first = await bob.offer([audio])
    await first.cancel()
    with pytest.raises(MediaGoneError):
        await first.accept(answer(first.sdp))


async def test_more_than_can_be_played_at_once_is_left_out_and_not_waited_for(world: World) -> None:
    *crowd, bob = await people(world, 7)
    tracks = [track for peer in crowd for track in (await speaker(peer, *["audio"] * 10))[1]]
    offered = await bob.offer(tracks)
    assert list(offered.carries.values()) == tracks[:MAX_PLAYED]
    assert offered.is_whole
    transport = await offered.accept(answer(offered.sdp))
    others = tracks[20:]
    offered = await transport.reoffer(others, restart=False)
    assert (len(offered.carries), offered.is_whole) == (30, False)
    await offered.accept(answer(offered.sdp))
    offered = await transport.reoffer(others, restart=False)
    assert (len(offered.carries), offered.is_whole) == (40, True)
    await offered.accept(answer(offered.sdp))
    assert sorted(world.playing(transport).values()) == sorted(track.id for track in others)


async def test_what_somebody_says_reaches_only_those_who_may_hear_it_in_the_order_in_which_it_is_sent(
    world: World,
) -> None:
    alice, bob = await people(world, 2)
    mouth, _ = await speaker(alice)
    ear = await listener(bob)
    with pytest.raises(ChannelNotOpenError):
        await ear.send("chat", b"from the server", publisher=None)
    await ear.open_channel("chat", ordered=True, max_retransmits=None)
    with pytest.raises(MediaError):
        await ear.open_channel("chat", ordered=True, max_retransmits=None)
    with pytest.raises(MediaNotAllowedError):
        await ear.send("chat", b"too early", publisher=mouth)
    await bob.allow_data(alice)
    sending = [asyncio.create_task(ear.send("chat", bytes([number]), publisher=mouth)) for number in range(20)]
    await asyncio.gather(*sending)
    await ear.send("chat", b"from the server", publisher=None)
    await bob.revoke_data(alice)
    with pytest.raises(MediaNotAllowedError):
        await ear.send("chat", b"too late", publisher=mouth)
    assert world.messages(ear) == [*(bytes([number]) for number in range(20)), b"from the server"]
    world.fill(ear)
    with pytest.raises(MediaLaterError):
        await ear.send("chat", b"from the server", publisher=None)


async def test_who_has_left_says_and_hears_nothing(world: World) -> None:
    alice, bob, carol = await people(world, 3)
    mouth, (audio,) = await speaker(alice, "audio")
    ear, other = await listener(bob, audio), await listener(carol, audio)
    for transport in (ear, other):
        await transport.open_channel("chat", ordered=False, max_retransmits=0)
    for peer in (bob, carol):
        await peer.allow(audio)
        await peer.allow_data(alice)
    await carol.remove()
    with pytest.raises((MediaGoneError, MediaNotAllowedError)):
        await other.send("chat", b"", publisher=mouth)
    for asked in (
        lambda: other.send("chat", b"", publisher=None),
        lambda: other.open_channel("more", ordered=True, max_retransmits=None),
        lambda: other.reoffer([], restart=True),
    ):
        with pytest.raises(MediaGoneError):
            await asked()
    await alice.remove()
    assert (world.edges(), world.playing(ear)) == (set(), {})
    for asked in (
        lambda: ear.send("chat", b"", publisher=mouth),
        lambda: mouth.publish("0", shows=None, encrypted=False),
        lambda: mouth.reanswer(offer(("audio", "sendonly")), mids=()),
        lambda: audio.mute(muted=True),
    ):
        with pytest.raises(MediaGoneError):
            await asked()
    await audio.unpublish()
    await alice.remove()
    assert world.messages(ear) == []


async def test_only_what_is_played_can_be_limited_and_not_what_hides_its_keyframes(world: World) -> None:
    alice, bob = await people(world, 2)
    _, (video,) = await speaker(alice, "video")
    await speaker(bob, "audio")
    with pytest.raises(MediaGoneError):
        await bob.limit(video, encoding=0)
    await listener(bob, video)
    await bob.limit(video, encoding=0)
    world.hide_keyframes(video)
    with pytest.raises(EncodingHeldError):
        await bob.limit(video, encoding=0)


async def test_who_offers_on_a_transport_is_settled_for_as_long_as_it_lives(world: World) -> None:
    alice, bob = await people(world, 2)
    taken, (audio,) = await speaker(alice, "audio")
    offered = await listener(bob, audio)
    with pytest.raises(InvalidOfferError):
        await taken.reoffer([], restart=False)
    with pytest.raises(InvalidOfferError):
        await offered.reanswer(offer(("audio", "recvonly"), ("data", "")), mids=())


async def test_an_engine_that_has_stopped_does_nothing_any_more(world: World) -> None:
    alice, bob = await people(world, 2)
    taken, (audio,) = await speaker(alice, "audio")
    await world.engine.__aexit__(None, None, None)
    for asked in (
        lambda: taken.publish("0", shows=None, encrypted=False),
        lambda: audio.mute(muted=True),
        lambda: bob.offer([audio]),
        lambda: bob.take(offer(("audio", "sendonly")), kinds=("audio",)),
    ):
        with pytest.raises(EngineUnavailableError):
            await asked()
