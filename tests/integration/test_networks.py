"""Calls of real participants through networks with faults. Each fault lasts as long as its test says; every other
time-out only catches a hang. `pytest --junitxml` writes the figures down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from networks.camera import write_busy_camera
from networks.network import OTHER, PUBLIC, SERVER, Host, Network, NetworkError
from networks.participant import Participant, Program
from networks.pysfu_server import PATIENCE_S, PysfuServer

Record = Callable[[str, object], None]

MAX_REBINDING_GAP_S = 3.0
MIN_FRAME_RATE = 10.0
MAX_RETURN_S = 5.0  # after UDP is let through again, or on the next network
MAX_CONCEALED_SHARE = 0.01  # sound is unbroken when less than this is made up
DOWNLINK_KBPS = 1_000
TOO_NARROW_KBPS = 150
QUEUE_S = 1.0
MAX_SHOWN_AGAIN_S = 120.0
MEDIA_SENT = 'sfu_rtp_bytes_total{dir="out"}'
SIMULCAST = {"simulcast": True, "width": 960, "height": 540}
ONE_ENCODING = {"width": 640, "height": 360, "max_kbps": 2_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A publisher and a subscriber, each in a network of its own behind one router. Frames are arriving."""

    network: Network
    server: PysfuServer
    publisher: Participant
    subscriber: Participant
    subscriber_host: Host

    async def handshakes(self) -> float:
        figures = await self.server.figures()
        return sum(value for name, value in figures.items() if name.startswith("sfu_srtp_profile_sessions_total"))

    async def figure(self, name: str) -> float:
        return (await self.server.figures()).get(name, 0.0)

    async def more_than(self, kbps: float) -> float:
        """Waits until more is sent than this; an encoder on a busy machine takes a while to find its pace."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                sent = await self.figure(MEDIA_SENT)
                await asyncio.sleep(3)
                sent_kbps = (await self.figure(MEDIA_SENT) - sent) * 8 / 3 / 1_000
                if sent_kbps > kbps:
                    return sent_kbps


@contextlib.asynccontextmanager
async def call(
    folder: Path,
    program: Program = "chromium",
    *,
    prepare: Callable[[Network, Host], None] = lambda network, subscriber: None,
    announced: Sequence[str] = (),
    asks: str = SERVER,
    **picture: Any,
) -> AsyncIterator[Call]:
    with Network() as network:
        sends_from, plays_at = network.participant(), network.participant()
        prepare(network, plays_at)
        async with PysfuServer(network, folder, announced=announced) as server:
            room = await server.room()
            publishing = Participant(
                "chromium", sends_from, server, await server.token(room), publishes=True, **picture
            )
            playing = Participant(program, plays_at, server, await server.token(room), asks=asks, publishes=False)
            async with publishing as publisher, playing as subscriber:
                await publisher.join(f"/whip/{room}")
                await subscriber.join(urlsplit(publisher.source).path)
                await subscriber.sees_frames()
                yield Call(
                    network=network,
                    server=server,
                    publisher=publisher,
                    subscriber=subscriber,
                    subscriber_host=plays_at,
                )


@pytest.fixture
def figures(request: pytest.FixtureRequest, record_testsuite_property: Record) -> Record:
    """Keeps a figure of the test that asks."""
    return lambda name, value: record_testsuite_property(f"{request.node.name} {name}", value)


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with pytest.raises(NetworkError, match="need root"), Network():
        pass


async def test_a_server_behind_one_to_one_nat_is_reached_from_inside_and_from_outside_at_once(tmp_path: Path) -> None:
    async with call(tmp_path, prepare=Network.translate, announced=[SERVER, PUBLIC], asks=PUBLIC) as running:
        inside, outside = running.publisher, running.subscriber
        await outside.until(lambda look: look.get("remote") == PUBLIC)
        await inside.until(lambda look: look.get("remote") == SERVER)
        await outside.sees_frames()


async def test_a_host_with_two_addresses_answers_from_the_one_that_was_asked(tmp_path: Path) -> None:
    def prepare(network: Network, _: Host) -> None:
        network.second_address()

    async with call(tmp_path, prepare=prepare, announced=[OTHER], asks=OTHER) as running:
        await running.subscriber.until(lambda look: look.get("remote") == OTHER)
        await running.publisher.until(lambda look: look.get("remote") == OTHER)
        await running.subscriber.sees_frames()


async def test_a_call_goes_on_when_the_router_forgets_its_connections(tmp_path: Path, figures: Record) -> None:
    async with call(tmp_path) as running:
        ports, handshakes = running.network.outside_ports(), await running.handshakes()
        rebound = time.time()
        running.network.rebind()
        await asyncio.sleep(2 * MAX_REBINDING_GAP_S)
        await running.subscriber.sees_frames()
        gap = running.subscriber.longest_gap_s(rebound, time.time())
        figures("gap_s", gap)
        assert len(ports) >= 2, "each Chromium has at least one connection"
        assert not ports & running.network.outside_ports(), "the router kept a port: nothing was rebound"
        assert gap <= MAX_REBINDING_GAP_S
        assert await running.handshakes() == handshakes == 2


@pytest.mark.parametrize("program", ["chromium", "aiortc"])  # transport-wide feedback, and REMB for each picture alone
async def test_twenty_percent_loss_both_ways_leaves_ten_frames_a_second(
    tmp_path: Path, figures: Record, program: Program
) -> None:
    async with call(tmp_path, program) as running:
        running.network.lose(20)
        began = time.time()
        await asyncio.sleep(10)
        frame_rate = running.subscriber.frame_rate(began, time.time())
        figures("frame_rate", frame_rate)
        assert running.network.dropped() > 100, "the router dropped next to nothing"
        assert await running.figure("sfu_rtx_packets_total") > 0
        assert frame_rate >= MIN_FRAME_RATE
        assert await running.handshakes() == 2


@pytest.mark.long
@pytest.mark.parametrize("picture", [SIMULCAST, ONE_ENCODING], ids=["simulcast", "one encoding"])
async def test_a_narrow_downlink_with_a_long_queue_keeps_sound_whole_and_pictures_moving(
    tmp_path: Path, figures: Record, picture: dict[str, Any]
) -> None:
    size = {"width": picture["width"], "height": picture["height"]}
    camera = write_busy_camera(tmp_path / "busy.y4m", **size, frame_rate=15)
    async with call(tmp_path, video_file=str(camera), **picture) as running:
        subscriber = running.subscriber
        await subscriber.until(lambda look: look.get("width") == picture["width"])
        before_kbps = await running.more_than(DOWNLINK_KBPS)  # it would fit anyway, else
        running.network.limit_downlink(running.subscriber_host, kbps=DOWNLINK_KBPS, queue_s=QUEUE_S)
        await asyncio.sleep(15)
        settled = time.time()
        await asyncio.sleep(10)
        now = time.time()
        frame_rate, concealed = subscriber.frame_rate(settled, now), subscriber.concealed_share(settled, now)
        figures("before_kbps", before_kbps)
        figures("frame_rate", frame_rate)
        figures("concealed_share", concealed)
        figures("longest_gap_s", subscriber.longest_gap_s(settled, now))
        assert frame_rate >= MIN_FRAME_RATE
        assert concealed <= MAX_CONCEALED_SHARE
        if "simulcast" in picture:
            assert subscriber.looks[-1]["width"] < picture["width"], "the full picture never filled the downlink"


@pytest.mark.long
async def test_a_picture_that_a_downlink_was_too_narrow_for_is_shown_again_when_it_has_become_wider(
    tmp_path: Path, figures: Record
) -> None:
    size = {"width": ONE_ENCODING["width"], "height": ONE_ENCODING["height"]}
    camera = write_busy_camera(tmp_path / "busy.y4m", **size, frame_rate=15)
    async with call(tmp_path, video_file=str(camera), **ONE_ENCODING) as running:
        subscriber = running.subscriber
        await running.more_than(DOWNLINK_KBPS)
        running.network.limit_downlink(running.subscriber_host, kbps=TOO_NARROW_KBPS, queue_s=QUEUE_S)
        await asyncio.sleep(20)
        assert subscriber.frame_rate(time.time() - 5, time.time()) < MIN_FRAME_RATE, "it fits all the same"
        widened = time.time()
        running.network.limit_downlink(running.subscriber_host, kbps=DOWNLINK_KBPS, queue_s=QUEUE_S)
        await subscriber.sees_frames(100, within_s=MAX_SHOWN_AGAIN_S)
        figures("shown_again_after_s", time.time() - widened)
        settled = time.time()
        await asyncio.sleep(5)
        frame_rate = subscriber.frame_rate(settled, time.time())
        figures("frame_rate", frame_rate)
        assert frame_rate >= MIN_FRAME_RATE


@pytest.mark.long
async def test_a_call_comes_back_by_itself_when_udp_is_let_through_again(tmp_path: Path, figures: Record) -> None:
    async with call(tmp_path) as running:
        running.network.block_udp()
        await asyncio.sleep(10)
        assert running.subscriber.longest_gap_s(time.time() - 9, time.time()) >= 8, "something came through"
        healed = time.time()
        running.network.heal()
        await running.subscriber.sees_frames()
        back = running.subscriber.longest_gap_s(healed, time.time()) - (healed - running.subscriber.last_frame(healed))
        figures("back_after_s", back)
        assert back <= MAX_RETURN_S
        assert await running.handshakes() == 2
        assert "failed" not in running.subscriber.states() + running.publisher.states()


@pytest.mark.long
async def test_an_ice_restart_carries_a_call_from_one_network_to_another(tmp_path: Path, figures: Record) -> None:
    async with call(tmp_path) as running:
        running.network.second_link(running.subscriber_host)
        running.network.unplug(running.subscriber_host)
        left = time.time()
        await asyncio.sleep(1)  # until a browser has noticed
        await running.subscriber.restart_ice()
        restarted = time.time()
        await running.subscriber.sees_frames()
        gap = running.subscriber.longest_gap_s(left, time.time())
        figures("gap_s", gap)
        assert gap <= (restarted - left) + MAX_RETURN_S
        assert await running.handshakes() == 2
