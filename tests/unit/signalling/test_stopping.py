"""How the whole server stops, on loopback: drains, signals, what hangs, a part that fails. The engine is in memory."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from conftest import ADMIN, SDP
from fake_engine import FakeEngine
from offers import offer
from ports import free_port
from running import running, settings

from signalling import server
from signalling.certificate import make_trial_certificate
from signalling.media_events import MediaEvent, PeerGone, RoomGone

BEARER = {"Authorization": f"Bearer {ADMIN}"}


async def call(http: httpx.AsyncClient) -> None:
    """Makes a room in which somebody is."""
    room = (await http.post("/rooms", headers=BEARER)).json()["room"]
    token = (await http.post(f"/rooms/{room}/tokens", headers=BEARER)).json()["token"]
    bearer = {"Authorization": f"Bearer {token}", **SDP}
    assert (await http.post(f"/whip/{room}", content=offer(), headers=bearer)).status_code == 201


async def test_before_it_stops_the_server_drains_until_a_second_signal() -> None:
    engine, port = FakeEngine(), free_port()
    async with running(settings(http={"port": port}, shutdown={"drain_s": 60}), engine) as serving:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await call(http)
            os.kill(os.getpid(), signal.SIGTERM)
            while (ready := await http.get("/ready")).status_code == 200:
                pass
            assert ready.json()["detail"] == "the state is draining"
            assert (await http.post("/rooms", headers=BEARER)).json()["code"] == "closing"
            called_off = await http.delete("/drain", headers=BEARER)
            assert (called_off.status_code, called_off.json()["code"]) == (409, "drain_final")
            assert not engine.rooms[0].closed
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 5)
    assert engine.rooms[0].closed


async def test_a_drain_that_a_signal_began_is_over_when_the_last_call_has_ended() -> None:
    engine, port = FakeEngine(), free_port()
    async with running(settings(http={"port": port}, shutdown={"drain_s": 60}), engine) as serving:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await call(http)
            os.kill(os.getpid(), signal.SIGTERM)
            while (await http.get("/ready")).status_code == 200:
                pass
            await engine.happened.put(PeerGone(peer=engine.peers()[0].id, reason="closed"))
        await asyncio.wait_for(serving, 15)
    assert engine.closed


async def test_a_signal_leaves_the_calls_of_an_engine_that_goes_on_and_a_drain_ends_them() -> None:
    for begin, ended in ((False, False), (True, True)):
        engine, port = FakeEngine(), free_port()
        engine.stays = True
        async with running(settings(http={"port": port}, shutdown={"drain_s": 60}), engine) as serving:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                await call(http)
                if begin:
                    await http.post("/drain", json={"deadline_s": 0}, headers=BEARER)
                else:
                    os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(serving, 15)
        assert engine.rooms[0].closed is ended
        assert engine.closed


async def test_a_signal_shortens_a_drain_that_was_asked_for_and_does_not_lengthen_it() -> None:
    engine, port = FakeEngine(), free_port()
    async with running(settings(http={"port": port}, shutdown={"drain_s": 60}), engine) as serving:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await call(http)
            for seconds, left in ((600, 600), (300, 300), (900, 900)):
                asked = await http.post("/drain", json={"deadline_s": seconds}, headers=BEARER)
                assert asked.json() == {"draining": True, "seconds_left": left, "calls_left": 1}
            os.kill(os.getpid(), signal.SIGTERM)
            while (state := (await http.get("/drain", headers=BEARER)).json())["seconds_left"] > 60:
                pass
            assert state["draining"]
            asked = await http.post("/drain", json={"deadline_s": 900}, headers=BEARER)
            assert asked.json()["seconds_left"] <= 60
            await http.post("/drain", json={"deadline_s": 0}, headers=BEARER)
        await asyncio.wait_for(serving, 5)


async def test_a_worker_that_hangs_does_not_keep_the_server_from_stopping_and_is_named(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(server, "CLOSE_LIMIT_S", 0.05)
    engine, port = FakeEngine(), free_port()
    engine.hangs = [1]
    started = asyncio.Event()
    serving = asyncio.ensure_future(
        server.serve(settings(http={"port": port}), lambda _: engine, on_start=lambda _: started.set())
    )
    await started.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        await http.post("/rooms", headers=BEARER)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(server.WorkerHungError, match=r"media worker 1 hung"):
        await asyncio.wait_for(serving, 10)
    assert engine.closed
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines() if "worker hangs" in line]
    assert (line["worker"], line["level"]) == (1, "error")


async def test_a_client_that_leaves_a_connection_open_without_a_request_does_not_hold_up_the_stop(
    tmp_path: Path,
) -> None:
    port = free_port()
    certificate, key = make_trial_certificate(tmp_path, [ip_address("127.0.0.1")])
    context = ssl.create_default_context(cafile=certificate)

    def asked() -> ssl.SSLSocket:
        """Asks once and reads nothing more, as the pool of an administrating system does: no goodbye either."""
        opened = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")
        opened.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert opened.recv(12) == b"HTTP/1.1 200"
        return opened

    https = {"port": port, "certificate": certificate, "key": key}
    async with running(settings(http=https, shutdown={"grace_s": 600}), FakeEngine()) as serving:
        with await asyncio.to_thread(asked):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(serving, 20)  # TLS itself would have waited for 30 s


async def test_a_failing_part_ends_the_server_and_leaves_nothing_running() -> None:
    class Failing(FakeEngine):
        async def events(self) -> AsyncIterator[MediaEvent]:
            if self.rooms == []:
                raise RuntimeError("the reader broke")
            yield RoomGone(media_room="none")

    engine = Failing()
    with pytest.raises(ExceptionGroup) as caught:
        await server.serve(settings(http={"port": free_port()}), lambda _: engine)
    assert caught.group_contains(RuntimeError)
    assert engine.closed


async def test_a_failing_part_ends_the_server_although_what_an_event_ends_hangs() -> None:
    class Failing(FakeEngine):
        async def events(self) -> AsyncIterator[MediaEvent]:
            yield await self.happened.get()
            await self.failing.wait()
            raise RuntimeError("the reader broke")

    engine, port, started = Failing(), free_port(), asyncio.Event()
    engine.hangs, engine.failing = [1], asyncio.Event()
    serving = asyncio.ensure_future(
        server.serve(settings(http={"port": port}), lambda _: engine, on_start=lambda _: started.set())
    )
    await started.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        room = (await http.post("/rooms", headers=BEARER)).json()["room"]
        token = (await http.post(f"/rooms/{room}/tokens", headers=BEARER)).json()["token"]
        bearer = {"Authorization": f"Bearer {token}", **SDP}
        assert (await http.post(f"/whip/{room}", content=offer(), headers=bearer)).status_code == 201
    (peer,) = engine.peers()
    peer.held = asyncio.Event()
    engine.happened.put_nowait(PeerGone(peer=peer.id, reason="ice"))
    async with asyncio.timeout(10):
        while not peer.leaving:  # what the event ends has begun to end then  # noqa: ASYNC110
            await asyncio.sleep(0)
    engine.failing.set()
    await asyncio.wait([serving], timeout=3)
    assert serving.done()
    with pytest.raises(ExceptionGroup) as caught:
        await serving
    assert caught.group_contains(RuntimeError)
    assert engine.closed
