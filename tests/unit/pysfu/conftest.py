"""Both event loops, and a stand-in for the compiled engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop
from fake_core import FakeCore

from pysfu import _compiled

if TYPE_CHECKING:
    from collections.abc import Callable


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
