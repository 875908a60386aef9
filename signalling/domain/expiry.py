"""When to remind of a certificate that ends."""

from __future__ import annotations

from datetime import datetime, timedelta

REMINDERS = (timedelta(days=21), timedelta(days=7), timedelta(days=1), timedelta(0))
"""Time left in which one can still ask for a new one, press for it, do without; and none."""


def reminder(begins_at: datetime, expires_at: datetime, *, now: datetime) -> timedelta | None:
    """Returns the last reminder that is due, or None: of what lives for days only the last third of its life counts."""
    left, last_third = expires_at - now, (expires_at - begins_at) / 3
    return min((each for each in REMINDERS if left <= min(each, last_third)), default=None)
