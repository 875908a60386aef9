"""What of a room is on one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu._index import Indexed

if TYPE_CHECKING:
    from pysfu._index import Index
    from pysfu._relays import Relay
    from pysfu.track import Track
    from pysfu.transport import Transport


class Part:
    """What of a room is on one worker; the engine there takes it for a room of its own.

    Attributes:
        worker: which.
        number: the engine's number for it there.
        transports: those of the participants who are there, by number.
        tracks: what is published there, and what is relayed there, by the number that it has there.
        ends: the relays of which a peer is there, by its number.
        listeners: the numbers of the participants there who can hear or see anything.
        speakers: the numbers of those who speak, as far as they are heard there, each with its level in -dBov.
    """

    def __init__(self, worker: int, number: int, *, index: Index) -> None:
        self.worker = worker
        self.number = number
        self.transports: Indexed[Transport] = Indexed(index.transports, worker=worker)
        self.tracks: Indexed[Track] = Indexed(index.tracks, worker=worker)
        self.ends: Indexed[Relay] = Indexed(index.ends, worker=worker)
        self.listeners: tuple[int, ...] = ()
        self.speakers: tuple[tuple[int, int], ...] = ()

    def end(self) -> None:
        """Has nothing of it found any more by its number."""
        for indexed in (self.transports, self.tracks, self.ends):
            indexed.end()
