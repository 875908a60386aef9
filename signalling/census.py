"""How many rooms, people and tracks there are: what metrics show, and what a drain waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.ids import RoomId
from signalling.homes import Homes


class Census:
    """Counts what is open in these rooms."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], homes: Homes) -> None:
        self._rooms = rooms
        self._homes = homes

    def rooms(self) -> int:
        """Counts the rooms."""
        return len(self._rooms)

    def people(self) -> int:
        """Counts everyone in every room."""
        return sum(len({c.participant for c in opened.connections()}) for opened in self._rooms.values())

    def calls(self) -> int:
        """Counts the rooms in which anybody is."""
        return sum(bool(opened.open) for opened in self._rooms.values())

    def tracks(self, kind: str) -> int:
        """Counts what is published in every room, of one kind."""
        return sum(_tracks(connection, kind) for opened in self._rooms.values() for connection in opened.open.values())

    def played(self, kind: str) -> int:
        """Counts how often tracks of one kind are played, in every room."""
        count = 0
        for opened in self._rooms.values():
            tracks = {connection.peer.id: _tracks(connection, kind) for connection in opened.open.values()}
            count += sum(tracks.get(peer, 0) for connection in opened.open.values() for peer in connection.plays)
        return count

    def follow_moves(self, tell: Callable[[str], object]) -> None:
        """Has `tell` called with how it went when a room is to get other media: `ok` or `retried`."""
        self._homes.on_move = tell

    def resting(self) -> int:
        """Counts the rooms that take nobody in for a while, after too many failures."""
        return sum(bool(self._homes.rest_of(opened)) for opened in self._rooms.values())

    def waiting(self) -> int:
        """Counts the rooms that wait for media; one that gets none before somebody joins waits for nobody."""
        return sum(opened.waits() and not self._homes.rest_of(opened) for opened in self._rooms.values())


def _tracks(connection: OpenConnection, kind: str) -> int:
    publication = connection.connection.publication
    return 0 if publication is None else sum(track.kind == kind for track in publication.tracks)
