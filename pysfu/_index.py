"""What rooms have on each worker, found by the engine's number for it without going through the rooms."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pysfu._relays import Relay
    from pysfu.track import Track
    from pysfu.transport import Transport

T = TypeVar("T")


class Index:
    """What all rooms have, by worker and number.

    Attributes:
        transports: the transports.
        tracks: what is published, and what is relayed, where it is relayed to.
        ends: the relays, by the peers that they are made of.
    """

    def __init__(self) -> None:
        self.transports: dict[tuple[int, int], Transport] = {}
        self.tracks: dict[tuple[int, int], Track] = {}
        self.ends: dict[tuple[int, int], Relay] = {}


class Indexed(MutableMapping[int, T], Generic[T]):
    """What one room has on one worker, by number; in the index, too, until the room ends."""

    def __init__(self, index: dict[tuple[int, int], T], *, worker: int) -> None:
        self._index: dict[tuple[int, int], T] | None = index
        self._worker = worker
        self._own: dict[int, T] = {}

    def end(self) -> None:
        """Takes all of it out of the index: another engine may give its numbers anew, in other rooms."""
        if self._index is not None:
            for number in self._own:
                del self._index[self._worker, number]
        self._index = None

    def __getitem__(self, number: int) -> T:
        return self._own[number]

    def __setitem__(self, number: int, each: T) -> None:
        self._own[number] = each
        if self._index is not None:
            self._index[self._worker, number] = each

    def __delitem__(self, number: int) -> None:
        del self._own[number]
        if self._index is not None:
            del self._index[self._worker, number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)
