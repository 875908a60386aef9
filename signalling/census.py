"""How many rooms, people and tracks there are: what metrics show, and what a drain waits for."""

from __future__ import annotations

from collections.abc import Mapping

from signalling.connections import OpenRoom
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
        connections = (connection for opened in self._rooms.values() for connection in opened.connections())
        published = (connection.publication for connection in connections if connection.publication is not None)
        return sum(track.kind == kind for publication in published for track in publication.tracks)

    def resting(self) -> int:
        """Counts the rooms that take nobody in for a while, after too many failures."""
        return sum(bool(self._homes.rest_of(opened)) for opened in self._rooms.values())

    def waiting(self) -> int:
        """Counts the rooms that wait for media; one that gets none before somebody joins waits for nobody."""
        return sum(opened.waits() and not self._homes.rest_of(opened) for opened in self._rooms.values())
