"""Whether what is published arrives, and goes on to whoever plays it: one-way sound, black pictures.

Decided from what tracks and subscriptions count, look after look. A track that was muted owes nothing; one that sends
fewer encodings than it could still flows; a picture that was paused because a downlink carries no more is told apart
from one that does not come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from signalling.domain.ids import TrackId

LOOK_EVERY = timedelta(milliseconds=750)
"""How often somebody looks: seldom enough that many connections can be asked, often enough for `SILENT_AFTER`."""

SILENT_AFTER = timedelta(milliseconds=1_400)
"""Two looks without a packet. Silence has one every 0.4 s (DTX), a picture that stands still one a second; with a look
that has just passed it is noticed 2.25 s after the last packet."""

FIRST_WITHIN = timedelta(milliseconds=2_150)
"""Until the first packet, three looks: a camera that has to warm up takes longer than a gap may last."""

MAX_STEP = timedelta(seconds=1)
"""The most that one look adds: nobody is blamed for one look that came late, as with a machine that was paused."""

VOICES_FORWARDED = 8
"""Beyond so many, a room's quieter voices are left out by intent (`sfu_core/src/engine/room.rs`)."""


_Key = TypeVar("_Key")


class Cause(StrEnum):
    """Why something does not flow. The value is part of the public protocol, and says nothing of anybody."""

    NOTHING_ARRIVES = "nothing_arrives"
    PAUSED = "paused"
    NOT_FORWARDED = "not_forwarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """A track, as its publisher's transport counts it over all encodings."""

    track: TrackId
    kind: str
    packets: int
    muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A subscription, as its subscriber's transport counts it; `paused`: no encoding is chosen for it."""

    track: TrackId
    kind: str
    packets: int
    paused: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How well packets get through.

    Attributes:
        came: how many have come, over all tracks.
        lost: how many have not.
        loss_out: of those sent to it, the part that the other end says it lost lately, of the track that lost most.
        rtt: how long there and back takes; None when that is not known.
    """

    came: int = 0
    lost: int = 0
    loss_out: float = 0.0
    rtt: timedelta | None = None

    def __add__(self, other: Link) -> Link:
        """Returns both together, as long as the longer and as bad as the worse."""
        rtts = [rtt for rtt in (self.rtt, other.rtt) if rtt is not None]
        return Link(
            came=self.came + other.came,
            lost=self.lost + other.lost,
            loss_out=max(self.loss_out, other.loss_out),
            rtt=max(rtts, default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one connection counts now; `connected`: media can flow."""

    connected: bool = False
    link: Link = Link()
    arriving: tuple[Arriving, ...] = ()
    leaving: tuple[Leaving, ...] = ()


Stalled = Mapping[str, Cause]
"""What of a connection does not flow, by kind; empty when all does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """That something has stopped, or, where `lasted` says for how long, flows again or has ended."""

    kind: str
    cause: Cause
    lasted: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one look has shown.

    Attributes:
        changed: the connections whose holders are to be told, and what of them does not flow now.
        stalls: what has begun or ended. A track that does not arrive is one stall, however many play it.
        standing: how many there are now, by kind and cause.
    """

    changed: Mapping[str, Stalled]
    stalls: tuple[Stall, ...]
    standing: Mapping[tuple[str, Cause], int]


@dataclass(slots=True, kw_only=True)
class _Row:
    """What is known of one track, or of one subscription to it."""

    owner: str
    kind: str
    packets: int
    looked: timedelta
    still: timedelta = timedelta(0)
    cause: Cause | None = None
    since: timedelta = timedelta(0)
    moved: bool = field(init=False)

    def __post_init__(self) -> None:
        self.moved = self.packets > 0

    def count(self, packets: int, *, now: timedelta) -> None:
        """Takes in what is counted now."""
        if packets == self.packets:
            self.still += min(now - self.looked, MAX_STEP)
        else:
            self.still, self.moved = timedelta(0), True
        self.packets, self.looked = packets, now

    def forgive(self) -> None:
        """Forgets how long nothing came: nothing was owed."""
        self.still = timedelta(0)

    def owes(self) -> bool:
        """Whether something should have come by now."""
        return self.still >= (SILENT_AFTER if self.moved else FIRST_WITHIN)

    def turn(self, cause: Cause | None, *, now: timedelta) -> list[Stall]:
        """Notes the verdict, and returns what has ended and begun by it."""
        if cause is self.cause:
            return []
        turned = []
        if self.cause is not None:
            turned.append(Stall(kind=self.kind, cause=self.cause, lasted=now - self.since))
        if cause is not None:
            turned.append(Stall(kind=self.kind, cause=cause))
        self.cause, self.since = cause, now - self.still
        return turned


