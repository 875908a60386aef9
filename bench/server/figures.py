"""What is read off instants and gaps: nothing here knows a server or a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def p95(samples: Sequence[float]) -> float:
    """Returns the 95th percentile: of fifty samples the third largest, of fewer than twenty the largest."""
    return sorted(samples)[-(-len(samples) * 95 // 100) - 1]


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant to another, in nanoseconds since 1970."""

    from_ns: int
    until_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.until_ns - self.from_ns

    def after(self) -> Span:
        """Returns the equally long span that begins where this one ends."""
        return Span(self.until_ns, self.until_ns + self.length_ns)


@dataclass(frozen=True, slots=True)
class Gaps:
    """The longest time without a packet in any stream, by when it began (`bench/load/src/gaps.rs`).

    Attributes:
        begin_ns: when the first step began.
        step_ns: how long each is.
        longest_ms: the longest gap that began in each.
    """

    begin_ns: int
    step_ns: int
    longest_ms: Sequence[float]

    def longest_in(self, span: Span) -> float:
        """Returns the longest gap that began in a span, in milliseconds.

        Raises:
            ValueError: nothing was measured in it.
        """
        first = (span.from_ns - self.begin_ns) // self.step_ns
        last = (span.until_ns - self.begin_ns) // self.step_ns
        if first < 0 or last >= len(self.longest_ms):
            raise ValueError("the span is not within what was measured")
        return max(self.longest_ms[first : last + 1])


def above_jitter(disturbed_ms: Sequence[float], quiet_ms: Sequence[float]) -> float:
    """Returns by how much the gaps of disturbed spans exceed those of quiet ones, at the 95th percentile of each."""
    return max(0.0, p95(disturbed_ms) - p95(quiet_ms))


@dataclass(frozen=True, slots=True)
class Rest:
    """What still came after an instant.

    Attributes:
        packets: how many; of many more than come in a third of a second only the latest are known.
        last_ms: from the instant to the last packet; below zero when that came before it.
    """

    packets: int
    last_ms: float


def rest_after(latest_ns: Sequence[int], instant_ns: int) -> Rest:
    """Returns what came after an instant.

    Args:
        latest_ns: when the latest packets came, in order.
        instant_ns: the instant.

    Raises:
        ValueError: nothing ever came.
    """
    if not latest_ns:
        raise ValueError("nothing came")
    return Rest(sum(at_ns > instant_ns for at_ns in latest_ns), (latest_ns[-1] - instant_ns) / 1e6)
