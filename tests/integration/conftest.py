"""The server as operators run it, and the engine as developers embed it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from callers import Meeting, meeting
from servers import Server, serving

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
