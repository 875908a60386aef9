"""Both event loops, and a stand-in for the compiled engine."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from fake_core import FakeCore

from pysfu import _bridge


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[FakeCore]:
    """The engines made so far, in order."""
    made: list[FakeCore] = []

    def make(config: bytes) -> FakeCore:
        made.append(FakeCore(config))
        return made[-1]

    monkeypatch.setattr(_bridge._core, "Core", make)
    return made
