"""Whether a room whose media failed gets other media at once, or rests first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

WINDOW = timedelta(seconds=60)
"""A failure this soon after the one before, or after a rest, is not by chance."""

REST = timedelta(seconds=60)
"""The first rest: long enough to end a meeting's quick tries, short enough for its people to wait for."""

MAX_REST = timedelta(minutes=5)
"""The longest rest: whoever still wants to meet then gets one more try."""

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of the failures of one room's media.

    Attributes:
        failures: one after the other, each within `WINDOW` of the one before or of the rest that followed it.
        last: when the last one was.
        until: when the last rest ends, exclusive.
    """

    failures: int = 0
    last: timedelta | None = None
    until: timedelta = _NONE

    def failed(self, now: timedelta) -> Standing:
        """Returns the standing after one more failure.

        Args:
            now: the time of a clock that nobody sets, since whenever it began.
        """
        is_first = self.last is None or now - max(self.last, self.until) > WINDOW
        failures = 1 if is_first else self.failures + 1
        rest = _NONE if is_first else min(REST * 2 ** min(failures - 2, 16), MAX_REST)
        return Standing(failures=failures, last=now, until=now + rest)

    def left(self, now: timedelta) -> timedelta:
        """Returns how long the room still rests; nothing when it may have media."""
        return max(_NONE, self.until - now)
