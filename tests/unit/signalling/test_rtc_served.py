"""The whole server on loopback: clients on lines, whose meetings are real; only the media engine is in memory."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest
from conftest import ADMIN
from fake_engine import FakeEngine
from lines import HANG_S, all_told, told
from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest, Ping, SignalRequest
from ports import free_port
from running import running, settings
from websockets.asyncio.client import connect

BEARER = {"Authorization": f"Bearer {ADMIN}"}
ASKED = SignalRequest(ping_req=Ping(timestamp=7)).SerializeToString()


async def address(port: int) -> str:
    """Makes a room, and returns where somebody may join it."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        room = (await http.post("/rooms", headers=BEARER)).json()["room"]
        wanted = {"participant": "alice"}
        token = (await http.post(f"/rooms/{room}/tokens", json=wanted, headers=BEARER)).json()["token"]
        assert (await http.get("/rtc/validate", params={"access_token": token})).text == "success"
    return f"ws://127.0.0.1:{port}/rtc?access_token={token}&protocol=16&sdk=python"


@pytest.mark.parametrize("reconnect", [True, False])
async def test_whoever_is_in_a_meeting_is_told_that_the_server_stops_before_the_line_ends(reconnect: bool) -> None:
    port = free_port()
    stops = {"reconnect": reconnect}
    async with running(settings(http={"port": port}, shutdown=stops), FakeEngine()) as serving:
        async with connect(await address(port), ping_interval=None, compression=None, proxy=None) as client:
            assert (await told(client)).join.participant.identity == "alice"
            await client.send(ASKED)
            while not (await told(client)).HasField("pong_resp"):
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            said = await all_told(client)
        async with asyncio.timeout(HANG_S):
            await serving
    assert said[-1].leave.reason == DisconnectReason.SERVER_SHUTDOWN
    assert said[-1].leave.action == (LeaveRequest.Action.RECONNECT if reconnect else LeaveRequest.Action.DISCONNECT)
