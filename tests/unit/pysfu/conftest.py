"""Both event loops, a stand-in for the compiled engine, and where a media process of a test is reached."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import uvloop
from fake_core import FakeCore

from pysfu import MediaProcess, _compiled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[FakeCore]:
    """The engines made so far, in order."""
    made: list[FakeCore] = []

    def make(config: bytes) -> FakeCore:
        made.append(FakeCore(config))
        return made[-1]

    monkeypatch.setattr(_compiled._core, "Core", make)
    return made


@pytest.fixture
def process(tmp_path: Path) -> MediaProcess:
    return MediaProcess(socket=tmp_path / "m.sock", orphan_limit=timedelta(seconds=20))
