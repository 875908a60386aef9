"""aiortc (OpenSSL, PyAV) publishes by WHIP and plays by WHEP, through `pysfu serve` over real UDP."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import generate_certificate
from callers import Caller, Meeting, gaps
from cryptography.hazmat.primitives.asymmetric import rsa
from footage import FRAME_RATE, Camera, Tone
from OpenSSL import SSL

SECONDS = 6
TONES_HZ = {"anna": 440.0, "bela": 880.0}
CAMERAS = {"anna": 1, "bela": 2}
CODECS = {"anna": "VP8", "bela": "H264"}


async def test_six_subscribers_decode_two_publishers_without_a_gap(room: Meeting) -> None:
    async with contextlib.AsyncExitStack() as callers:
        for name, camera in CAMERAS.items():
            publisher = await callers.enter_async_context(Caller())
            publisher.send(Camera(camera), Tone(TONES_HZ[name]), codec=CODECS[name])
            await room.publish(publisher, name)
            await publisher.connected()
        subscribers: list[tuple[str, Caller]] = []
        for index in range(6):
            source = ("anna", "bela")[index % 2]
            subscriber = (await callers.enter_async_context(Caller())).take("video", "audio")
            await room.play(subscriber, source)
            subscribers.append((source, subscriber))
        await asyncio.gather(*(each.watched(SECONDS * FRAME_RATE) for _, each in subscribers))
        tones = await asyncio.gather(*(each.heard() for _, each in subscribers))

        for (source, subscriber), tone in zip(subscribers, tones, strict=True):
            assert {camera for camera, _ in subscriber.pictures} == {CAMERAS[source]}
            assert gaps([number for _, number in subscriber.pictures]) == []
            assert abs(tone - TONES_HZ[source]) <= 2.0
        assert sorted(map(tuple, (await room.roster()).values())) == sorted(
            [(), (), *[("anna",)] * 3, *[("bela",)] * 3]
        )


async def test_a_publisher_who_leaves_is_gone_and_can_return(room: Meeting) -> None:
    async with Caller() as before, Caller() as subscriber:
        resource = await room.publish(before.send(Camera(3)), "anna")
        await before.connected()
        await room.play(subscriber.take("video"), "anna", "bela")
        await subscriber.watched(5)
        await room.leave(resource, "anna")
        assert await room.roster() == {}

    async with Caller() as again, Caller() as subscriber:
        await room.publish(again.send(Camera(4)), "anna")
        await again.connected()
        await room.play(subscriber.take("video"), "anna", "bela")
        assert {camera for camera, _ in await subscriber.watched(5)} == {4}
        assert await room.roster() == {"anna": [], "bela": ["anna"]}


async def _write_records(transport: RTCDtlsTransport) -> None:
    """Sends what OpenSSL has written, a record per datagram. aiortc cuts off what exceeds 1500 bytes, as RSA does."""
    with contextlib.suppress(SSL.WantReadError):
        written = transport._ssl.bio_read(65_536)
        while written:
            end = 13 + int.from_bytes(written[11:13])
            await transport.transport._send(written[:end])
            written = written[end:]


@pytest.mark.parametrize("bits", [2_048, 3_072, 4_096])
async def test_callers_with_rsa_certificates_publish_and_receive(
    room: Meeting, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RTCDtlsTransport, "_write_ssl", _write_records)
    key = rsa.generate_private_key(65_537, bits)
    certificate = RTCCertificate(key, generate_certificate(key))
    async with Caller(certificate=certificate) as publisher, Caller(certificate=certificate) as subscriber:
        await room.publish(publisher.send(Camera(5), Tone(440)), "anna")
        await publisher.connected()
        await room.play(subscriber.take("video", "audio"), "anna")
        assert {camera for camera, _ in await subscriber.watched(10)} == {5}
        assert abs(await subscriber.heard() - 440) <= 2
