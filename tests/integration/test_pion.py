"""pion (Go: its own ICE, DTLS 1.2 and SRTP) publishes by WHIP and plays itself by WHEP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from callers import HANG_S, Meeting

SOURCE = Path(__file__).parent / "pion"


@pytest.fixture(scope="module")
def pion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    assert go is not None, "this test needs Go 1.24 or newer: https://go.dev/dl"
    program = tmp_path_factory.mktemp("pion") / "pion"
    subprocess.run([go, "build", "-mod=readonly", "-o", program, "."], cwd=SOURCE, check=True)
    return program


@pytest.mark.long
async def test_pion_gets_back_what_it_published_without_a_gap(room: Meeting, pion: Path) -> None:
    environment = os.environ | {
        "WHIP_URL": str(room.http.base_url.join(f"/whip/{room.room}")),
        "WHIP_TOKEN": await room.token("publisher"),
        "WHEP_TOKEN": await room.token("subscriber"),
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(pion, env=environment, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(2 * HANG_S):
        said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    without_fault = {"packets": 100, "gaps": 0, "disorder": 0}
    assert json.loads(said) == {"video": without_fault, "audio": without_fault}
