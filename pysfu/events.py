"""What happens in an Sfu, and the bounded queues in which readers wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Self

    from pysfu.messages import Codec, FailReason, StallCause
    from pysfu.room import Room
    from pysfu.track import Track
    from pysfu.transport import Transport
    from pysfu.warning import EngineWarning

MAX_WAITING_EVENTS = 1_024
"""Most events that wait for a reader who does not say otherwise: a full room that joins at once."""

MAX_WAITING_MESSAGES = 8_192
"""Most messages of data channels that wait beside them: as many as wait in the ring of a worker. The engine slows each
peer down that says more than 64 KiB a second, so that only a reader that stands still loses any."""

MAX_WAITING_MESSAGE_BYTES = 8 << 20
"""Most bytes of those messages, likewise."""

READ_AT_ONCE = 64
"""Events that a reader gets before everybody else has a turn: with what is done for each, some milliseconds."""

logger = logging.getLogger("pysfu")


@dataclass(frozen=True, slots=True)
class TransportConnected:
    """Media can flow."""

    transport: Transport
    srtp_profile: str
    dtls_version: str


@dataclass(frozen=True, slots=True)
class TransportDisconnected:
    """Nothing was heard for a while; it may come back by itself."""

    transport: Transport


@dataclass(frozen=True, slots=True)
class TransportReconnected:
    """It came back."""

    transport: Transport


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """It cannot come back without a new negotiation."""

    transport: Transport
    reason: FailReason


@dataclass(frozen=True, slots=True)
class TransportClosed:
    """The other end closed it."""

    transport: Transport


@dataclass(frozen=True, slots=True)
class TrackStarted:
    """The first packet of a track arrived."""

    track: Track
    codec: Codec


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """Who can hear or see anything in a room; there is no hidden listener."""

    room: Room
    listeners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Who speaks, loudest first, each with a level in -dBov: 0 is loudest, 127 silence."""

    room: Room
    speakers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LayerChanged:
    """Which encoding of a track a subscriber gets; None while paused for lack of bandwidth."""

    subscriber: Transport
    track: Track
    encoding: int | None


@dataclass(frozen=True, slots=True)
class TrackStalled:
    """Nothing comes of a track although it should, or something does again.

    Told within 2.5 s of the last packet. The latest wins where a reader is slow; `Track.stalled` says how it is now.
    """

    track: Track
    stalled: bool


@dataclass(frozen=True, slots=True)
class SubscriptionStalled:
    """Nothing of a track goes out to a subscriber although it should, or something does again.

    The latest wins where a reader is slow; `Track.stalled_at` says how it is now.

    Attributes:
        cause: None when something goes out, or nothing is owed any more.
    """

    subscriber: Transport
    track: Track
    cause: StallCause | None


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A message came on a data channel."""

    transport: Transport
    label: str
    payload: bytes
    binary: bool


@dataclass(frozen=True, slots=True)
class RoomFailed:
    """A bug ended this room; the others go on."""

    room: Room


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A bug ended a worker with its rooms, each of which is told too; new rooms are placed on the others."""

    worker: int


@dataclass(frozen=True, slots=True)
class Warned:
    """The engine goes on, but not as well as it could."""

    warning: EngineWarning


