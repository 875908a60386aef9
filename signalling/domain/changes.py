"""What has happened in a room, by its roster before and after: who came and left, what they began and ended to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from signalling.domain.happenings import (
    Happening,
    ParticipantJoined,
    ParticipantLeft,
    Seated,
    Shown,
    TrackPublished,
    TrackUnpublished,
)
from signalling.domain.ids import ParticipantId, PublicationId
from signalling.domain.notices import Reason
from signalling.domain.room import PublishedTrack, Room, Seat

_Track = tuple[PublicationId, PublishedTrack]


def _plain(seat: Seat) -> Seated:
    return Seated(seat=seat)


def _as_it_is(_: Seat, publication: PublicationId, track: PublishedTrack) -> Shown:
    return Shown(publication=publication, track=track)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A roster that has become another one.

    Attributes:
        room: whose.
        before, after: the two.
        at: when, timezone-aware.
        reasons: why people left; those of whom nothing is said left by themselves.
        seated: what more is known of somebody than their seat.
        shown: what more is known of a track than which one it is.
    """

    room: Room
    before: Sequence[Seat]
    after: Sequence[Seat]
    at: datetime
    reasons: Mapping[ParticipantId, Reason]
    seated: Callable[[Seat], Seated] = _plain
    shown: Callable[[Seat, PublicationId, PublishedTrack], Shown] = _as_it_is

    def happenings(self) -> Iterator[Happening]:
        """Yields what has happened: what ends before what begins, and nobody's track while they are not there."""
        before = {seat.participant: seat for seat in self.before}
        after = {seat.participant: seat for seat in self.after}
        for participant, was in before.items():
            now = after.get(participant)
            for track in _missing(was, now):
                yield self._unpublished(now or was, was, track)
            if now is None:
                yield self._left(was)
        for participant, now in after.items():
            earlier = before.get(participant)
            if earlier is None:
                yield ParticipantJoined(room=self.room, roster=tuple(self.after), at=self.at, who=self.seated(now))
            for track in _missing(now, earlier):
                yield self._published(now, track)

    def _left(self, was: Seat) -> Happening:
        reason = self.reasons.get(was.participant, Reason.LEFT)
        roster = tuple(self.after)
        return ParticipantLeft(room=self.room, roster=roster, at=self.at, who=self.seated(was), reason=reason)

    def _published(self, seat: Seat, track: _Track) -> Happening:
        who, shown = self.seated(seat), self.shown(seat, *track)
        return TrackPublished(room=self.room, roster=tuple(self.after), at=self.at, who=who, track=shown)

    def _unpublished(self, seat: Seat, was: Seat, track: _Track) -> Happening:
        who, shown = self.seated(seat), self.shown(was, *track)
        return TrackUnpublished(room=self.room, roster=tuple(self.after), at=self.at, who=who, track=shown)


def _tracks(seat: Seat | None) -> dict[PublishedTrack, PublicationId]:
    publications = seat.publishes if seat is not None else ()
    return {track: publication.publication for publication in publications for track in publication.tracks}


def _missing(seat: Seat, other: Seat | None) -> list[_Track]:
    """Lists the tracks in a seat that are not in another one of the same participant.

    What a client sends is one publication, which has another id whenever something is added: the tracks stay the same.
    """
    others = _tracks(other)
    return [(publication, track) for track, publication in _tracks(seat).items() if track not in others]
