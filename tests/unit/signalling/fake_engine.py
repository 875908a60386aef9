"""A media engine in memory, for tests of everything around it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from signalling.domain.flow import Reading
from signalling.domain.heartbeat import Beat
from signalling.figures import HISTOGRAMS, RIM, RIM_HISTOGRAMS, Histogram, MediaFigures, MediaWarning
from signalling.media import (
    EngineFullError,
    EngineUnavailableError,
    InvalidOfferError,
    MediaGoneError,
    MediaKind,
    MediaRoomGoneError,
    MediaTrack,
    ResumedRoom,
)
from signalling.media_events import MediaEvent, RoomGone

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


def answer_to(offer: str, generation: int) -> str:
    sections = [line for line in offer.splitlines() if line.startswith("m=")]
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=ice-ufrag:fake{generation}", f"a=ice-pwd:{'s' * 24}"]
    body = [
        f"{section}\r\na=mid:{at}\r\na=candidate:1 1 udp 1 127.0.0.1 7882 typ host"
        for at, section in enumerate(sections)
    ]
    return "\r\n".join([*head, *body]) + "\r\n"


def sent_in(offer: str) -> list[MediaKind]:
    """Lists of what the other end sends, as the engine reads it: the last direction counts, blanks behind it do not."""
    session, *sections = offer.split("\r\nm=")
    kinds: list[MediaKind] = ["audio" if section.startswith("audio") else "video" for section in sections]
    shared = direction_in(session, otherwise="sendrecv")
    ways = [direction_in(section, otherwise=shared) for section in sections]
    return [kind for kind, way in zip(kinds, ways, strict=True) if way in ("sendonly", "sendrecv")]


def direction_in(part: str, *, otherwise: str) -> str:
    lines = [line.rstrip().removeprefix("a=") for line in part.splitlines()]
    return next((line for line in reversed(lines) if line in DIRECTIONS), otherwise)


@dataclass(frozen=True)
class FakeTrack:
    id: str
    kind: MediaKind


@dataclass
class FakeTransport:
    sdp: str
    peer: FakePeer
    tracks: list[FakeTrack] = field(default_factory=list)
    generation: int = 1
    restarted_with: str | None = None

    async def reading(self) -> Reading:
        await asyncio.sleep(0)
        if self.peer.engine.unavailable:
            raise EngineUnavailableError
        return self.peer.reading

    async def restart(self, offer: str) -> str:
        await self.peer.engine.pause()
        if self.peer.removed:
            raise MediaGoneError("there is no such peer")
        self.restarted_with = offer
        self.generation += 1
        self.sdp = answer_to(offer, self.generation)
        return self.sdp


@dataclass
class FakePeer:
    id: str
    engine: FakeEngine
    tracks: list[FakeTrack] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    removed: bool = False
    held: asyncio.Event | None = None
    leaving: bool = False
    note: bytes = b""
    reading: Reading = field(default_factory=Reading)

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> FakeTransport:
        await self.engine.pause()
        if "a=unanswerable" in offer:
            raise InvalidOfferError("no codec in common in the media section 0")
        self.engine.played[self.id] = [track.id for track in play]
        self.tracks = [FakeTrack(f"{self.id}-{kind}", kind) for kind in sent_in(offer) if kind in publish]
        return FakeTransport(answer_to(offer, 1), self, list(self.tracks))

    async def allow(self, track: MediaTrack) -> None:
        await self.engine.pause()
        if self.removed or track.id not in self.engine.live_tracks():
            raise MediaGoneError("there is no such track")
        self.edges.append(track.id)

    def keep(self, note: bytes) -> None:
        self.note = note

    async def remove(self) -> None:
        self.leaving = True
        await asyncio.sleep(0)
        for held in filter(None, (self.held, self.engine.held)):
            await held.wait()
        if self.engine.unavailable:
            raise EngineUnavailableError
        self.removed = True
        self.edges.clear()
        self.tracks.clear()


@dataclass
class FakeRoom:
    id: str
    engine: FakeEngine
    worker: int = 0
    peers: list[FakePeer] = field(default_factory=list)
    closed: bool = False
    note: bytes = b""
    grown_to: tuple[int, ...] = ()
    avoided: list[frozenset[int]] = field(default_factory=list)

    @property
    def workers(self) -> tuple[int, ...]:
        return (self.worker, *self.grown_to)

    async def add_participant(self, *, avoid: Collection[int]) -> FakePeer:
        self.avoided.append(frozenset(avoid))
        if self.closed:
            raise MediaRoomGoneError("there is no such room")
        if self.engine.full:
            raise EngineFullError
        peer = FakePeer(f"peer{next(self.engine.numbers)}", self.engine)
        self.peers.append(peer)
        return peer

    def keep(self, note: bytes) -> None:
        self.note = note

    async def close(self) -> None:
        if self.engine.unavailable:
            raise EngineUnavailableError
        self.closed, self.note = True, b""
        if self.engine.hangs:
            await self.engine.stopped.wait()
            raise EngineUnavailableError
        for peer in self.peers:
            await peer.remove()


class FakeEngine:
    def __init__(self) -> None:
        self.rooms: list[FakeRoom] = []
        self.numbers = itertools.count(1)
        self.played: dict[str, list[str]] = {}
        self.full = False
        self.unavailable = False
        self.happened: asyncio.Queue[MediaEvent] = asyncio.Queue()
        self.closed = False
        self.hung = False
        self.avoided: list[frozenset[int]] = []
        self.held: asyncio.Event | None = None
        self.creating: asyncio.Event | None = None
        self.hangs: list[int] = []
        self.stopped = asyncio.Event()
        self.workers = [Beat(turns=0)]
        self.warned: list[MediaWarning] = []
        self.found: list[ResumedRoom] = []
        self.lost: list[bytes] = []
        self.stays = False
        self.at_pause: Callable[[], None] | None = None

    async def pause(self) -> None:
        """A point at which the real engine waits; a test may let something else happen there."""
        if self.at_pause is not None:
            self.at_pause()
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(0)

    async def create_room(self, *, avoid: Collection[int] = ()) -> FakeRoom:
        self.avoided.append(frozenset(avoid))
        if self.unavailable:
            raise EngineUnavailableError
        if self.creating is not None:
            await self.creating.wait()
        worker = next((number for number in range(len(self.workers)) if number not in avoid), 0)
        room = FakeRoom(f"media{next(self.numbers)}", self, worker)
        self.rooms.append(room)
        return room

    def break_room(self, room: FakeRoom) -> RoomGone:
        """Ends a room as a fault of the engine does, and returns what it tells then."""
        room.closed = True
        for peer in room.peers:
            peer.removed = True
            peer.tracks.clear()
        return RoomGone(media_room=room.id)

    async def events(self) -> AsyncIterator[MediaEvent]:
        while True:
            yield await self.happened.get()

    @property
    def left_behind(self) -> list[int]:
        return self.hangs if self.closed else []

    def resumed_rooms(self) -> list[ResumedRoom]:
        return self.found

    def ended_rooms(self) -> list[bytes]:
        return self.lost

    @property
    def goes_on(self) -> bool:
        return self.stays

    def beats(self) -> list[Beat]:
        return self.workers

    @property
    def warnings(self) -> list[MediaWarning]:
        return self.warned

    @property
    def addresses(self) -> list[str]:
        return ["192.0.2.1:7882", "[2001:db8::1]:7882"]

    async def figures(self) -> MediaFigures:
        if self.unavailable:
            raise EngineUnavailableError
        if self.hung:
            await asyncio.Event().wait()
        return MediaFigures(
            rooms=len(self.rooms),
            peers=len(self.peers()),
            counters={
                "rtp_packets_in": 7,
                "rtp_packets_out": 21,
                "unauthorized_forwards": 0,
                "stun_replays": 2,
                "relay_packets_out": 5,
            },
            drops={"revoked": 3, "replayed": 1},
            histograms={
                name: Histogram(bounds=(0.1, 1.0), counts=(2, 1, 1), sum=3.5) for name in (*HISTOGRAMS, *RIM_HISTOGRAMS)
            },
            rims=(dict.fromkeys(RIM, 1_000_000) | {"elapsed_us": 4_000_000, "segmentation": 0},),
        )

    def peers(self) -> list[FakePeer]:
        return [peer for room in self.rooms for peer in room.peers if not peer.removed]

    def live_tracks(self) -> set[str]:
        return {track.id for peer in self.peers() for track in peer.tracks}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        self.stopped.set()
