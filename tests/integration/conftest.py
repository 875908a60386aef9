"""The server as operators run it, and the engine as developers embed it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from callers import Meeting, meeting
from servers import ROOT, Server, serving

import pysfu


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
async def room(server: Server) -> AsyncIterator[Meeting]:
    async with meeting(server.base_url, server.admin_bearer) as made:
        yield made


@pytest.fixture
async def sfu() -> AsyncIterator[pysfu.Sfu]:
    async with pysfu.Sfu(pysfu.Config(bind=("127.0.0.1",))) as running:
        yield running


@pytest.fixture
async def other_room(server: Server) -> AsyncIterator[Meeting]:
    async with meeting(server.base_url, server.admin_bearer) as made:
        yield made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds it as `make wheel` does. That compiles Rust once more, in the release profile."""
    out = tmp_path_factory.mktemp("wheel")
    command = [Path(sys.executable).with_name("maturin"), "build", "--release", "--quiet", "--out", out]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"VIRTUAL_ENV": sys.prefix})
    (built,) = out.glob("*.whl")
    return built
