"""Who reads a bot's tracks: when a reader ends, what it is still given, what it survives. Needs pysfu[bots]."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest
from looped_bot import begun, looped

from pysfu import bot, codecs, errors

pytestmark = pytest.mark.asyncio
SHORTEST = b"\x78"  # with DTX a packet of Opus may be one byte


def speak(player: bot.Bot, count: int = 1) -> None:
    sender = player._sender("audio")
    for _ in range(count):
        player._send_all(sender.packets([SHORTEST], marked=False))
        sender.step(960)


async def ended(reader: AsyncIterator[Any]) -> bool:
    return await asyncio.wait_for(anext(reader, None), 5) is None


async def test_a_further_reader_ends_the_one_before_which_takes_nothing_from_it() -> None:
    player, track, _ = looped("audio")
    before, after = player.packets(track), player.packets(track)
    late = await begun(before)
    first = await begun(after)
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(late, 5)
    speak(player)
    assert (await asyncio.wait_for(first, 5)).payload == SHORTEST


async def test_a_reader_that_a_further_one_has_ended_reads_nothing_that_was_waiting() -> None:
    player, track, _ = looped("audio")
    before, after = player.packets(track), player.packets(track)
    first = await begun(before)
    for _ in range(4):
        speak(player)
    await asyncio.wait_for(first, 5)
    await begun(after)
    transport: Any = player.transport
    transport.discard("in0")  # as `revoke` does: it reaches what waits for the present reader
    assert await ended(before)


async def test_a_reader_left_with_break_takes_nothing_from_the_one_after_it() -> None:
    player, track, _ = looped("audio")
    left, after = player.packets(track), player.packets(track)
    waiting = await begun(left)
    speak(player)
    await asyncio.wait_for(waiting, 5)
    first = await begun(after)
    await left.aclose()  # as the loop does with a generator that nobody holds any more
    speak(player)
    assert (await asyncio.wait_for(first, 5)).payload == SHORTEST
    transport: Any = player.transport
    transport.end()
    assert await ended(after)


async def test_a_bot_that_has_ended_hands_out_nothing_that_was_waiting() -> None:
    player, track, _ = looped("audio")
    packets = player.packets(track)
    first = await begun(packets)
    speak(player, 3)
    assert (await asyncio.wait_for(first, 5)).payload == SHORTEST
    assert len(player._inboxes) == 1
    transport: Any = player.transport
    transport.end()
    assert await ended(packets)


async def test_a_reader_that_was_woken_before_its_bot_ended_is_given_nothing() -> None:
    player, track, _ = looped("audio")
    packets = player.packets(track)
    woken = await begun(packets)
    speak(player)
    transport: Any = player.transport
    player._drain()
    transport.end()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(woken, 5)


async def test_a_bot_that_has_ended_hands_out_no_frame_of_what_came_at_once() -> None:
    player, track, ring = looped("audio")
    frames = player.audio_frames(track)
    first = await begun(frames)
    speak(player)
    await asyncio.wait_for(first, 5)
    ring.lose = lambda packet: True
    held: list[bytes] = []
    sender = player._sender("audio")
    for _ in range(4):
        held += sender.packets([SHORTEST], marked=False)
        sender.step(960)
    for datagram in [*held[1:], held[0]]:  # the late one lets all go on at once
        ring.bring(datagram)
    assert (await asyncio.wait_for(anext(frames), 5)).samples == 960
    transport: Any = player.transport
    transport.end()
    assert await ended(frames)


@pytest.mark.parametrize(
    "refusal",
    [errors.UnavailableError("busy"), errors.RoomFailedError("a bug"), errors.ClosedError("closed")],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_a_reader_of_pictures_goes_on_when_no_keyframe_can_be_asked_for(refusal: Exception) -> None:
    player, track, _ = looped("video")
    track.refusal = refusal
    frames = player.video_frames(track)
    first = await begun(frames)
    await player.send_video(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, np.uint8), format="rgb24"))
    assert (await asyncio.wait_for(first, 5)).width == 320
    assert track.keyframes == 1
    await frames.aclose()


async def test_what_was_said_without_a_right_is_not_put_back_by_what_came_after_it() -> None:
    player, track, ring = looped("audio")
    frames = player.audio_frames(track)
    first = await begun(frames)
    sender = player._sender("audio")
    sender.payload_type = codecs.RED.number

    def say(*, redundant: int) -> None:
        """Sends a packet that carries those before it along."""
        heads = [(0xEF << 24 | 960 * age << 10 | 1).to_bytes(4, "big") for age in range(redundant, 0, -1)]
        payload = b"".join(heads) + b"\x6f" + SHORTEST * redundant + SHORTEST
        player._send_all(sender.packets([payload], marked=False))
        sender.step(960)

    say(redundant=0)
    assert (await asyncio.wait_for(first, 5)).pts == 0
    transport: Any = player.transport
    transport.discard("in0")
    ring.lose = lambda packet: True
    say(redundant=0)
    say(redundant=0)
    ring.lose = lambda packet: False
    say(redundant=2)
    say(redundant=2)
    heard = [await asyncio.wait_for(anext(frames), 5) for _ in range(3)]
    spans = [(frame.pts, frame.samples, bool(frame.to_ndarray().any())) for frame in heard]
    assert [span[:2] for span in spans] == [(960, 1_920), (960 * 3, 960), (960 * 4, 960)], "silence stands for it"
    assert not spans[0][2]
    ring.lose = lambda packet: True
    say(redundant=0)
    ring.lose = lambda packet: False
    say(redundant=1)
    heard = [await asyncio.wait_for(anext(frames), 5) for _ in range(2)]
    assert [frame.pts for frame in heard] == [960 * 5, 960 * 6], "what is lost with a right is put back"
    await frames.aclose()