@dataclass(frozen=True, slots=True)
class Resynced:
    """Events were lost because they were not read in time; look at `sfu.rooms` afresh.

    What they say is up to date when this is read: it is told only after a snapshot that has all that was lost.
    """


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The media process has ended, with all rooms; a new one is being started.

    Attributes:
        reason: how that was noticed.
        pause: how long the start waits: not at all, unless the ones before it did not last either.
    """

    reason: str
    pause: timedelta


@dataclass(frozen=True, slots=True)
class EngineNotStarted:
    """No media process runs, and another could not be started; that is tried again.

    Attributes:
        reason: why not.
        pause: how long the next try waits.
    """

    reason: str
    pause: timedelta


@dataclass(frozen=True, slots=True)
class EngineRestarted:
    """A new media process runs: rooms can be made again.

    Attributes:
        cause: how the one before ended, where that is known.
    """

    cause: str | None = None


@dataclass(frozen=True, slots=True)
class EngineTakenOver:
    """Another process controls the media process now: nothing can be done from here any more."""


Event = (
    TransportConnected
    | TransportDisconnected
    | TransportReconnected
    | TransportFailed
    | TransportClosed
    | TrackStarted
    | RosterChanged
    | SpeakersChanged
    | LayerChanged
    | TrackStalled
    | SubscriptionStalled
    | DataReceived
    | RoomFailed
    | WorkerFailed
    | Warned
    | Resynced
    | EngineLost
    | EngineNotStarted
    | EngineRestarted
    | EngineTakenOver
)


def _level_key(event: Event) -> tuple[object, ...] | None:
    match event:
        case SpeakersChanged(room=room):
            return ("speakers", room.id)
        case LayerChanged(subscriber=subscriber, track=track):
            return ("layer", subscriber.id, track.id)
        case TrackStalled(track=track):
            return ("track", track.id)
        case SubscriptionStalled(subscriber=subscriber, track=track):
            return ("subscription", subscriber.id, track.id)
        case _:
            return None


class EventQueue:
    """One reader's events, bounded: when it is full, levels are merged and the rest become one `Resynced`.

    What comes after a loss is told: with it a reader that looks at the state as it is then misses nothing. No state is
    left to look at once the engine is lost, which tells all that a `Resynced` before it could.

    Messages of data channels have a bound of their own, so that nobody who says a lot keeps other events out. Beyond
    it they are dropped, as no state tells of them.

    Attributes:
        messages_lost: how many messages were dropped.
    """

    def __init__(self, *, capacity: int) -> None:
        self.messages_lost = 0
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._messages = 0
        self._message_bytes = 0
        self._read = 0
        self._levels: dict[tuple[object, ...], Event] = {}
        self._closed = False
        self._ready = asyncio.Event()

    def put(self, event: Event) -> None:
        """Adds an event; where there is no room, one `Resynced` stands for all before it, and messages are dropped."""
        key = _level_key(event)
        if key is not None:
            # The latest wins, and the number of keys is bounded by rooms and subscriptions.
            self._levels.pop(key, None)
            self._levels[key] = event
            if len(self._levels) > self._capacity:
                self._levels.pop(next(iter(self._levels)))
        elif isinstance(event, DataReceived):
            self._put_message(event)
        else:
            if len(self._events) - self._messages >= self._capacity:
                said = (before for before in self._events if isinstance(before, DataReceived))
                self._events = deque((Resynced(), *said))
            if isinstance(event, EngineLost | EngineRestarted | EngineTakenOver):
                self._events = deque(before for before in self._events if not isinstance(before, Resynced))
            self._events.append(event)
        self._ready.set()

    def close(self) -> None:
        """Ends the reader once it has read what there is."""
        self._closed = True
        self._ready.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._read += 1
        if self._read % READ_AT_ONCE == 0:
            await asyncio.sleep(0)  # thousands may be there already
        while True:
            if self._events:
                return self._take()
            if self._levels:
                return self._levels.pop(next(iter(self._levels)))
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()

    def _put_message(self, message: DataReceived) -> None:
        size = self._message_bytes + len(message.payload)
        if self._messages >= MAX_WAITING_MESSAGES or size > MAX_WAITING_MESSAGE_BYTES:
            if not self.messages_lost:
                logger.warning("messages of data channels are lost: they are not read in time")
            self.messages_lost += 1
            return
        self._messages, self._message_bytes = self._messages + 1, size
        self._events.append(message)

    def _take(self) -> Event:
        event = self._events.popleft()
        if isinstance(event, DataReceived):
            self._messages, self._message_bytes = self._messages - 1, self._message_bytes - len(event.payload)
        return event
