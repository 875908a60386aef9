"""Someone who meets through LiveKit's Python SDK, which is libwebrtc: numbered pictures and a tone, and data."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import numpy as np
from callers import until
from footage import FRAME_RATE, HEIGHT, SAMPLE_RATE, WIDTH, draw, frequency_of, read_luma, sine
from livekit import rtc

SILENT_UNTIL = 500.0  # of 32 767: what is left of silence after the codec is below

NOTED = ("reconnecting", "reconnected", "disconnected")


class Attendee:
    """A participant, from entry to exit."""

    def __init__(self, url: str, token: str, *, shared_key: bytes | None = None) -> None:
        self.room = rtc.Room()
        self.told: list[str] = []
        self.pictures: dict[str, list[tuple[int, int]]] = {}
        self.messages: list[tuple[str, str, bool, bytes]] = []
        self._waves: dict[str, list[np.ndarray]] = {}
        self._address = url, token
        self._options = rtc.RoomOptions()
        if shared_key is not None:
            keys = rtc.KeyProviderOptions(shared_key=shared_key)
            self._options.encryption = rtc.E2EEOptions(key_provider_options=keys)
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: list[Any] = []
        self.room.on("track_subscribed", self._on_track)
        self.room.on("data_received", self._on_message)
        for event in NOTED:
            self.room.on(event, lambda *_, event=event: self.told.append(event))

    async def __aenter__(self) -> Self:
        await self.room.connect(*self._address, options=self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:
            await stream.aclose()
        for task in self._tasks:
            task.cancel()
        await self.room.disconnect()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    # --- what it sends ---

    async def film(self, camera: int) -> rtc.LocalTrackPublication:
        """Begins to send numbered pictures."""
        source = rtc.VideoSource(WIDTH, HEIGHT)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
        sent = await self.room.local_participant.publish_track(track, options)
        self._begin(_film(source, camera))
        return sent

    async def hum(self, frequency_hz: float) -> rtc.LocalTrackPublication:
        """Begins to send a tone."""
        source = rtc.AudioSource(SAMPLE_RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        sent = await self.room.local_participant.publish_track(track, options)
        self._begin(_hum(source, frequency_hz))
        return sent

    # --- what came ---

    async def sees(self, identity: str, frames: int = 10) -> list[tuple[int, int]]:
        """Waits until so many more pictures of somebody came, and returns those."""
        already = len(self.pictures.get(identity, []))
        await until(lambda: len(self.pictures.get(identity, [])) >= already + frames, f"pictures of {identity}")
        return self.pictures[identity][already:]

    async def hears(self, identity: str, seconds: float = 1.0) -> float:
        """Waits for so much more sound of somebody; returns its frequency."""
        already = len(self._waves.get(identity, []))

        def loud() -> list[np.ndarray]:
            return [wave for wave in self._waves.get(identity, [])[already:] if np.abs(wave).max() > SILENT_UNTIL]

        await until(lambda: sum(map(len, loud())) >= seconds * SAMPLE_RATE, f"sound of {identity}")
        return frequency_of(np.concatenate(loud()))

    def _on_track(self, track: rtc.Track, _: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        reading = self._watch if track.kind == rtc.TrackKind.KIND_VIDEO else self._listen
        self._begin(reading(track, participant.identity))

    async def _watch(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420)
        self._streams.append(stream)
        async for event in stream:
            frame = event.frame
            luma = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height].reshape(frame.height, frame.width)
            if luma.shape == (HEIGHT, WIDTH):
                self.pictures.setdefault(identity, []).append(read_luma(luma))

    async def _listen(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        self._streams.append(stream)
        async for event in stream:
            wave = np.frombuffer(event.frame.data, np.int16).astype(np.float64)
            self._waves.setdefault(identity, []).append(wave)

    def _on_message(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant.identity if packet.participant is not None else ""
        is_reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        self.messages.append((sender, packet.topic or "", is_reliable, packet.data))

    def _begin(self, work: Any) -> None:
        self._tasks.add(asyncio.create_task(work))


async def _film(source: rtc.VideoSource, camera: int) -> None:
    """Draws in real time."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while True:
        planes = draw(camera, number).to_ndarray().tobytes()
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, planes))
        number += 1
        await asyncio.sleep(began + number / FRAME_RATE - loop.time())


async def _hum(source: rtc.AudioSource, frequency_hz: float) -> None:
    """Hums in real time: the source takes no more than it has room for."""
    at = 0
    while True:
        wave = sine(frequency_hz, at).to_ndarray().tobytes()
        samples = len(wave) // 2
        await source.capture_frame(rtc.AudioFrame(wave, SAMPLE_RATE, 1, samples))
        at += samples
