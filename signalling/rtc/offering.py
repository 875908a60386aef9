"""Our offers to one subscriber: one at a time, and what changes meanwhile goes into the next one (RFC 8829 §5.2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

ANSWER_WITHIN = timedelta(seconds=15)
"""How long a client may take for an answer, then it connects anew: that of LiveKit, with which clients are tested."""


class Answered(Enum):
    """What an answer is the answer to."""

    THE_LATEST = auto()
    AN_OLDER_ONE = auto()
    NOTHING = auto()


@dataclass(slots=True)
class Offering:
    """How far the negotiation with one subscriber is.

    Attributes:
        number: that of the latest offer. The first one is somewhere in 1 to 256, so that answers of another connection
            are told from ours.
        outstanding_since: since when its answer is waited for; None when none is.
        changed: whether there is something that the latest offer does not say.
    """

    number: int
    outstanding_since: timedelta | None = None
    changed: bool = False

    def change(self) -> None:
        """Notes that the subscriber is to receive something else."""
        self.changed = True

    @property
    def is_due(self) -> bool:
        """Whether an offer is to be made now."""
        return self.changed and self.outstanding_since is None

    def offer(self, *, now: timedelta) -> int:
        """Notes that an offer is made of all that is known now, and returns its number.

        Raises:
            ValueError: none is due.
        """
        if not self.is_due:
            raise ValueError("one offer at a time, and none without need")
        self.number, self.outstanding_since, self.changed = self.number + 1, now, False
        return self.number

    def answer(self, number: int) -> Answered:
        """Takes note of an answer. Clients that count nothing say 0, and mean the latest one."""
        if self.outstanding_since is None:
            return Answered.NOTHING
        if number not in (0, self.number):
            return Answered.AN_OLDER_ONE
        self.outstanding_since = None
        return Answered.THE_LATEST

    def lose(self) -> None:
        """Notes that the client may not have heard the latest offer: it is made again, with what is known by then."""
        if self.outstanding_since is not None:
            self.outstanding_since, self.changed = None, True

    def is_late(self, *, now: timedelta) -> bool:
        """Whether the client has not answered in time."""
        return self.outstanding_since is not None and now - self.outstanding_since >= ANSWER_WITHIN
