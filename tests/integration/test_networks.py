"""Calls of real participants through networks with faults (`reliability.md` A3.2 has the goals).

The spans are those of the faults themselves; every time-out only catches a hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from networks.network import Host, Network
from networks.participant import Participant, Program
from networks.pysfu_server import PysfuServer


@dataclass(frozen=True, slots=True)
class Call:
    """One publisher, one subscriber, each in a network of its own behind one router, and frames are arriving."""

    network: Network
    server: PysfuServer
    publisher: Participant
    subscriber: Participant
    subscriber_host: Host


@contextlib.asynccontextmanager
async def call(folder: Path, publisher: Program, subscriber: Program, **picture: Any) -> AsyncIterator[Call]:
    with Network() as network:
        hosts = network.participant(), network.participant()
        async with PysfuServer(network, folder) as server:
            room = await server.room()
            async with (
                Participant(publisher, hosts[0], server, await server.token(room), publishes=True, **picture) as sends,
                Participant(subscriber, hosts[1], server, await server.token(room), publishes=False) as plays,
            ):
                await sends.join(f"/whip/{room}")
                await plays.join(sends.source)
                await plays.sees_frames()
                yield Call(network, server, sends, plays, hosts[1])


async def handshakes(call: Call) -> float:
    figures = await call.server.figures()
    return sum(value for name, value in figures.items() if name.startswith("sfu_srtp_profile_sessions_total"))


async def test_a_call_goes_on_when_the_router_forgets_its_connections(tmp_path: Path) -> None:
    async with call(tmp_path, "chromium", "chromium") as running:
        before, ports = await handshakes(running), running.network.outside_ports()
        rebound = time.time()
        running.network.rebind()
        await asyncio.sleep(6)
        await running.subscriber.sees_frames()
        gap = running.subscriber.longest_gap_s(rebound, time.time())
        print(f"FIGURE rebind gap {gap:.2f}", running.network.outside_ports(), ports)
        assert not ports & running.network.outside_ports()
        assert gap <= 3
        assert await handshakes(running) == before == 2


@pytest.mark.parametrize("program", ["aiortc", "chromium"])
async def test_twenty_percent_loss_both_ways_leaves_ten_frames_a_second(tmp_path: Path, program: Program) -> None:
    async with call(tmp_path, program, program) as running:
        running.network.lose(20)
        began = time.time()
        await asyncio.sleep(12)
        now = time.time()
        s = running.subscriber
        print(f"FIGURE loss {program} {s.frame_rate(began, now):.1f} gap {s.longest_gap_s(began, now):.2f}", running.network.dropped(), s.looks[-1])
        print({k:v for k,v in (await running.server.figures()).items() if v and not 'http' in k and 'lag' not in k})
        assert s.frame_rate(began, now) >= 10
