"""The media engine as meetings need it, twice: the real one on a core in memory, and the one that tests stand on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import fake_core
import pytest
from fake_engine import FakeEngine
from fake_peers import FakeTrack, FakeTransport

from pysfu import _compiled, messages
from signalling.media import MediaEngine, MediaPeer, MediaTrack, MediaTransport
from signalling.pysfu_engine import PysfuEngine

offer = fake_core.offer


def named(description: str, mid: str, name: str) -> str:
    """Names what is sent in a section."""
    return description.replace(f"a=mid:{mid}\r\n", f"a=mid:{mid}\r\na=msid:stream {name}\r\n")


def answer(description: str) -> str:
    """Answers an offer of ours: all that is sent in it is taken."""
    sections = re.split(r"(?m)^m=", description)[1:]
    kinds = ["data" if section.startswith("application") else section.split()[0] for section in sections]
    ways = ["recvonly" if "a=sendonly" in section else "inactive" for section in sections]
    return offer(*zip(kinds, ways, strict=True)).replace("actpass", "active")


class World(Protocol):
    """An engine, and what can be seen of it from outside."""

    engine: MediaEngine

    def edges(self) -> set[tuple[str, str]]:
        """Who may receive which track."""

    def playing(self, transport: MediaTransport) -> dict[str, str]:
        """What each section carries."""

    def messages(self, transport: MediaTransport) -> list[bytes]:
        """What has left for the other end."""

    def fill(self, transport: MediaTransport) -> None:
        """Has as much wait there as may."""

    def hide_keyframes(self, track: MediaTrack) -> None:
        """Has a track hide its keyframes."""


class OnCore:
    """The real one."""

    def __init__(self, engine: PysfuEngine) -> None:
        self.engine = engine
        self.sfu: Any = engine._sfu
        self.core: fake_core.FakeCore = self.sfu._bridge.core._core

    def edges(self) -> set[tuple[str, str]]:
        transports = {key: each for room in self.sfu.rooms for key, each in room.transports.items()}
        tracks = {key: each for room in self.sfu.rooms for key, each in room.tracks.items()}
        return {
            (transports[worker, subscriber].participant.id, tracks[worker, track].id)
            for worker, track, subscriber in self.core.edges
        }

    def playing(self, transport: Any) -> dict[str, str]:
        return {mid: track.id for mid, track in transport.inner.playing.items()}

    def messages(self, transport: Any) -> list[bytes]:
        return [said.payload for said in self.core.said if said.peer == transport.inner.number]

    def fill(self, transport: MediaTransport) -> None:
        self.core.refuse[messages.SendData] = {"full": "data_buffer"}

    def hide_keyframes(self, track: MediaTrack) -> None:
        self.core.refuse[messages.LimitLayer] = "encoding_held"


class InMemory:
    """The other one."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine: Any = engine

    def edges(self) -> set[tuple[str, str]]:
        return set(self.engine.edges())

    def playing(self, transport: MediaTransport) -> dict[str, str]:
        assert isinstance(transport, FakeTransport)
        return {mid: track.id for mid, track in transport.playing.items()}

    def messages(self, transport: MediaTransport) -> list[bytes]:
        assert isinstance(transport, FakeTransport)
        return [message.payload for message in transport.messages]

    def fill(self, transport: MediaTransport) -> None:
        assert isinstance(transport, FakeTransport)
        transport.full = True

    def hide_keyframes(self, track: MediaTrack) -> None:
        assert isinstance(track, FakeTrack)
        track.holds = True


@asynccontextmanager
async def real_world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OnCore]:
    monkeypatch.setattr(_compiled._core, "Core", fake_core.FakeCore)
    async with PysfuEngine(host="127.0.0.1", port=7882, workers=2, announced_addresses=[]) as engine:
        yield OnCore(engine)


@asynccontextmanager
async def world_in_memory() -> AsyncIterator[InMemory]:
    async with FakeEngine() as engine:
        yield InMemory(engine)


async def speaker(peer: MediaPeer, *kinds: str) -> tuple[MediaTransport, list[MediaTrack]]:
    """Takes somebody in, and publishes all that they send."""
    taken = await peer.take(offer(*((kind, "sendonly") for kind in kinds), ("data", "")), kinds=("audio", "video"))
    tracks = [await taken.publish(section.mid, shows=None, encrypted=False) for section in taken.sent]
    return taken, tracks


async def listener(peer: MediaPeer, *tracks: MediaTrack) -> MediaTransport:
    """Offers somebody tracks, who takes them."""
    offered = await peer.offer(tracks)
    return await offered.accept(answer(offered.sdp))
