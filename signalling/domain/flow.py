"""What does not flow: one-way sound, black pictures. The engine finds it; here it is told once, and counted once.

A track that was muted owes nothing; one that sends fewer encodings than it could still flows; a picture that was paused
because a downlink carries no more is told apart from one that does not come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from signalling.domain.ids import TrackId

LOOK_EVERY = timedelta(milliseconds=500)
"""How often somebody looks: with what the engine takes, it is told within 3 s of the last packet."""

SILENT_AFTER = timedelta(milliseconds=1_400)
"""How long nothing has come at least when the engine says so (`sfu_core/src/forward/watch.rs`)."""


class Cause(StrEnum):
    """Why something does not flow. The value is part of the public protocol, and says nothing of anybody."""

    NOTHING_ARRIVES = "nothing_arrives"
    PAUSED = "paused"
    NOT_FORWARDED = "not_forwarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A track that does not flow.

    Attributes:
        is_own: whether it is what the connection publishes; else it is played there.
    """

    track: TrackId
    kind: str
    cause: Cause
    is_own: bool = False


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


@dataclass(slots=True)
class Flows:
    """What is known of all connections. What counts is named by its connection and its track."""

    _since: dict[tuple[str, TrackId], tuple[str, Cause, timedelta]] = field(default_factory=dict)
    _told: dict[str, Stalled] = field(default_factory=dict)

    def observe(self, still: Mapping[str, Collection[Still]], *, now: timedelta) -> Observed:
        """Takes in what does not flow now.

        Args:
            still: by connection; one of which everything flows, or that has ended, may be left out.
            now: the time of a clock that nobody sets, since whenever it began.
        """
        stands = {(name, each.track): each for name, several in still.items() for each in several if _counts(each)}
        stalls = []
        for key, (kind, cause, since) in tuple(self._since.items()):
            if key not in stands or stands[key].cause is not cause:
                del self._since[key]
                stalls.append(Stall(kind=kind, cause=cause, lasted=now - since))
        for key, each in stands.items():
            if key not in self._since:
                self._since[key] = each.kind, each.cause, now - SILENT_AFTER
                stalls.append(Stall(kind=each.kind, cause=each.cause))
        standing = Counter((kind, cause) for kind, cause, _ in self._since.values())
        return Observed(changed=self._changed(still), stalls=tuple(stalls), standing=standing)

    def _changed(self, still: Mapping[str, Collection[Still]]) -> Mapping[str, Stalled]:
        """Returns what whoever holds a connection has not been told yet; of several tracks of a kind, one is enough."""
        before, nothing = self._told, dict[str, Cause]()
        self._told = {name: {each.kind: each.cause for each in several} for name, several in still.items() if several}
        names = before.keys() | self._told.keys()
        told = {name: self._told.get(name, nothing) for name in names}
        return {name: stalled for name, stalled in told.items() if stalled != before.get(name, nothing)}


def _counts(still: Still) -> bool:
    """Whether it is a stall of its own, and not that of a track at somebody who plays it."""
    return still.is_own or still.cause is not Cause.NOTHING_ARRIVES
