"""Nobody receives what nobody let them have: counted on the subscriber's own sockets, before decryption."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from aiortc import RTCDataChannel
from callers import HANG_S, SDP, Caller, Meeting, Wire, until
from footage import Camera, Tone

import pysfu
from pysfu.events import DataReceived, RosterChanged, TransportFailed

A_WHILE_S = 1.5  # In it a publisher of pictures and sound sends about 100 packets.


async def publishing(room: pysfu.Room, caller: Caller) -> pysfu.Transport:
    """Publishes pictures and sound."""
    publisher = await room.add_participant()
    transport = await publisher.answer(await caller.send(Camera(1, frame_rate=30), Tone(440)).offer())
    await caller.accept(transport.sdp)
    await caller.connected()
    return transport


async def playing(room: pysfu.Room, caller: Caller, tracks: list[pysfu.Track]) -> pysfu.Participant:
    """Wires a subscriber to tracks, without allowing any."""
    subscriber = await room.add_participant()
    offer = await caller.take("video", "audio").offer()
    transport = await subscriber.answer(offer, publish=False, play=tracks)
    await caller.accept(transport.sdp)
    await caller.connected()
    return subscriber


@contextlib.asynccontextmanager
async def meeting_of_two(sfu: pysfu.Sfu) -> AsyncIterator[tuple[pysfu.Transport, pysfu.Participant, Caller, Wire]]:
    async with await sfu.create_room() as room, Caller() as publisher, Caller() as caller:
        sending = await publishing(room, publisher)
        subscriber = await playing(room, caller, sending.tracks)
        wire = Wire(caller)
        yield sending, subscriber, caller, wire
        wire.close()
        stats = await sfu.stats()
        assert stats.total("unauthorized_forwards") == 0


async def test_after_a_revocation_returns_no_packet_arrives(sfu: pysfu.Sfu) -> None:
    async with meeting_of_two(sfu) as (sending, subscriber, _, wire):
        for track in sending.tracks:
            await subscriber.allow(track)
        for _ in range(5):
            before = wire.rtp
            await until(lambda before=before: wire.rtp >= before + 40, "packets while allowed")
            await asyncio.gather(*(subscriber.revoke(track) for track in sending.tracks))
            wire.flush()  # what lies in the socket was sent before
            before = wire.rtp
            await asyncio.sleep(A_WHILE_S)
            assert wire.rtp == before
            for track in sending.tracks:
                await subscriber.allow(track)


async def test_a_call_leaves_its_quality_in_the_figures(sfu: pysfu.Sfu) -> None:
    async with meeting_of_two(sfu) as (sending, subscriber, _, _):
        for track in sending.tracks:
            await subscriber.allow(track)

        async def observed() -> dict[str, int]:
            (worker,) = (await sfu.stats()).workers
            assert worker.engine is not None
            quality = worker.engine.quality
            return {name: sum(getattr(quality, name).counts) for name in quality.__struct_fields__}

        async with asyncio.timeout(HANG_S):
            while not all((await observed()).values()):
                pass
        assert (await observed())["join_s"] == 2


async def test_a_subscriber_who_was_not_allowed_gets_nothing(sfu: pysfu.Sfu) -> None:
    async with meeting_of_two(sfu) as (sending, subscriber, caller, wire):
        await asyncio.sleep(A_WHILE_S)
        assert wire.rtp == 0
        video = next(track for track in sending.tracks if track.kind == "video")
        await subscriber.allow(video)
        await caller.watched(10)
        assert caller.waves == [], "sound was not allowed"


async def test_a_muted_track_reaches_nobody(sfu: pysfu.Sfu) -> None:
    async with meeting_of_two(sfu) as (sending, subscriber, caller, wire):
        for track in sending.tracks:
            await subscriber.allow(track)
        await caller.watched(10)
        await asyncio.gather(*(track.mute() for track in sending.tracks))
        wire.flush()
        before = wire.rtp
        await asyncio.sleep(A_WHILE_S)
        assert wire.rtp == before
        await asyncio.gather(*(track.unmute() for track in sending.tracks))
        await caller.watched(len(caller.pictures) + 10)


async def test_every_listener_is_on_the_roster_as_soon_as_and_as_long_as_it_may_listen(sfu: pysfu.Sfu) -> None:
    with sfu.subscription() as events:
        async with meeting_of_two(sfu) as (sending, subscriber, _, _wire), asyncio.timeout(HANG_S):
            for change, listeners in ((subscriber.allow, (subscriber.id,)), (subscriber.revoke, ())):
                await change(sending.tracks[0])
                while (event := await anext(events)) != RosterChanged(sending.participant.room, listeners):
                    assert not isinstance(event, TransportFailed)


async def test_without_a_valid_token_there_is_no_answer(room: Meeting) -> None:
    async with Caller() as publisher, Caller() as stranger:
        await room.publish(publisher.send(Tone(440)), "anna")
        offer = await stranger.take("audio").offer()
        only_publish = await room.token("bela", can_subscribe=False)
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer invented"}, 401),
            ({"Authorization": f"Bearer {only_publish}"}, 403),
        ):
            refused = await room.http.post(f"/whep/{room.room}/anna", headers=SDP | headers, content=offer)
            assert refused.status_code == status, refused.text
            assert "a=candidate" not in refused.text
        assert await room.roster() == {"anna": []}


async def test_a_token_of_another_room_opens_nothing(room: Meeting, other_room: Meeting) -> None:
    async with Caller() as publisher, Caller() as stranger:
        await room.publish(publisher.send(Tone(440)), "anna")
        bearer = {"Authorization": f"Bearer {await other_room.token('bela')}"}
        refused: httpx.Response = await room.http.post(
            f"/whep/{room.room}/anna", headers=SDP | bearer, content=await stranger.take("audio").offer()
        )
        assert refused.status_code == 403


async def test_a_wrong_fingerprint_never_connects(sfu: pysfu.Sfu) -> None:
    fingerprint = re.compile(r"(a=fingerprint:sha-256 )(\S+)")
    async with await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        offer = await caller.send(Tone(440)).offer()
        others = ":".join(["AB"] * 32)
        forged = re.sub(r"a=fingerprint:sha-(384|512).*\r\n", "", fingerprint.sub(rf"\g<1>{others}", offer))
        with sfu.subscription() as events:
            transport = await participant.answer(forged)
            await caller.accept(transport.sdp)
            async with asyncio.timeout(HANG_S):
                async for event in events:
                    if isinstance(event, TransportFailed):
                        break
        assert event == TransportFailed(transport, "fingerprint")
        with pytest.raises(pysfu.errors.TransportFailedError):
            await transport.connected()
        assert (await sfu.stats()).total("rtp_packets_in") == 0


async def chatting(room: pysfu.Room, *callers: Caller) -> tuple[list[pysfu.Participant], list[RTCDataChannel]]:
    """Lets the callers in, each with an open channel for messages."""
    participants, channels = [], []
    for caller in callers:
        participant = await room.add_participant()
        channel = caller.connection.createDataChannel("chat")
        channel.on("message", lambda message, caller=caller: caller.messages.append(("chat", message)))
        transport = await participant.answer(await caller.offer(), data=True)
        await caller.accept(transport.sdp)
        await until(lambda channel=channel: channel.readyState == "open", "an open data channel")
        participants.append(participant)
        channels.append(channel)
    return participants, channels


async def test_a_message_crosses_data_channels_only_while_allowed(sfu: pysfu.Sfu) -> None:
    async with await sfu.create_room() as room, Caller() as one, Caller() as two:
        participants, channels = await chatting(room, one, two)

        with sfu.subscription() as events:
            channels[0].send("nobody may read this")
            async with asyncio.timeout(HANG_S):
                while not isinstance(event := await anext(events), DataReceived):
                    pass
        assert (event.label, event.payload, event.binary) == ("chat", b"nobody may read this", False)

        await participants[1].allow_data(participants[0])
        channels[0].send("hello")
        channels[0].send(b"\x00\x01")
        await until(lambda: len(two.messages) >= 2, "messages")
        await participants[1].revoke_data(participants[0])
        channels[0].send("too late")
        await asyncio.sleep(A_WHILE_S)
        assert two.messages == [("chat", "hello"), ("chat", b"\x00\x01")]
        assert one.messages == []


async def test_messages_that_wait_when_the_right_is_taken_away_never_arrive_and_the_channel_can_be_opened_again(
    sfu: pysfu.Sfu,
) -> None:
    async with await sfu.create_room() as room, Caller() as one, Caller() as two:
        participants, channels = await chatting(room, one, two)
        fifth = asyncio.Event()
        channels[1].on("message", lambda _: fifth.set() if len(two.messages) >= 5 else None)
        await participants[1].allow_data(participants[0])
        for number in range(60):
            channels[0].send(bytes([number]) * 4_000)
        async with asyncio.timeout(HANG_S):
            await fifth.wait()  # the rest comes within milliseconds, but not in this one
        await participants[1].revoke_data(participants[0])
        await asyncio.sleep(0.1)  # what lies in the socket was sent before
        before = len(two.messages)
        assert before < 60
        await asyncio.sleep(A_WHILE_S)
        assert len(two.messages) == before

        await until(lambda: channels[1].readyState == "closed", "a channel that is reset")
        again = two.connection.createDataChannel("chat")
        again.on("message", lambda message: two.messages.append(("again", message)))
        await until(lambda: again.readyState == "open", "an open data channel")
        await participants[1].allow_data(participants[0])
        channels[0].send("hello again")
        await until(lambda: two.messages[-1] == ("again", "hello again"), "a message on the new channel")
        assert (await sfu.stats()).total("unauthorized_forwards") == 0
