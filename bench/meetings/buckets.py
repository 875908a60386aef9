"""What a histogram among the server's metrics says, as arithmetic: nothing here knows a server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_BUCKET = re.compile(r'^sfu_event_loop_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


def buckets(metrics: str) -> Counter[float]:
    """Returns how many looks found the loop at most so late, by seconds, of what `/metrics` says."""
    return Counter({float(bound): int(float(count)) for bound, count in _BUCKET.findall(metrics)})


def quantile_ms(cumulative: Mapping[float, int], quantile: float) -> float:
    """Returns the lateness below which that part of all looks lies, in milliseconds.

    Within a bucket looks count as evenly spread, as in Prometheus' `histogram_quantile`; what lies beyond the last
    bound is no less than it.

    Raises:
        ValueError: nobody looked.
    """
    looks = max(cumulative.values(), default=0)
    if not looks:
        raise ValueError("nobody looked how late the event loop is")
    below, before = 0.0, 0
    for bound in sorted(cumulative)[:-1]:  # the last one is infinity
        if (count := cumulative[bound]) >= quantile * looks:
            return 1e3 * (below + (bound - below) * (quantile * looks - before) / max(1, count - before))
        below, before = bound, count
    return 1e3 * below
