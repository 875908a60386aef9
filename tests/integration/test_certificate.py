"""A certificate is renewed while people talk: nothing is dropped, newcomers get it, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from ipaddress import ip_address
from pathlib import Path

import httpx
from callers import HANG_S, Caller, meeting, until
from footage import Camera, Tone
from relay import Relay
from servers import TRUSTING, Server, serving

from signalling.certificate import make_trial_certificate

ADDRESSES = [ip_address("127.0.0.1")]
GAP_S = 0.5  # A publisher sends 80 packets a second; a machine at full load stutters.
OFTEN_S = 0.2  # A connection that is kept alive is closed after 5 s in which nothing is asked.


class Watching:
    """What must go on undisturbed, looked at all the time."""

    def __init__(self, relay: Relay, http: httpx.AsyncClient) -> None:
        self._relay, self._http = relay, http
        self.connections: set[object] = set()
        self.longest_gap_s = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_packets())
            tasks.create_task(self._ask())

    async def _watch_packets(self) -> None:
        last, seen = time.monotonic(), self._relay.rtp_to_clients(0)
        while True:
            await asyncio.sleep(0.01)
            self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - last)
            if (count := self._relay.rtp_to_clients(0)) != seen:
                last, seen = time.monotonic(), count

    async def _ask(self) -> None:
        while True:
            answer = await self._http.get("/live")
            assert answer.status_code == 200
            self.connections.add(answer.extensions["network_stream"])
            await asyncio.sleep(OFTEN_S)


async def shown(server: Server) -> bytes:
    """Returns the certificate that a newcomer sees."""
    port = int(server.base_url.rpartition(":")[2])
    return ssl.PEM_cert_to_DER_cert(await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port)))


def in_file(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def until_shown(server: Server, certificate: Path) -> bytes:
    """Waits until newcomers see what is in the file."""
    wanted = in_file(certificate)
    async with asyncio.timeout(HANG_S):
        while await shown(server) != wanted:
            pass
    return wanted


def refused(server: Server) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["event"].startswith("certificate not reloaded")]


async def change(server: Server, folder: Path) -> None:
    """Renews the certificate, well and badly, told and untold."""
    certificate, key = make_trial_certificate(folder / "tls", ADDRESSES)
    server.process.send_signal(signal.SIGHUP)
    good = await until_shown(server, certificate)
    # Half of another pair: the one before stays.
    other = make_trial_certificate(folder / "other", ADDRESSES)
    certificate.write_bytes(other[0].read_bytes())
    server.process.send_signal(signal.SIGHUP)
    await until(lambda: refused(server) != [], "a line of the log")
    assert await shown(server) == good
    # The other half: found without being told.
    key.write_bytes(other[1].read_bytes())
    assert await until_shown(server, certificate) != good
    # And again and again, as quickly as can be.
    for _ in range(20):
        make_trial_certificate(folder / "tls", ADDRESSES)
        server.process.send_signal(signal.SIGHUP)
        await shown(server)


async def test_certificates_change_under_a_call_a_connection_and_a_stream_of_events(tmp_path: Path) -> None:
    made = make_trial_certificate(tmp_path / "tls", ADDRESSES)
    with serving(tmp_path, certificate=made) as server, Relay() as relay:
        async with (
            meeting(server.base_url, server.admin_bearer, TRUSTING) as room,
            httpx.AsyncClient(base_url=server.base_url, verify=TRUSTING, timeout=HANG_S) as http,
            Caller() as anna,
            Caller(relay=relay) as bela,
        ):
            resource = await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
            await room.play(bela.take("video", "audio"), "anna", "bela")
            await until(lambda: relay.rtp_to_clients(0) > 40, "packets")
            bearer = {"Authorization": f"Bearer {await room.token('anna')}"}
            async with room.http.stream("GET", f"{resource}/events", headers=bearer) as events:
                watching = Watching(relay, http)
                watch = asyncio.ensure_future(watching.run())
                await change(server, tmp_path)
                assert not watch.done()
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                assert len(watching.connections) == 1, "it was kept"
                assert watching.longest_gap_s < GAP_S
                await room.remove("anna")
                said = [line async for line in events.aiter_lines() if line.startswith("data")]
                assert said == ['data: {"reason": "removed"}']
    assert {line["level"] for line in refused(server)} == {"error"}
