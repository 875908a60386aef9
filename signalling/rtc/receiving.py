"""What one member is to receive, and what is to be done next for it: rights are taken before any is given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from signalling.rtc.offering import Answered, Offering
from signalling.rtc.subscribing import BEST

UNKNOWN = -1
"""No encoding: which is the best one that somebody gets was asked for by the server before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a member is to receive.

    Attributes:
        tracks: by sid, in order of importance; each with the best encoding that it is to get, None while none at all.
        data_from: whose messages, by sid.
    """

    tracks: Mapping[str, int | None] = field(default_factory=dict)
    data_from: frozenset[str] = frozenset()

    def flows(self, sid: str) -> bool:
        """Whether the track is to flow now."""
        return self.tracks.get(sid) is not None


@dataclass(frozen=True, slots=True)
class Revoke:
    """A track is to flow no more."""

    track: str


@dataclass(frozen=True, slots=True)
class RevokeData:
    """Somebody's messages are to come no more."""

    sender: str


@dataclass(frozen=True, slots=True)
class AllowData:
    """Somebody's messages are to come."""

    sender: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Another encoding of a track is the best that is of use."""

    track: str
    encoding: int


@dataclass(frozen=True, slots=True)
class Allow:
    """A track is to flow."""

    track: str


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer is to be made that carries these tracks and no others."""

    tracks: tuple[str, ...]
    restarts_ice: bool


Step = Revoke | RevokeData | AllowData | Limit | Allow | Offer


@dataclass(slots=True)
class Receiving:
    """How far one member is with what it is to receive.

    Attributes:
        offering: how far the negotiation is.
        offered: what the latest offer carries.
        wired: what the latest answer agreed to; only that can flow.
        allowed: what may flow.
        limits: the best encoding of each that was asked for, where it is not the best there is.
        data_from: whose messages may come.
        restarts_ice: whether the next offer is to do that.
    """

    offering: Offering
    offered: frozenset[str] = frozenset()
    wired: frozenset[str] = frozenset()
    allowed: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    data_from: set[str] = field(default_factory=set)
    restarts_ice: bool = False

    def next(self, wanted: Wanted, *, can_offer: bool) -> Sequence[Step]:
        """Returns what is to be done next, all of it at the same time; nothing is left to do when that is nothing.

        A track flows once its section is agreed on and the encoding is chosen, so that never a better one comes than
        is of use. Of a section that is wanted no more, nothing flows before the offer that takes it away is made.

        Args:
            wanted: what the member is to receive.
            can_offer: whether it can be made an offer now: its line is there.
        """
        return tuple(self._taken(wanted)) or (*self._given(wanted), *self._offered(wanted, can_offer=can_offer))

    def _taken(self, wanted: Wanted) -> Iterator[Step]:
        for track in sorted(self.allowed):
            if not wanted.flows(track):
                yield Revoke(track)
        for sender in sorted(self.data_from - wanted.data_from):
            yield RevokeData(sender)

    def _given(self, wanted: Wanted) -> Iterator[Step]:
        for sender in sorted(wanted.data_from - self.data_from):
            yield AllowData(sender)
        for track, encoding in wanted.tracks.items():
            if encoding is not None and track in self.wired:
                if self.limits.get(track, BEST) != encoding:  # the engine begins with the best
                    yield Limit(track, encoding)
                elif track not in self.allowed:
                    yield Allow(track)

    def _offered(self, wanted: Wanted, *, can_offer: bool) -> Iterator[Step]:
        if not can_offer:
            return
        if frozenset(wanted.tracks) != self.offered:
            self.offering.change()
        if self.offering.is_due:
            yield Offer(tuple(wanted.tracks), self.restarts_ice)

    def did(self, step: Step) -> None:
        """Takes note that something was done; of a right that is given, before it is."""
        match step:
            case Revoke(track):
                self.allowed.discard(track)
            case RevokeData(sender):
                self.data_from.discard(sender)
            case AllowData(sender):
                self.data_from.add(sender)
            case Limit(track, encoding):
                self.limits[track] = encoding
            case Allow(track):
                self.allowed.add(track)
            case Offer():
                raise ValueError("`made` says that an offer was made")

    def made(self, offer: Offer, *, is_whole: bool, now: timedelta) -> int:
        """Takes note that an offer was made, and returns its number; `is_whole`: whether all found a place in it."""
        number = self.offering.offer(now=now)
        self.offered = frozenset(offer.tracks)
        if self.restarts_ice and not offer.restarts_ice:
            self.offering.change()  # The client was back while this one was made.
        else:
            self.restarts_ice = False
        self._drop(self.wired - self.offered)
        if not is_whole:
            self.offering.change()
        return number

    def flows(self, track: str) -> bool:
        """Whether a track may flow."""
        return track in self.allowed

    def awaits(self, number: int) -> bool:
        """Whether an answer of this number is the one that counts."""
        return self.offering.outstanding_since is not None and number in (0, self.offering.number)

    def answered(self, number: int) -> bool:
        """Takes note of an answer; says whether it is the one that counts."""
        return self.offering.answer(number) is Answered.THE_LATEST

    def agreed(self, carried: Collection[str]) -> None:
        """Takes note of what was agreed on by it."""
        self.wired = frozenset(carried) & self.offered

    def resume(self) -> None:
        """Has the next offer say all, and find new ways: the member is back, perhaps on another network."""
        self.offering.lose()
        self.offering.change()
        self.restarts_ice = True

    def forget_track(self, track: str) -> None:
        """Forgets a track that has ended: nothing of it is left to be taken away."""
        self._drop({track})
        self.offered -= {track}
        self.offering.change()

    def forget_sender(self, sender: str) -> None:
        """Forgets somebody who has left."""
        self.data_from.discard(sender)

    def _drop(self, tracks: Collection[str]) -> None:
        self.wired -= frozenset(tracks)
        for track in tracks:
            self.allowed.discard(track)
            self.limits.pop(track, None)