@dataclass(slots=True)
class Flows:
    """What is known of all connections. A subscription is named by its connection and its track."""

    _tracks: dict[TrackId, _Row] = field(default_factory=dict)
    _subscriptions: dict[tuple[str, TrackId], _Row] = field(default_factory=dict)
    _told: dict[str, Stalled] = field(default_factory=dict)

    def observe(
        self, readings: Mapping[str, Reading | None], *, crowded: Collection[str] = (), now: timedelta
    ) -> Observed:
        """Takes in what all open connections count now.

        Args:
            readings: by connection; None of one that gave no answer, of which nothing is decided.
            crowded: connections in rooms that leave voices out: of sound that is not forwarded there nothing is said.
            now: the time of a clock that nobody sets, since whenever it began.
        """
        stalls = self._forget_all_but(readings, now=now)
        heard = {name: reading for name, reading in readings.items() if reading is not None}
        for name, reading in heard.items():
            for arriving in reading.arriving:
                stalls += self._on_arriving(name, arriving, reading, now=now)
        for name, reading in heard.items():
            for leaving in reading.leaving:
                is_left_out = leaving.kind == "audio" and name in crowded
                stalls += self._on_leaving(name, leaving, reading, is_left_out=is_left_out, now=now)
        return Observed(changed=self._changed(heard), stalls=tuple(stalls), standing=self._standing())

    def _on_arriving(self, name: str, arriving: Arriving, reading: Reading, *, now: timedelta) -> list[Stall]:
        row = self._tracks.get(arriving.track)
        if row is None:
            row = _Row(owner=name, kind=arriving.kind, packets=arriving.packets, looked=now)
            self._tracks[arriving.track] = row
        row.count(arriving.packets, now=now)
        # One that was connected and is not heard any more counts: whoever plays it sees nothing.
        if arriving.muted or not (reading.connected or row.moved):
            row.forgive()
        return row.turn(Cause.NOTHING_ARRIVES if row.owes() else None, now=now)

    def _on_leaving(
        self, name: str, leaving: Leaving, reading: Reading, *, is_left_out: bool, now: timedelta
    ) -> list[Stall]:
        row = self._subscriptions.get((name, leaving.track))
        if row is None:
            row = _Row(owner=name, kind=leaving.kind, packets=leaving.packets, looked=now)
            self._subscriptions[name, leaving.track] = row
        source, before = self._tracks.get(leaving.track), row.still
        # What is sent to measure a downlink, while no encoding is chosen, is no picture.
        row.count(row.packets if leaving.paused else leaving.packets, now=now)
        if leaving.muted or is_left_out or source is None or source.cause is not None:
            row.forgive()  # whoever plays what does not arrive is told that, and it is no fault of the subscription
        elif source.still > timedelta(0) or not reading.connected:
            row.still = min(row.still, before)  # nothing could have left since the last look
        cause = Cause.PAUSED if leaving.paused else Cause.NOT_FORWARDED
        return row.turn(cause if row.owes() else None, now=now)

    def _changed(self, heard: Mapping[str, Reading]) -> dict[str, Stalled]:
        """Returns what whoever holds a connection has not been told yet."""
        changed: dict[str, Stalled] = {}
        for name, reading in heard.items():
            stalled = self._stalled(name, reading)
            if stalled != self._told.get(name, {}):
                changed[name] = self._told[name] = stalled
        return changed

    def _stalled(self, name: str, reading: Reading) -> Stalled:
        """Returns what of a connection does not flow; of several tracks of a kind, one is enough."""
        rows = [self._tracks.get(arriving.track) for arriving in reading.arriving]
        for leaving in reading.leaving:
            rows += [self._subscriptions[name, leaving.track], self._tracks.get(leaving.track)]
        return {row.kind: row.cause for row in rows if row is not None and row.cause is not None}

    def _standing(self) -> Counter[tuple[str, Cause]]:
        rows = (*self._tracks.values(), *self._subscriptions.values())
        return Counter((row.kind, row.cause) for row in rows if row.cause is not None)

    def _forget_all_but(self, readings: Mapping[str, Reading | None], *, now: timedelta) -> list[Stall]:
        """Forgets what is not there any more; what is there of a connection that gave no answer still is."""
        silent = {name for name, reading in readings.items() if reading is None}
        heard = [(name, reading) for name, reading in readings.items() if reading is not None]
        tracks = {arriving.track for _, reading in heard for arriving in reading.arriving}
        played = {(name, leaving.track) for name, reading in heard for leaving in reading.leaving}
        gone = [self._tracks.pop(track) for track in _others(self._tracks, tracks, silent)]
        gone += [self._subscriptions.pop(key) for key in _others(self._subscriptions, played, silent)]
        for name in self._told.keys() - readings.keys():
            del self._told[name]
        return [stall for row in gone for stall in row.turn(None, now=now)]


def _others(rows: Mapping[_Key, _Row], present: Collection[_Key], silent: Collection[str]) -> list[_Key]:
    """Lists what is neither present nor of somebody who gave no answer."""
    return [key for key, row in rows.items() if key not in present and row.owner not in silent]
