"""How good a client's connection is, as everybody is told: from what is lost on it, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from livekit.protocol.models import ConnectionQuality

from signalling.domain.link import Link

TOLD_EVERY = timedelta(seconds=5)

_GOOD_LOSS, _POOR_LOSS = 0.02, 0.08
_GOOD_RTT, _POOR_RTT = timedelta(milliseconds=300), timedelta(milliseconds=600)
"""Sound with redundancy bears 2 % without a trace and 8 % audibly; beyond 300 ms people begin to interrupt each other
(ITU-T G.114: 150 ms one way), beyond 600 ms they cannot talk."""


@dataclass(slots=True)
class Connection:
    """What is known of one client's connection.

    Attributes:
        told: what everybody was told of it; never that it is lost, which makes clients join anew.
    """

    told: ConnectionQuality | None = None
    _came: int = 0
    _lost: int = 0

    def look(self, link: Link) -> ConnectionQuality | None:
        """Takes in what was counted since the last look, and returns how good it is; None: as it was told."""
        came, lost = max(link.came - self._came, 0), max(link.lost - self._lost, 0)
        self._came, self._lost = link.came, link.lost
        loss = max(link.loss_out, lost / (came + lost) if came + lost else 0.0)
        before, self.told = self.told, _quality(loss, link.rtt or timedelta())
        return self.told if self.told != before else None


def _quality(loss: float, rtt: timedelta) -> ConnectionQuality:
    if loss > _POOR_LOSS or rtt > _POOR_RTT:
        return ConnectionQuality.POOR
    if loss > _GOOD_LOSS or rtt > _GOOD_RTT:
        return ConnectionQuality.GOOD
    return ConnectionQuality.EXCELLENT
