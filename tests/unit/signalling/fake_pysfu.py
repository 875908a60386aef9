"""pysfu's public names, in memory, with the shapes that `signalling/pysfu_engine.py` relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Self

from signalling.figures import COUNTERS, DROPS, HISTOGRAMS, RIM
from signalling.media import CREATE_TIMEOUT, FIGURES_TIMEOUT


class PysfuError(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Config:
    bind: tuple[str, ...]
    port: int
    workers: int
    pin: bool
    announce: tuple[str, ...]
    max_dtls_version: str
    aead_only: bool


@dataclass(frozen=True, kw_only=True)
class MediaProcess:
    socket: Path
    spawn: bool
    orphan_limit: timedelta
    user: str


@dataclass(frozen=True)
class TransportConnected:
    transport: SimpleNamespace
    srtp_profile: str = "AEAD_AES_256_GCM"
    dtls_version: str = "1.2"


@dataclass(frozen=True)
class TransportReconnected:
    transport: SimpleNamespace


@dataclass(frozen=True)
class WorkerFailed:
    worker: int


@dataclass(frozen=True)
class Warned:
    warning: SimpleNamespace


@dataclass(frozen=True)
class TransportFailed:
    transport: SimpleNamespace
    reason: str = "ice"


@dataclass(frozen=True)
class TransportClosed:
    transport: SimpleNamespace


@dataclass(frozen=True)
class RoomFailed:
    room: SimpleNamespace


@dataclass(frozen=True)
class Resynced:
    pass


@dataclass(frozen=True)
class EngineLost:
    reason: str = "it has ended"
    pause: timedelta = timedelta(0)


@dataclass(frozen=True)
class EngineNotStarted:
    reason: str = "no"
    pause: timedelta = timedelta(seconds=1)


@dataclass(frozen=True)
class EngineRestarted:
    cause: str | None = "was ended by signal 9"


@dataclass(frozen=True)
class EngineTakenOver:
    pass


events = SimpleNamespace(
    EngineLost=EngineLost,
    EngineNotStarted=EngineNotStarted,
    EngineRestarted=EngineRestarted,
    EngineTakenOver=EngineTakenOver,
    TransportConnected=TransportConnected,
    TransportReconnected=TransportReconnected,
    TransportFailed=TransportFailed,
    WorkerFailed=WorkerFailed,
    Warned=Warned,
    TransportClosed=TransportClosed,
    RoomFailed=RoomFailed,
    Resynced=Resynced,
)


def transport_of(participant: str) -> SimpleNamespace:
    return SimpleNamespace(participant=SimpleNamespace(id=participant))


@dataclass(frozen=True)
class Track:
    id: str
    kind: str


PUBLISHED = (Track("track-7", "audio"), Track("track-8", "video"))


@dataclass
class Transport:
    sdp: str
    tracks: list[Track]

    async def restart(self, offer: str) -> str:
        self.sdp = f"restarted {offer}"
        return self.sdp


@dataclass
class Participant:
    id: str
    transports: list[SimpleNamespace] = field(default_factory=list)
    allowed: list[Track] = field(default_factory=list)
    gone: bool = False

    async def answer(
        self, offer: str, *, publish: Collection[str], play: Sequence[Track], start_bitrate_bps: int | None
    ) -> Transport:
        if "v=0" not in offer:
            raise PysfuError("invalid_sdp", "line 1 is not v=0")
        return Transport(
            f"answer to {offer}, from {start_bitrate_bps}",
            [track for track in PUBLISHED if track.kind in publish] if publish else list(play),
        )

    async def allow(self, track: Track) -> None:
        self.allowed.append(track)

    async def remove(self) -> None:
        self.gone = True


@dataclass
class Room:
    id: str
    participants: list[Participant] = field(default_factory=list)
    full: bool = False
    worker: int = 0

    async def add_participant(self) -> Participant:
        if self.full:
            raise PysfuError("full", "the engine is full: peers per room")
        self.participants.append(Participant(f"participant-{len(self.participants)}"))
        return self.participants[-1]

    async def close(self) -> None:
        self.full = True


class Sfu:
    made: ClassVar[list[Sfu]] = []

    def __init__(self, config: Config, *, process: MediaProcess | None = None) -> None:
        self.config = config
        self.process = process
        self.rooms: list[Room] = []
        self.open = False
        self.made.append(self)
        self.answers: list[SimpleNamespace | None] = [figures(1), figures(2)]
        self.warnings = [SimpleNamespace(code="no_segmentation", remedy=None, worker=None, figures={})]
        self.addresses = [[f"192.0.2.1:{config.port + worker}"] for worker in range(config.workers)]

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False

    async def create_room(self, *, avoid: Collection[int], timeout: timedelta) -> Room:
        assert timeout == CREATE_TIMEOUT
        if not self.open or 0 in avoid:
            raise PysfuError("unavailable")
        self.rooms.append(Room(f"room-{len(self.rooms)}"))
        return self.rooms[-1]

    async def events(self) -> AsyncIterator[object]:
        for event in (
            TransportConnected(transport_of("participant-1")),
            object(),
            TransportFailed(transport_of("participant-2")),
            TransportClosed(transport_of("participant-3")),
            RoomFailed(SimpleNamespace(id="room-4")),
            TransportReconnected(transport_of("participant-5")),
            WorkerFailed(1),
            Warned(SimpleNamespace(code="receive_failed", remedy=None, worker=1, figures={"errno": 5})),
            Resynced(),
            EngineLost(),
            EngineNotStarted(),
            EngineRestarted(),
            EngineTakenOver(),
        ):
            yield event

    async def stats(self, *, timeout: timedelta) -> Stats:
        assert timeout == FIGURES_TIMEOUT
        return Stats(*self.answers)

    def counters(self) -> list[SimpleNamespace]:
        return [RIM_FIGURES, SimpleNamespace(turns=7, failed=1)]


def figures(value: int) -> SimpleNamespace:
    histogram = SimpleNamespace(bounds=[0.1], counts=[value, 1], sum=0.5)
    return SimpleNamespace(
        **dict.fromkeys(("rooms", "peers", "connected_peers", "handshakes", "tracks", "edges", *COUNTERS), value),
        drops=SimpleNamespace(**dict.fromkeys(DROPS, 9)),
        quality=SimpleNamespace(**dict.fromkeys(HISTOGRAMS, histogram)),
    )


HANDED_OVER = SimpleNamespace(bounds=[0.1], counts=[4, 0], sum=0.25)
RIM_FIGURES = SimpleNamespace(**dict.fromkeys(RIM, 5), turns=6, failed=0, forward_s=HANDED_OVER)


class Stats:
    def __init__(self, *engines: SimpleNamespace | None) -> None:
        self.workers = [SimpleNamespace(engine=engine, rim=RIM_FIGURES) for engine in engines]
