"""`pysfu doctor` makes a real call: a real engine, real UDP over loopback, and ports that nobody listens on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

import pysfu
from pysfu import echo
from signalling import config
from signalling.config import Settings
from signalling.echo import ECHO_LIMIT, Failure, echo_test

ROOT = Path(__file__).parents[2]


def settings(**media: object) -> Settings:
    free = {"host": "127.0.0.1", "port": free_port(socket.SOCK_DGRAM)}
    return config.build({"http": {"port": free_port(socket.SOCK_STREAM)}, "media": free | media})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A UDP port of a program that answers nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


async def test_sound_comes_back_from_every_worker_with_dtls_and_srtp() -> None:
    wanted = settings(workers=2)
    test = await echo_test(wanted)
    port = wanted.media.port
    assert [call.address for call in test.calls] == [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]
    assert not test.own_port_fault
    for call in test.calls:
        assert call.failure is None, call
        assert call.round_trip.total_seconds() > 0
        assert call.protection == "DTLS 1.2, SRTP_AEAD_AES_256_GCM"


async def test_the_call_speaks_the_version_of_dtls_that_is_configured() -> None:
    (call,) = (await echo_test(settings(max_dtls_version="1.3"))).calls
    assert call.failure is None, call
    assert call.protection.startswith("DTLS 1.3, ")


async def test_a_call_goes_over_ipv6_too() -> None:
    (call,) = (await echo_test(settings(host="::1"))).calls
    assert call.address.startswith("[::1]:")
    assert call.failure is None, call


async def test_a_port_in_use_does_not_keep_the_call_from_being_made(silent_port: int) -> None:
    test = await echo_test(settings(port=silent_port))
    assert "in use" in test.own_port_fault
    assert [call.failure for call in test.calls] == [None]


async def test_an_address_that_leads_elsewhere_is_found_within_seconds() -> None:
    began = time.monotonic()
    # Loopback addresses of which the engine has bound another one: the kernel says that nobody listens there.
    (call,) = (await echo_test(settings(announced_addresses=["127.0.0.9"]))).calls
    assert call.failure is Failure.PORT_CLOSED
    assert time.monotonic() - began < 5


async def test_a_closed_port_and_one_that_never_answers_are_told_apart(sfu: pysfu.Sfu, silent_port: int) -> None:
    async with await sfu.create_room() as room:
        closed = await echo.call(room, f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}")
        began = time.monotonic()
        silent = await echo.call(room, f"127.0.0.1:{silent_port}", limit=ECHO_LIMIT)
        assert time.monotonic() - began < 5
        assert (closed, silent) == (echo.PortClosed(), echo.NoAnswer())
        (heard,) = [await echo.call(room, address) for address in sfu.addresses[room.worker]]
        assert isinstance(heard, echo.Echoed), heard
        assert room.participants == (), "the callers have left"
    stats = await sfu.stats()
    assert stats.total("unauthorized_forwards") == 0
    assert stats.total("rtp_packets_out") >= 9
    assert stats.total("stun_replays") == 0
    (worker,) = stats.workers
    assert worker.engine is not None
    quality = worker.engine.quality
    for stage in (quality.join_s, quality.join_ice_s, quality.join_dtls_s, quality.join_first_packet_s):
        assert sum(stage.counts) == 1, "one of the three calls was a join"
        assert 0 <= stage.sum < 5
    assert sum(worker.rim.forward_s.counts) >= 9


def test_the_command_makes_the_call_and_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "pysfu.toml"
    ports = f"[http]\nport = {free_port(socket.SOCK_STREAM)}\n[media]\nport = {free_port(socket.SOCK_DGRAM)}\n"
    path.write_text(f'{ports}host = "127.0.0.1"\n')
    command = [sys.executable, "-m", "signalling.cli", "doctor", "--json", "--config", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    (found,) = [finding for finding in json.loads(done.stdout)["findings"] if finding["check"] == "echo call"]
    assert found["grade"] == "good", found
    assert "sound was back after" in found["text"]
