"""What somebody may in a room since that was changed there, whatever tokens say that were issued before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from signalling.domain.grants import Grant, Source

BINDS_FOR = timedelta(days=7, minutes=5)
"""Then no older token is valid any more: none lives longer, whatever the configuration says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What somebody may; each right is that of the same name of a `Grant`.

    Attributes:
        since: when that was decided.
    """

    can_publish: bool
    can_subscribe: bool
    sources: frozenset[Source] | None = None
    can_publish_data: bool = False
    can_update_own_metadata: bool = False
    since: datetime

    def applied(self, grant: Grant) -> Grant:
        """Returns what the bearer of a token may: these rights, unless the token was issued later.

        That one is issued later changes nothing for the others: they are no more valid than before.
        """
        issued_at = _issued_at(grant)
        if issued_at is not None and issued_at > self.since:
            return grant
        return replace(
            grant,
            can_publish=self.can_publish,
            can_subscribe=self.can_subscribe,
            sources=self.sources,
            can_publish_data=self.can_publish_data,
            can_update_own_metadata=self.can_update_own_metadata,
        )

    def binds(self, *, now: datetime) -> bool:
        """Whether there can be a token that says something else, and was issued before."""
        return now - self.since < BINDS_FOR


def rights_of(grant: Grant, *, now: datetime) -> Rights:
    """Returns the rights in `grant` as decided now, or with its token if the clock of whoever issued that is ahead."""
    return Rights(
        can_publish=grant.can_publish,
        can_subscribe=grant.can_subscribe,
        sources=grant.sources,
        can_publish_data=grant.can_publish_data,
        can_update_own_metadata=grant.can_update_own_metadata,
        since=max(now, _issued_at(grant) or now),
    )


def _issued_at(grant: Grant) -> datetime | None:
    """Returns when a token was issued. Some of LiveKit's libraries write only from when on it is valid: from then."""
    return grant.issued_at or grant.not_before
