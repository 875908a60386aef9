"""aiortc answers what pysfu offers."""

from __future__ import annotations

import asyncio

from aiortc import RTCBundlePolicy
from callers import Caller, gaps, until
from footage import FRAME_RATE, Camera, Tone

import pysfu
from pysfu import TransportState

SECONDS = 2


async def test_two_who_answer_our_offers_see_and_hear_each_other(sfu: pysfu.Sfu) -> None:
    async with (
        await sfu.create_room() as room,
        Caller() as mouth_of_alice,
        # With its other policies aiortc closes what the second of two sections of a kind goes over.
        Caller(bundle=RTCBundlePolicy.MAX_COMPAT) as bob,
        Caller() as ears_of_alice,
    ):
        alice, other = await room.add_participant(), await room.add_participant()
        offered = await alice.offer(publish=("audio", "video"))
        speaking = await offered.accept(await mouth_of_alice.answer(offered.sdp, Camera(1), Tone(440)))
        # Both ways over one connection.
        offered = await other.offer(play=speaking.tracks, publish=("video", "audio"), data=True)
        meeting = await offered.accept(await bob.answer(offered.sdp, Camera(2), Tone(880)))
        offered = await alice.offer(play=meeting.tracks)
        hearing = await offered.accept(await ears_of_alice.answer(offered.sdp))
        for listener, tracks in ((other, speaking.tracks), (alice, meeting.tracks)):
            assert sorted(track.kind for track in tracks) == ["audio", "video"]
            for track in tracks:
                await listener.allow(track)
        for seeing, camera, tone in ((bob, 1, 440), (ears_of_alice, 2, 880)):
            seen, heard = await asyncio.gather(seeing.watched(SECONDS * FRAME_RATE), seeing.heard())
            assert {whose for whose, _ in seen} == {camera}
            assert gaps([number for _, number in seen]) == []
            assert abs(heard - tone) <= 2
        assert [each.state for each in (speaking, meeting, hearing)] == [TransportState.CONNECTED] * 3


async def test_a_message_crosses_data_channels_that_we_offered(sfu: pysfu.Sfu) -> None:
    async with await sfu.create_room() as room, Caller() as one, Caller() as two:
        alice, bob = await room.add_participant(), await room.add_participant()
        channels = []
        for participant, caller in ((alice, one), (bob, two)):
            offered = await participant.offer(data=True)
            await offered.accept(await caller.answer(offered.sdp))
            channel = caller.connection.createDataChannel("chat")
            channel.on("message", lambda message, caller=caller: caller.messages.append(("chat", message)))
            await until(lambda channel=channel: channel.readyState == "open", "an open data channel")
            channels.append(channel)
        await bob.allow_data(alice)
        channels[0].send("hello")
        await until(lambda: two.messages == [("chat", "hello")], "the message")
