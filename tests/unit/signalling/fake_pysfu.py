"""pysfu's public names, in memory, with the shapes that `signalling/media.py` relies on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar, Self

from signalling.media import COUNTERS, DROPS


class PysfuError(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Config:
    host: str
    port: int
    workers: int
    announced_addresses: tuple[str, ...]


@dataclass(frozen=True)
class PeerConnected:
    peer: int
    srtp_profile: str = "AEAD_AES_256_GCM"
    dtls_version: str = "1.2"


@dataclass(frozen=True)
class PeerFailed:
    peer: int
    reason: str = "ice"


@dataclass(frozen=True)
class PeerClosed:
    peer: int


@dataclass(frozen=True)
class RoomFailed:
    room: int


@dataclass(frozen=True)
class Resync:
    snapshot: SimpleNamespace


@dataclass(frozen=True)
class Track:
    id: int
    kind: str


@dataclass
class Transport:
    sdp: str
    tracks: list[Track]

    async def restart(self, offer: str) -> None:
        self.sdp = f"restarted {offer}"


@dataclass
class Participant:
    id: int
    allowed: list[Track] = field(default_factory=list)
    gone: bool = False

    async def answer(self, offer: str, *, publish: bool, play: Sequence[Track]) -> Transport:
        if "v=0" not in offer:
            raise PysfuError("invalid_sdp", "line 1 is not v=0")
        return Transport(f"answer to {offer}", [Track(7, "audio"), Track(8, "video")] if publish else list(play))

    async def allow(self, track: Track) -> None:
        self.allowed.append(track)

    async def remove(self) -> None:
        if self.gone:
            raise PysfuError("unknown_peer")
        self.gone = True


@dataclass
class Room:
    id: int
    participants: list[Participant] = field(default_factory=list)
    full: bool = False

    async def add_participant(self) -> Participant:
        if self.full:
            raise PysfuError("full", "the engine is full: peers per room")
        self.participants.append(Participant(100 + len(self.participants)))
        return self.participants[-1]

    async def close(self) -> None:
        raise PysfuError("unknown_room")


class Sfu:
    made: ClassVar[list[Sfu]] = []

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rooms: list[Room] = []
        self.open = False
        self.made.append(self)

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False

    async def create_room(self) -> Room:
        if not self.open:
            raise PysfuError("unavailable")
        self.rooms.append(Room(len(self.rooms) + 1))
        return self.rooms[-1]

    async def events(self) -> AsyncIterator[object]:
        for event in (
            PeerConnected(1),
            object(),
            PeerFailed(2),
            PeerClosed(3),
            RoomFailed(4),
            Resync(SimpleNamespace(peers=[SimpleNamespace(peer=5)])),
        ):
            yield event

    async def stats(self) -> SimpleNamespace:
        numbers = itertools.count(1)
        states = {name: next(numbers) for name in ("rooms", "peers", "connected_peers", "tracks", "edges")}
        drops = SimpleNamespace(**dict.fromkeys(DROPS, 9))
        return SimpleNamespace(**states, **dict.fromkeys(COUNTERS, 4), drops=drops)
