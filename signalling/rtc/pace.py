"""How fast a client may ask: whoever asks faster waits, and nobody else does."""

from __future__ import annotations

import math

MAX_REQUESTS_PER_S = 200
"""Of one client. Somebody who joins, publishes and shows fifty tiles says some hundred things at once, then few."""
BURST_S = 1.0
"""For how long a client that was silent may ask as fast as it can: as many as fit into that time."""


class Pace:
    """Counts what one client asks."""

    def __init__(self) -> None:
        self._used_up_to = -math.inf

    def pause(self, now: float) -> float:
        """Counts one more, and returns for how long nothing more is to be taken from it.

        Args:
            now: the time of any clock that goes on steadily, in seconds.
        """
        self._used_up_to = max(self._used_up_to, now) + 1 / MAX_REQUESTS_PER_S
        return max(0.0, self._used_up_to - now - BURST_S)
