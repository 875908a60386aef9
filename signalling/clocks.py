"""The clock that nobody sets: for what lasts, where a date would jump with whoever corrects the time of day."""

from __future__ import annotations

import asyncio
from datetime import timedelta


def steady() -> timedelta:
    """Returns its time, since whenever it began."""
    return timedelta(seconds=asyncio.get_running_loop().time())
