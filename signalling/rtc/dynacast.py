"""Which encodings of a picture anybody wants: its publisher need not make the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from livekit.protocol.models import VideoQuality
from livekit.protocol.rtc import SubscribedQuality

from signalling.rtc.subscribing import Quality

LOWER_AFTER = timedelta(seconds=5)
"""How long nobody wants an encoding before it is given up: beginning anew costs a keyframe and a moment's wait."""

_ALL = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)


@dataclass(slots=True)
class Dynacast:
    """The wishes of all who receive one picture.

    Attributes:
        told: the best quality that the publisher was told to make; None: nothing. At first it makes everything.
    """

    told: Quality | None = VideoQuality.HIGH
    _lower_since: timedelta | None = None

    def look(self, wanted: Iterable[Quality | None], *, now: timedelta) -> bool:
        """Takes in what each receiver wants, and says whether the publisher is to be told something else.

        What is wanted is begun at once, what is wanted no more ends after `LOWER_AFTER`.

        Args:
            wanted: the best quality of use to each.
            now: the time of a clock that nobody sets.
        """
        best = max((quality for quality in wanted if quality is not None), default=None)
        if _rank(best) >= _rank(self.told):
            self._lower_since = None
            changed, self.told = best != self.told, best
            return changed
        if self._lower_since is None:
            self._lower_since = now
        if now - self._lower_since < LOWER_AFTER:
            return False
        self.told, self._lower_since = best, None
        return True

    @property
    def due(self) -> timedelta | None:
        """When to look again, if nothing changes; None: never."""
        return None if self._lower_since is None else self._lower_since + LOWER_AFTER

    def qualities(self) -> list[SubscribedQuality]:
        """Returns what the publisher is told: with each quality all below it, which clients count as encodings."""
        return [SubscribedQuality(quality=each, enabled=_rank(each) <= _rank(self.told)) for each in _ALL]


def _rank(quality: Quality | None) -> int:
    return -1 if quality is None else quality
