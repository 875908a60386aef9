"""Spans of time as people write them: `90s`, `10m`, `6h`, `1d`."""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])\Z")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def duration_of(text: str) -> timedelta | None:
    """Reads a number and its unit, or returns None when `text` is not that."""
    found = _SPAN.match(text)
    return int(found[1]) * _UNITS[found[2]] if found else None
