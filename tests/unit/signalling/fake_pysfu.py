"""pysfu's public names, in memory, with the shapes that `signalling/pysfu_engine.py` relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Self

from pysfu import events  # what tells of something is the real thing, so that none can be missing here
from pysfu.messages import PeerFigures
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
    room_spread_over: int
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


def transport_of(participant: str) -> SimpleNamespace:
    return SimpleNamespace(participant=SimpleNamespace(id=participant))


@dataclass(frozen=True)
class Track:
    id: str
    kind: str
    mid: str = ""
    stalled: bool = False
    stalled_at: dict[Transport, str] = field(default_factory=dict, compare=False)


MAX_NOTE_BYTES = 9


def checked(note: bytes) -> bytes:
    if len(note) > MAX_NOTE_BYTES:
        raise ValueError(f"a note has at most {MAX_NOTE_BYTES} bytes")
    return note


PUBLISHED = (Track("track-7", "audio", "0"), Track("track-8", "video", "1"))


@dataclass(eq=False)
class Transport:
    sdp: str
    tracks: list[Track]
    playing: dict[str, Track] = field(default_factory=dict)
    counted: PeerFigures | None = None

    async def stats(self) -> PeerFigures:
        if self.counted is None:
            raise PysfuError("unknown_peer")
        return self.counted

    async def restart(self, offer: str) -> str:
        self.sdp = f"restarted {offer}"
        return self.sdp


@dataclass
class Participant:
    id: str
    transports: list[SimpleNamespace] = field(default_factory=list)
    allowed: list[Track] = field(default_factory=list)
    gone: bool = False
    note: bytes = b""

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

    def keep(self, note: bytes) -> None:
        self.note = checked(note)

    async def remove(self) -> None:
        self.gone = True


def event_of(kind: type, **fields: object) -> object:
    """Makes an event around objects that stand for pysfu's."""
    return kind(**fields)


EVENTS = (
    event_of(
        events.TransportConnected,
        transport=transport_of("participant-1"),
        srtp_profile="AEAD_AES_256_GCM",
        dtls_version="1.2",
    ),
    event_of(events.TransportDisconnected, transport=transport_of("participant-1")),
    event_of(events.TransportFailed, transport=transport_of("participant-2"), reason="ice"),
    event_of(events.TransportClosed, transport=transport_of("participant-3")),
    event_of(events.TrackStarted, track=PUBLISHED[0], codec="opus"),
    event_of(events.TrackStalled, track=PUBLISHED[0], stalled=True),
    event_of(events.SubscriptionStalled, subscriber=transport_of("participant-1"), track=PUBLISHED[0], cause=None),
    event_of(events.RosterChanged, room=None, listeners=()),
    event_of(events.SpeakersChanged, room=SimpleNamespace(id="room-4"), speakers=(("participant-1", 30),)),
    event_of(events.LayerChanged, subscriber=transport_of("participant-7"), track=PUBLISHED[1], encoding=None),
    event_of(events.DataReceived, transport=transport_of("participant-8"), label="l", payload=b"p", binary=True),
    event_of(events.RoomFailed, room=SimpleNamespace(id="room-4")),
    event_of(events.TransportReconnected, transport=transport_of("participant-5")),
    event_of(events.WorkerFailed, worker=1),
    event_of(
        events.Warned,
        warning=SimpleNamespace(code="receive_failed", remedy=None, worker=1, figures={"errno": 5}),
    ),
    event_of(events.Resynced),
    event_of(events.EngineLost, reason="it has ended", pause=timedelta(0)),
    event_of(events.EngineNotStarted, reason="no", pause=timedelta(seconds=1)),
    event_of(events.EngineRestarted, cause="was ended by signal 9"),
    event_of(events.EngineTakenOver),
)


@dataclass
class Room:
    id: str
    participants: list[Participant] = field(default_factory=list)
    full: bool = False
    avoided: frozenset[int] = frozenset()
    worker: int = 0
    workers: tuple[int, ...] = (0,)
    note: bytes = b""

    async def add_participant(self, *, avoid: Collection[int]) -> Participant:
        self.avoided = frozenset(avoid)
        if self.full:
            raise PysfuError("full", "the engine is full: peers per room")
        self.participants.append(Participant(f"participant-{len(self.participants)}"))
        return self.participants[-1]

    def keep(self, note: bytes) -> None:
        self.note = checked(note)

    async def close(self) -> None:
        self.full = True


class Sfu:
    made: ClassVar[list[Sfu]] = []

    def __init__(self, config: Config, *, process: MediaProcess | None = None) -> None:
        self.config = config
        self.process = process
        self.rooms: list[Room] = []
        self.further_rooms = self.relays = 0
        self.open = False
        self.detached = False
        self.ended_rooms: tuple[bytes, ...] = ()
        self.left_behind: tuple[int, ...] = ()
        self.made.append(self)
        self.answers: list[SimpleNamespace | None] = [figures(1), figures(2)]
        self.warnings = [SimpleNamespace(code="no_segmentation", remedy=None, worker=None, figures={})]
        self.addresses = [[f"192.0.2.1:{config.port + worker}"] for worker in range(config.workers)]

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False

    def detach(self) -> None:
        self.detached = True

    async def create_room(self, *, avoid: Collection[int], timeout: timedelta) -> Room:
        assert timeout == CREATE_TIMEOUT
        if not self.open or 0 in avoid:
            raise PysfuError("unavailable")
        self.rooms.append(Room(f"room-{len(self.rooms)}"))
        return self.rooms[-1]

    async def events(self) -> AsyncIterator[object]:
        for event in EVENTS:
            yield event

    async def stats(self, *, timeout: timedelta) -> Stats:
        assert timeout == FIGURES_TIMEOUT
        return Stats(*self.answers, further_rooms=self.further_rooms, relays=self.relays)

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
    def __init__(self, *engines: SimpleNamespace | None, further_rooms: int, relays: int) -> None:
        self.further_rooms = further_rooms
        self.relays = relays
        self.workers = [SimpleNamespace(engine=engine, rim=RIM_FIGURES) for engine in engines]
