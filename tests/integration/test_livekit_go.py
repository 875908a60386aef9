"""LiveKit's SDK for Go, many in one room: which tracks arrive, and whether all of each does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from callers import HANG_S
from servers import Server, serving

pytestmark = pytest.mark.long

SOURCE = Path(__file__).parents[2] / "bench" / "load" / "livekit_go"
SECONDS = 5
# Pion's sockets have the kernel's small buffers: while the machine is busy they overflow at the clients.
MOST_LOST = 0.05


@pytest.fixture(scope="module")
def go() -> str:
    found = shutil.which("go")
    assert found is not None, "this test needs Go 1.26 or newer: https://go.dev/dl"
    return found


@pytest.fixture(scope="module")
def clients(go: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("livekit_go") / "clients"
    subprocess.run([go, "build", "-mod=readonly", "-o", program, "."], cwd=SOURCE, check=True)
    return program


@pytest.fixture(scope="module")
def large_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose rooms take more people than they do by default."""
    environment = os.environ | {"PYSFU_ROOMS__MAX_PARTICIPANTS": "200"}
    with serving(tmp_path_factory.mktemp("large"), environment=environment) as running:
        yield running


def test_the_clients_count_what_comes_and_what_does_not(go: str) -> None:
    subprocess.run([go, "test", "-mod=readonly", "./..."], cwd=SOURCE, check=True)


@pytest.mark.parametrize(
    ("kind", "publishers", "listeners"), [("audio", 1, 100), ("video", 1, 50), ("video", 8, 0)], ids=str
)
async def test_every_track_reaches_everybody_and_hardly_anything_of_it_is_lost(
    large_server: Server, clients: Path, kind: str, publishers: int, listeners: int
) -> None:
    tokens = await _tokens(large_server, publishers + listeners)
    asked = {
        "url": large_server.base_url,
        "publishers": tokens[:publishers],
        "listeners": tokens[publishers:],
        "kind": kind,
        "seconds": SECONDS,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(clients, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(2 * HANG_S):
        said, complaint = await process.communicate(json.dumps(asked).encode())
    assert process.returncode == 0, complaint.decode()
    report = json.loads(said)
    assert report["got"] == report["expected"] == publishers * (publishers - 1 + listeners)
    assert report["packets"] > report["expected"] * SECONDS * 20
    assert report["lost"] <= MOST_LOST * report["packets"]


async def _tokens(server: Server, count: int) -> list[str]:
    admin = {"Authorization": f"Bearer {server.admin_bearer}"}
    async with httpx.AsyncClient(base_url=server.base_url, headers=admin, trust_env=False) as http:
        made = await http.post("/rooms", json={"max_participants": count})
        assert made.status_code == 201, made.text
        minted = [await http.post(f"/rooms/{made.json()['room']}/tokens", json={}) for _ in range(count)]
    return [str(each.json()["token"]) for each in minted]
