"""The whole server on loopback: real sockets, real TLS, real signals; only the media engine is in memory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import itertools
import json
import os
import signal
import socket
import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

import httpx
import pytest
from conftest import ADMIN, SDP, Bench
from cryptography import x509
from fake_engine import FakeEngine
from offers import offer
from ports import free_port
from running import running, settings

from signalling import certificate as certificates
from signalling import endings, listening, server
from signalling.certificate import LiveCertificate, make_trial_certificate
from signalling.config import ConfigError, Settings
from signalling.domain.heartbeat import Beat, WorkerFault
from signalling.figures import MediaWarning, WorkerFailed
from signalling.http import connection
from signalling.media import EngineStartError
from signalling.media_events import EngineLost, PeerGone, Resynced
from signalling.meetings.edge import LiveMeetings

BEARER = {"Authorization": f"Bearer {ADMIN}"}


async def serial(port: int) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def test_a_call_goes_through_a_real_server_and_ends_with_it() -> None:
    engine, port = FakeEngine(), free_port()
    async with running(settings(http={"port": port}), engine) as serving:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            room = (await http.post("/rooms", headers=BEARER)).json()["room"]
            token = (await http.post(f"/rooms/{room}/tokens", headers=BEARER)).json()["token"]
            bearer = {"Authorization": f"Bearer {token}", **SDP}
            assert (await http.post(f"/whip/{room}", content=offer(), headers=bearer)).status_code == 201
            assert (await http.get("/ready")).status_code == 200
            assert (await http.get("/metrics")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
    assert engine.peers() == []
    assert engine.rooms[0].closed
    assert engine.closed


async def test_the_start_up_line_says_where_it_listens_and_what_clients_are_told(logged: io.StringIO) -> None:
    port, told = free_port(), asyncio.Queue[server.Started]()
    serving = asyncio.ensure_future(
        server.serve(settings(http={"port": port}), lambda _: FakeEngine(), on_start=told.put_nowait)
    )
    assert str(await told.get()) == (
        f"Listening on TCP 127.0.0.1:{port}; clients are told to send media to UDP 192.0.2.1:7882, [2001:db8::1]:7882."
    )
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    line = next(json.loads(line) for line in logged.getvalue().splitlines() if "server started" in line)
    assert (line["listen"], line["media"]) == (f"127.0.0.1:{port}", ["192.0.2.1:7882", "[2001:db8::1]:7882"])


async def test_whoever_reads_that_it_listens_can_connect_at_once() -> None:
    port, refusals = free_port(), asyncio.Queue[OSError | None]()

    def connect(_: server.Started) -> None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError as error:
            refusals.put_nowait(error)
        else:
            refusals.put_nowait(None)

    serving = asyncio.ensure_future(
        server.serve(settings(http={"port": port}), lambda _: FakeEngine(), on_start=connect)
    )
    assert await refusals.get() is None
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


async def test_a_worker_that_stops_going_round_makes_the_node_not_ready(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(server, "BEAT_INTERVAL_S", 0)
    engine, port = FakeEngine(), free_port()
    async with (
        running(settings(http={"port": port}), engine),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        assert (await http.get("/ready")).status_code == 200
        engine.workers = [Beat(turns=1, failed=True)]
        while (await http.get("/ready")).status_code == 200:
            pass
        assert 'sfu_worker_up{shard="0"} 0.0' in (await http.get("/metrics")).text
        await http.post("/rooms", headers=BEARER)
    assert engine.avoided == [{0}]
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines() if "go round" in line]
    assert (line["worker"], line["state"], line["level"]) == (0, "failed", "error")


async def test_a_worker_that_hangs_keeps_the_server_from_following_nothing_of_the_others(
    bench: Bench, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [await bench.room() for _ in range(3)]
    for room, name in zip(rooms, ("alice", "bob", "carol"), strict=True):
        async with await bench.participant(room, name) as participant:
            await bench.publish(room, participant)
    alice, bob, carol = bench.engine.peers()
    alice.held = held = asyncio.Event()
    known = asyncio.Event()
    known.set()
    meetings = LiveMeetings(bench.parts.rooms, bench.parts.tokens, utc=bench.clock)
    following = asyncio.ensure_future(server._follow_events(bench.parts, meetings, bench.engine, known))
    living = frozenset(room.id for room in bench.engine.rooms)
    for event in (
        PeerGone(peer=alice.id, reason="ice"),
        PeerGone(peer=bob.id, reason="ice"),
        Resynced(media_rooms=living, peers=frozenset()),
    ):
        await bench.engine.happened.put(event)
    await bench.settle()
    assert (alice.removed, bob.removed, carol.removed) == (False, True, True)
    monkeypatch.setattr(endings, "RETRY_S", 0)
    bench.engine.unavailable = True
    held.set()
    await bench.settle()
    assert not following.done()
    assert "what ends is tried again" in logged.getvalue()
    assert [len(await bench.roster(room)) for room in rooms] == [1, 0, 0], "who is not gone is shown"
    bench.engine.unavailable = False
    await bench.settle()
    assert alice.removed
    assert await bench.roster(rooms[0]) == []
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_clock_that_is_set_back_hides_no_stall(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(server, "BEAT_INTERVAL_S", 0)
    seconds = itertools.count()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: float(next(seconds)))
    following = asyncio.ensure_future(server._follow_beats(bench.parts, bench.engine))
    for _ in range(50):
        bench.clock.go(hours=-1)
        await asyncio.sleep(0)
    following.cancel()
    assert bench.parts.heartbeat.faults == {0: WorkerFault.STALLED}
    assert "stalled" in logged.getvalue()


async def test_what_the_kernel_does_not_grant_is_told_with_the_line_that_helps(logged: io.StringIO) -> None:
    engine, remedy = FakeEngine(), "sysctl -w net.core.rmem_max=4194304"
    engine.warned = [
        MediaWarning(code="receive_buffer_capped", remedy=remedy, figures={"granted": 212_992, "wanted": 4_194_304})
    ]
    async with running(settings(http={"port": free_port()}), engine):
        await engine.happened.put(WorkerFailed(worker=3))
    lines = {line["event"]: line for line in map(json.loads, logged.getvalue().splitlines())}
    warning = lines["media engine"]
    assert (warning["code"], warning["remedy"], warning["level"]) == ("receive_buffer_capped", remedy, "warning")
    assert (warning["granted"], warning["wanted"]) == (212_992, 4_194_304)
    (failed,) = [line for event, line in lines.items() if event.startswith("media worker failed")]
    assert failed["worker"] == 3
    assert not any("dropped_fields" in line for line in lines.values())


async def test_that_the_media_process_is_lost_is_told_the_operator(logged: io.StringIO) -> None:
    engine = FakeEngine()
    async with running(settings(http={"port": free_port()}), engine):
        await engine.happened.put(EngineLost(reason="it has ended", pause=timedelta(0)))
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines() if "media process lost" in line]
    assert (line["reason"], line["level"]) == ("it has ended", "error")


async def test_a_new_certificate_is_used_without_dropping_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_trial_certificate(tmp_path, [ip_address("127.0.0.1")])
    live: list[LiveCertificate] = []
    real = server.tls

    def tls(settings: Settings) -> LiveCertificate | None:
        live.append(real(settings))  # type: ignore[arg-type]
        return live[0]

    monkeypatch.setattr(server, "tls", tls)
    port = free_port()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    https = settings(http={"port": port, "certificate": certificate, "key": key})
    http = httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=context)
    async with running(https, FakeEngine()), http:
        answer = await http.get("/live")
        assert answer.headers["strict-transport-security"]
        stream = answer.extensions["network_stream"]
        before = await serial(port)
        make_trial_certificate(tmp_path, [ip_address("127.0.0.1")])
        assert live[0].reload_if_changed()
        assert await serial(port) != before
        assert (await http.get("/live")).extensions["network_stream"] is stream


def test_a_half_written_certificate_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path / "a", [])
    live = LiveCertificate(certificate, key)
    other, _ = make_trial_certificate(tmp_path / "b", [])
    certificate.write_bytes(other.read_bytes())
    assert not live.reload_if_changed()
    assert live.context.cert_store_stats() is not None
    key.write_bytes((tmp_path / "b" / "key.pem").read_bytes())
    assert live.reload_if_changed()
    assert not live.reload_if_changed()


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError) as caught:
            await server.serve(settings(http={"port": taken.getsockname()[1]}), lambda _: FakeEngine())
    (line,) = caught.value.faults
    assert line.startswith("http.port: cannot listen on 127.0.0.1 port ")
    assert "in use" in line


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_all_addresses_of_one_family_mean_those_of_the_other_too(tmp_path: Path, everywhere: str) -> None:
    certificate, key = make_trial_certificate(tmp_path, [])
    http = {"host": everywhere, "port": free_port(), "certificate": certificate, "key": key}
    with listening.bind(settings(http=http)) as opened:
        opened.listen()
        for family, own in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as caller:
                caller.connect((own, http["port"]))


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
@pytest.mark.parametrize(("family", "own"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_media_port_that_is_taken_in_either_family_is_one_clear_line(
    everywhere: str, family: socket.AddressFamily, own: str
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((own, 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^media\.port: cannot listen on \S+ port {port} \(UDP\): .*in use"):
            listening.check_media_ports(settings(media={"host": everywhere, "port": port}))


@pytest.mark.parametrize("missing", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_listens_on_ipv4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    class WithoutIpv6(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(missing, os.strerror(missing))
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr(listening.socket, "socket", WithoutIpv6)
    certificate, key = make_trial_certificate(tmp_path, [])
    both = settings(
        http={"host": "::", "port": free_port(), "certificate": certificate, "key": key},
        media={"host": "::", "port": free_port(socket.SOCK_DGRAM)},
    )
    listening.check_media_ports(both)
    with listening.bind(both) as opened:
        assert opened.family == socket.AF_INET


async def test_an_engine_that_cannot_start_says_why_in_one_clear_line() -> None:
    class Stuck(FakeEngine):
        async def __aenter__(self) -> Self:
            raise EngineStartError("cannot pin a worker to a processor")

    with pytest.raises(ConfigError, match=r"^media: cannot pin a worker to a processor$"):
        await server.serve(settings(http={"port": free_port()}), lambda _: Stuck())


async def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path, [])
    elsewhere = settings(http={"host": "192.0.2.1", "certificate": certificate, "key": key})
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 8443"):
        await server.serve(elsewhere, lambda _: FakeEngine())


@pytest.mark.parametrize("text", ["", "not a certificate"])
async def test_a_bad_certificate_is_one_clear_line(tmp_path: Path, text: str) -> None:
    certificate, key = make_trial_certificate(tmp_path, [])
    certificate.write_text(text)
    with pytest.raises(ConfigError, match="holds no certificate in PEM form"):
        await server.serve(settings(http={"certificate": certificate, "key": key}), lambda _: FakeEngine())


def test_a_trial_certificate_is_valid_now_for_the_addresses_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path, [ip_address("192.0.2.1")])
    made = certificates.read_certificate(certificate)
    assert set(made.names) == {"localhost", "127.0.0.1", "192.0.2.1"}
    assert made.not_after - made.not_before > timedelta(days=29)
    assert key.stat().st_mode & 0o077 == 0


async def test_headers_without_end_are_refused() -> None:
    port = free_port()
    async with running(settings(http={"port": port}), FakeEngine()):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /live HTTP/1.1\r\n" + b"X-A: " + b"a" * 200_000)
        answer = await reader.readline()
        writer.close()
    assert b" 400 " in answer


@pytest.mark.parametrize("begun", [b"", b"GET /live HTT", b"GET /live HTTP/1.1\r\nHost: x\r\n\r\nGET /li"])
async def test_a_request_that_never_becomes_whole_does_not_hold_its_connection(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed, received, waiting = connection.TimedProtocol, asyncio.Event(), asyncio.Event()
    ends: list[connection.TimedProtocol] = []
    receive, wait, stop_waiting = timed.data_received, timed._wait, timed._stop_waiting
    monkeypatch.setattr(timed, "data_received", lambda self, data: (receive(self, data), received.set()))
    monkeypatch.setattr(timed, "_wait", lambda self: (wait(self), ends.append(self), waiting.set()))
    monkeypatch.setattr(timed, "_stop_waiting", lambda self: (stop_waiting(self), waiting.clear()))
    port, loop, whole = free_port(), asyncio.get_running_loop(), begun.count(b"\r\n\r\n")
    async with running(settings(http={"port": port}), FakeEngine()):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if begun:
            writer.write(begun)
            await received.wait()
        answer = b""
        while answer.count(b"200 OK") < whole:
            answer += await reader.read(1_000)
        await waiting.wait()
        assert ends[-1]._deadline is not None
        assert ends[-1]._deadline.when() - loop.time() <= connection.HEADER_TIMEOUT_S
        ends[-1]._on_deadline()  # as if that time were over
        answer += await reader.read()
        writer.close()
    assert answer.count(b"200 OK") == whole
