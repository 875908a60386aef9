"""Frames through a bot's encoders, as packets, and back through its decoders. Needs pysfu[bots]."""

from __future__ import annotations

import asyncio
import fractions
from typing import Any

import av
import numpy as np
import pytest
from looped_bot import begun, looped

from pysfu import bot, codecs, decoding
from pysfu.errors import InvalidPayloadError, UnsuitablePictureError
from pysfu.rtp import packet as rtp
from pysfu.rtp.picture import Picture
from pysfu.rtp.sound import Sound

pytestmark = pytest.mark.asyncio
VIDEO: list[codecs.VideoCodec] = ["vp8", "vp9", "h264"]
PLI = bytes([0x81, 206, 0, 2, 0, 0, 0, 1])


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks again, however long an encoder takes."""
    monkeypatch.setattr(bot, "_ASK_AGAIN_S", 3_600.0)


def sine(*, samples: int, hz: float = 440) -> Any:
    return (8_000 * np.sin(np.arange(samples) * 2 * np.pi * hz / 48_000)).astype(np.int16)


def sound(wave: Any) -> Any:
    frame = av.AudioFrame.from_ndarray(wave[None, :], format="s16", layout="mono")
    frame.sample_rate = 48_000
    return frame


def shade(value: int, width: int = 320, height: int = 240) -> Any:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), value, np.uint8), format="rgb24")


def mean(frame: Any) -> int:
    return int(frame.to_ndarray(format="rgb24").mean())


async def test_sound_comes_back_as_sound() -> None:
    player, track, _ = looped("audio")
    frames = player.audio_frames(track)
    first = await begun(frames)
    tone = sine(samples=48_000)
    for at in range(0, 48_000, 480):
        await player.send_audio(sound(tone[at : at + 480]))
    heard = [await first] + [await anext(frames) for _ in range(20)]
    assert all(frame.sample_rate == 48_000 for frame in heard)
    assert [frame.pts for frame in heard] == [960 * n for n in range(21)]
    assert np.abs(heard[-1].to_ndarray()).max() > 0.05 * (1 if heard[-1].format.name.startswith("flt") else 32_768)
    await frames.aclose()


async def test_where_no_sound_came_there_is_silence_and_time_goes_on() -> None:
    player, track, _ = looped("audio")
    frames = player.audio_frames(track)
    first = await begun(frames)
    tone = sine(samples=960 * 12)
    for at in range(0, len(tone), 960):
        if at == 960 * 4:
            player._senders["audio"].step(960 * 20)  # as with DTX: the next packet comes 400 ms later
        if at == 960 * 8:
            player._senders["audio"].step(48_000 * 10)
        await player.send_audio(sound(tone[at : at + 960]))
    heard = [await first] + [await anext(frames) for _ in range(12)]
    spans = [(frame.pts, frame.samples) for frame in heard]
    assert spans[3:6] == [(2_880, 960), (3_840, 19_200), (23_040, 960)]
    assert not heard[4].to_ndarray().any()
    assert spans[8:10] == [(25_920, 960), (506_880, 960)], "ten seconds are not filled"
    await frames.aclose()


async def test_no_frame_is_made_of_what_waited_when_the_right_to_it_ended() -> None:
    player, track, ring = looped("audio")
    transport: Any = player.transport
    frames = player.audio_frames(track)
    first = await begun(frames)
    tone, sender = sine(samples=960), player._senders["audio"]

    async def speak(*, lost: bool = False) -> bytes:
        """Sends a packet, and returns one like it."""
        ring.lose = lambda packet: lost
        timestamp = sender.timestamp
        await player.send_audio(sound(tone))
        return rtp.write(rtp.Packet(sender._sequence, timestamp, False, sender.payload_type, sender.ssrc, b"\x78"))

    await speak()
    assert (await first).pts == 0
    waiting = await begun(frames)
    gap = await speak(lost=True)
    await speak()
    await speak()
    await asyncio.sleep(0)
    ring.bring(gap)
    assert (await waiting).pts == 960
    transport.discard("in0")  # two frames of what came in its turn are left
    waiting = await begun(frames)
    await speak(lost=True)
    await speak()
    for _ in range(5):
        await asyncio.sleep(0)
    spans = [(frame.pts, frame.to_ndarray().any()) for frame in (await waiting, await anext(frames))]
    assert spans[0] == (1_920, False), "silence stands for all that was dropped"
    assert spans[1][0] == 960 * 5
    waiting = await begun(frames)
    await speak(lost=True)
    await speak()
    for _ in range(5):
        await asyncio.sleep(0)
    transport.discard("in0")  # one waits for what was lost before it
    await speak()
    assert ((await waiting).pts, (await anext(frames)).pts) == (960 * 6, 960 * 8)
    await frames.aclose()


async def test_lost_sound_that_came_along_later_is_put_back() -> None:
    player, track, ring = looped("audio")
    frames = player.audio_frames(track)
    first = await begun(frames)
    tone = sine(samples=960 * 10)
    coded: list[bytes] = []
    sender = player._senders["audio"]
    sender.payload_type = codecs.RED.number
    ring.lose = lambda packet: len(coded) in (4, 7, 8)
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    for at in range(0, len(tone), 960):
        stereo = np.repeat(tone[at : at + 960], 2)[None, :]
        frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
        frame.sample_rate = 48_000
        (opus,) = map(bytes, encoder.encode(frame))
        redundant = (0xEF << 24 | 960 << 10 | len(coded[-1])).to_bytes(4, "big") if coded else b""
        for packet in sender.packets([redundant + b"\x6f" + (coded[-1] if coded else b"") + opus], marked=False):
            coded.append(opus)
            player.send(packet)
        sender.step(960)
    heard = [await first] + [await anext(frames) for _ in range(9)]
    # Of two in a row that were lost the second comes along with the third, and for the first there is silence.
    assert [frame.pts for frame in heard] == [960 * n for n in range(10)]
    assert [n for n, frame in enumerate(heard) if not frame.to_ndarray().any()] == [6]
    await frames.aclose()


async def test_sound_is_nothing_or_some_whatever_the_bytes_are() -> None:
    decoder, rng = decoding.SoundDecoder(), np.random.default_rng(3)
    assert [frame.samples for frame in decoder.decode(Sound(0, b"\x78"))] == [960], "with DTX a packet may be one byte"
    for number in range(1, 500):
        decoder.decode(Sound(960 * number, rng.bytes(int(rng.integers(1, 60)))))


async def test_a_keyframe_does_not_decide_how_much_memory_is_taken() -> None:
    side = (0x3FFF).to_bytes(2, "little")
    with pytest.raises(InvalidPayloadError):
        decoding.PictureDecoder("vp8").decode(Picture(0, (b"\x10\x02\x00\x9d\x01\x2a" + side + side + bytes(200),)))


@pytest.mark.parametrize("codec", VIDEO)
async def test_pictures_come_back_as_pictures(codec: codecs.VideoCodec) -> None:
    player, track, _ = looped("video", codec)
    frames = player.video_frames(track)
    first = await begun(frames)
    for step in range(5):
        await player.send_video(shade(40 * step))
    seen = [await first] + [await anext(frames) for _ in range(4)]
    assert [(frame.width, frame.height) for frame in seen] == [(320, 240)] * 5
    shades = [mean(frame) for frame in seen]
    assert shades == sorted(shades)
    assert abs(shades[-1] - 160) < 12
    assert [frame.pts for frame in seen] == [3_000 * n for n in range(5)]
    assert track.keyframes == 1
    await frames.aclose()


@pytest.mark.parametrize("codec", VIDEO)
async def test_a_picture_with_a_hole_is_left_out_until_the_keyframe_that_is_asked_for(
    codec: codecs.VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "_HOLD_VIDEO_S", 0.0)  # what is missing is waited for no longer than a turn of the loop
    player, track, ring = looped("video", codec)
    frames = player.video_frames(track)
    first = await begun(frames)
    rng = np.random.default_rng(1)
    for step in range(9):
        picture = rng.integers(0, 60, (240, 320, 3), np.uint8)
        picture[:120] += np.uint8(20 * step)
        ring.lose = lambda packet, step=step: step == 3 and not packet.marker  # all but the last packet of one picture
        if step == 6:
            # What the engine passes on of the request.
            ring.bring(PLI + player._senders["video"].ssrc.to_bytes(4, "big"))
            for _ in range(5):
                await asyncio.sleep(0)
        await player.send_video(av.VideoFrame.from_ndarray(picture, format="rgb24"), bitrate_bps=3_000_000)
    assert len(ring.pictures[3]) > 1, "a picture in several packets"
    seen = [await first] + [await anext(frames) for _ in range(5)]
    assert [frame.pts for frame in seen] == [3_000 * n for n in (0, 1, 2, 6, 7, 8)]
    assert not any(frame.is_corrupt for frame in seen)
    assert track.keyframes == 2
    await frames.aclose()


@pytest.mark.parametrize("codec", VIDEO)
async def test_pictures_change_their_size_and_packets_their_order(codec: codecs.VideoCodec) -> None:
    player, track, ring = looped("video", codec)
    frames = player.video_frames(track)
    first = await begun(frames)
    player._senders["video"].timestamp = 2**32 - 3_000
    await player.send_video(shade(50))
    ring.lose = lambda packet: True
    await player.send_video(shade(60, 640, 360))
    await player.send_video(shade(70, 641, 361))
    payloads = ring.pictures[1:3]
    sender = player._senders["video"]
    sender._sequence -= sum(map(len, payloads))
    sender.timestamp = 0
    ring.lose = lambda packet: False
    datagrams = []
    for each in payloads:
        datagrams += list(sender.packets(each, marked=True))
        sender.step(3_000)
    for datagram in reversed(datagrams):
        ring.bring(datagram)
    seen = [await first] + [await anext(frames) for _ in range(2)]
    assert [(frame.width, frame.height, frame.pts) for frame in seen] == [
        (320, 240, 0),
        (640, 360, 3_000),
        (640, 360, 6_000),
    ]
    assert track.keyframes == 1
    await frames.aclose()


async def test_h264_is_constrained_baseline_with_parameters_at_every_keyframe() -> None:
    player, _, ring = looped("video", "h264")
    for step in range(3):
        player._keyframe_wanted = step == 2
        await player.send_video(shade(40 * step))
    kinds = [{unit[0] & 0x1F for payload in each for unit in units(payload)} for each in ring.pictures[:-1]]
    assert [{7, 8, 5} <= each for each in kinds] == [True, False, True]
    (parameters,) = [unit for payload in ring.pictures[0] for unit in units(payload) if unit[0] & 0x1F == 7]
    assert parameters[1] == 0x42
    assert parameters[2] & 0x4F == 0x40, "as in profile-level-id 42e01f"
    assert parameters[3] == 0x1F


def units(payload: bytes) -> list[bytes]:
    if payload[0] & 0x1F == 28:
        return [bytes([payload[1] & 0x1F])] if payload[1] & 0x80 else []
    if payload[0] & 0x1F != 24:
        return [payload]
    found, at = [], 1
    while at < len(payload):
        length = int.from_bytes(payload[at : at + 2], "big")
        found.append(payload[at + 2 : at + 2 + length])
        at += 2 + length
    return found


async def test_h264_refuses_pictures_that_were_not_agreed_on() -> None:
    player, _, _ = looped("video", "h264")
    player._keyframe_wanted = True
    with pytest.raises(UnsuitablePictureError):
        await player.send_video(shade(1, 1_920, 1_080))
    assert player.keyframe_wanted(), "whoever asked still waits for it"


@pytest.mark.parametrize("codec", VIDEO)
async def test_the_callers_frame_stays_as_it_was(codec: codecs.VideoCodec) -> None:
    player, _, _ = looped("video", codec)
    frame = shade(1).reformat(format="yuv420p")
    frame.pts, frame.time_base = 77, fractions.Fraction(1, 1_000)
    await player.send_video(frame)
    assert (frame.pts, frame.time_base) == (77, fractions.Fraction(1, 1_000))


@pytest.mark.parametrize("codec", VIDEO)
async def test_bytes_that_no_encoder_made_are_left_out_and_a_keyframe_asked_for(codec: codecs.VideoCodec) -> None:
    player, track, _ = looped("video", codec)
    frames = player.video_frames(track)
    first = await begun(frames)
    await player.send_video(shade(50))
    assert abs(mean(await first) - 50) < 12
    sender = player._senders["video"]
    rng = np.random.default_rng(2)
    head = {"vp8": b"\x10\x00", "vp9": b"\x0c\x82", "h264": b"\x65\x88"}[codec]
    for _ in range(20):
        for packet in sender.packets([head + rng.bytes(300)], marked=True):
            player.send(packet)
        sender.step(3_000)
    second = await begun(frames)
    player._keyframe_wanted = True
    await player.send_video(shade(150))
    while abs(mean(await second) - 150) >= 12:  # a decoder may make something of anything
        second = asyncio.ensure_future(anext(frames))
    assert track.keyframes in (1, 2)
    await frames.aclose()
