"""A media engine in memory, for tests of everything around it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fake_peers import FakePeer

from signalling.domain.heartbeat import Beat
from signalling.figures import HISTOGRAMS, RIM, RIM_HISTOGRAMS, Histogram, MediaFigures, MediaWarning
from signalling.media import (
    EngineFullError,
    EngineUnavailableError,
    MediaError,
    MediaRoomGoneError,
    ResumedRoom,
)
from signalling.media_events import MediaEvent, RoomGone


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
    """The engine.

    Attributes:
        faults: what is raised when something is asked for, by the name of the method; not by those that WHIP and WHEP
            need, but for `allow`.
        revocations: how many rights were taken away, whether or not they were there.
    """

    def __init__(self) -> None:
        self.faults: dict[str, MediaError] = {}
        self.revocations = 0
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

    async def turn(self, what: str) -> None:
        """The same, at which it may refuse what was asked for."""
        await self.pause()
        if self.unavailable or self.closed:
            raise EngineUnavailableError
        self.refuse(what)

    def refuse(self, what: str) -> None:
        """Raises what that is to raise."""
        if what in self.faults:
            raise self.faults[what]

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
            peer.vanish()
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

    def edges(self) -> set[tuple[str, str]]:
        """Returns who may receive what: participants, each with a track."""
        return {(peer.id, track) for peer in self.peers() for track in peer.edges}

    def data_edges(self) -> set[tuple[str, str]]:
        """Returns who may hear whose messages: participants, each with one who says them."""
        return {(peer.id, publisher) for peer in self.peers() for publisher in peer.data_from}

    def flowing(self) -> set[tuple[str, str]]:
        """Returns what flows of that over offers of ours: it is played, and not muted."""
        played = {
            (peer.id, track.id)
            for peer in self.peers()
            for transport in peer.transports
            for track in transport.playing.values()
            if not track.muted
        }
        return played & self.edges()

    def live_tracks(self) -> set[str]:
        return {track.id for peer in self.peers() for track in peer.tracks}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        self.stopped.set()
