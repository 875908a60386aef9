"""What happens in rooms, told as it happens: rosters are compared whenever one has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from signalling.connections import OpenRoom
from signalling.domain.changes import Changes
from signalling.domain.happenings import Happening, RoomFinished, RoomStarted, Seated, Shown
from signalling.domain.ids import ParticipantId, PublicationId, RoomId, TrackId
from signalling.domain.room import PublishedTrack, Seat, roster


@dataclass(slots=True)
class Knowing:
    """What more can be said of people and tracks than their rosters do; whoever knows more says so here."""

    seated: Callable[[RoomId, Seat], Seated] = lambda _, seat: Seated(seat=seat)
    shown: Callable[[RoomId, PublicationId, PublishedTrack], Shown] = lambda _, publication, track: Shown(
        publication=publication, track=track
    )


@dataclass(slots=True)
class _Followed:
    """A room: who was in it at the last look, and what else is known of them and their tracks; it outlives them."""

    opened: OpenRoom
    roster: tuple[Seat, ...]
    is_stale: bool = False
    seated: dict[ParticipantId, Seated] = field(default_factory=dict)
    shown: dict[TrackId, Shown] = field(default_factory=dict)


class Chronicle:
    """Tells what happens in rooms to one who waits for nothing; None: to nobody."""

    def __init__(self, tell: Callable[[Happening], None] | None, *, now: Callable[[], datetime]) -> None:
        self.knowing = Knowing()
        self._tell = tell
        self._now = now

    def begin(self, opened: OpenRoom) -> None:
        """Tells that a room was made, and follows it."""
        if self._tell is not None:
            self._tell(RoomStarted(room=opened.room, at=self._now()))
            self.follow(opened)

    def follow(self, opened: OpenRoom) -> None:
        """Tells from now on what happens in a room; who is there already came in before."""
        if self._tell is not None:
            followed = _Followed(opened, roster(opened.connections()))
            opened.is_chronicled = True
            opened.listeners.append(partial(self._on_change, followed))

    def _on_change(self, followed: _Followed) -> None:
        # Together with what else happens in this moment: what is known of somebody is, when they have come in.
        if not followed.is_stale:
            followed.is_stale = True
            asyncio.get_running_loop().call_soon(self._look, followed)

    def _look(self, followed: _Followed) -> None:
        opened, room = followed.opened, followed.opened.room
        followed.is_stale = False
        before, after = followed.roster, () if opened.ended is not None else roster(opened.connections())
        followed.roster = after
        self._learn(followed, after)
        ended = opened.ended
        reasons = dict(opened.gone) if ended is None else {seat.participant: ended for seat in before}
        changes = Changes(
            room=room,
            before=before,
            after=after,
            at=self._now(),
            reasons=reasons,
            seated=lambda seat: replace(followed.seated.get(seat.participant) or Seated(seat=seat), seat=seat),
            shown=lambda _, publication, track: (
                followed.shown.get(track.track) or Shown(publication=publication, track=track)
            ),
        )
        if self._tell is None:
            return
        for happening in changes.happenings():
            self._tell(happening)
        if ended is not None:
            self._tell(RoomFinished(room=room, at=self._now(), reason=ended))
        opened.gone.clear()
        there = {seat.participant for seat in after}
        tracks = {track.track for seat in after for publication in seat.publishes for track in publication.tracks}
        followed.seated = {who: seated for who, seated in followed.seated.items() if who in there}
        followed.shown = {track: shown for track, shown in followed.shown.items() if track in tracks}

    def _learn(self, followed: _Followed, after: Sequence[Seat]) -> None:
        """Remembers what is known of everybody and everything while they are there."""
        room = followed.opened.room.room
        for seat in after:
            followed.seated[seat.participant] = self.knowing.seated(room, seat)
            for publication in seat.publishes:
                for track in publication.tracks:
                    followed.shown[track.track] = self.knowing.shown(room, publication.publication, track)
