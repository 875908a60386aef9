"""A drain: nobody new comes in, calls go on; it is over when the last one has ended, or when the deadline has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

LINGER = timedelta(seconds=5)
"""How long a call that has lost all its people is still waited for: they may be about to connect again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A drain that is under way.

    Attributes:
        until: the deadline, as the time of a clock that nobody sets.
        final: whether it cannot be called off.
    """

    until: timedelta
    final: bool = False

    def left(self, now: timedelta) -> timedelta:
        """Returns the time up to the deadline."""
        return max(timedelta(0), self.until - now)

    def is_over(self, now: timedelta, *, last_call: timedelta | None) -> bool:
        """Whether nothing is left to wait for.

        Args:
            now: the time.
            last_call: when there was a call, last; None when there was none all the time.
        """
        return last_call is None or now - last_call >= LINGER or now >= self.until


def begun(deadline: timedelta, *, final: bool, under_way: Drain | None, now: timedelta) -> Drain:
    """Returns the drain after somebody has asked for one.

    Args:
        deadline: how long it may last from now on.
        final: whether this one cannot be called off.
        under_way: the one that there is; one that is final only gets shorter, and a final one keeps its deadline.
        now: the time of a clock that nobody sets.
    """
    until = now + deadline
    if under_way is not None and (final or under_way.final):
        until = min(until, under_way.until)
    return Drain(until=until, final=final or (under_way is not None and under_way.final))
