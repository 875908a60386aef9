"""How well packets get through to somebody, and from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How well packets get through.

    Attributes:
        came: how many have come, over all tracks.
        lost: how many have not.
        loss_out: of those sent to it, the part that the other end says it lost lately, of the track that lost most.
        rtt: how long there and back takes; None when that is not known.
    """

    came: int = 0
    lost: int = 0
    loss_out: float = 0.0
    rtt: timedelta | None = None

    def __add__(self, other: Link) -> Link:
        """Returns both together, as long as the longer and as bad as the worse."""
        rtts = [rtt for rtt in (self.rtt, other.rtt) if rtt is not None]
        return Link(
            came=self.came + other.came,
            lost=self.lost + other.lost,
            loss_out=max(self.loss_out, other.loss_out),
            rtt=max(rtts, default=None),
        )
