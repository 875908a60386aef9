"""What whoever holds a connection is told when it has ended, and whether another one would be welcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why a connection ended. The value is part of the public protocol, and says nothing of anybody."""

    LEFT = "left"
    REMOVED = "removed"
    RIGHTS_CHANGED = "rights_changed"
    REPLACED = "replaced"
    SOURCE_LEFT = "source_left"
    ROOM_DELETED = "room_deleted"
    STOPPING = "stopping"
    TRANSPORT_LOST = "transport_lost"
    SIGNAL_LOST = "signal_lost"
    OUT_OF_STEP = "out_of_step"
    ROOM_FAILED = "room_failed"
    ROOM_QUARANTINED = "room_quarantined"
    WORKER_FAILED = "worker_failed"
    ENGINE_RESTARTED = "engine_restarted"
    SERVER_FAULT = "server_fault"


class Told(StrEnum):
    """The types of event. The value is part of the public protocol; `reconnect` is WHEP's.

    WHEP's `inactive` means that nothing at all is published: of one kind that stalls it says too much.
    """

    RECONNECT = "reconnect"
    ENDED = "ended"
    MEDIA = "media"


_FOR_GOOD = frozenset(
    {
        Reason.LEFT,
        Reason.REMOVED,
        Reason.RIGHTS_CHANGED,
        Reason.REPLACED,
        Reason.SOURCE_LEFT,
        Reason.ROOM_DELETED,
        Reason.STOPPING,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """That a connection has ended.

    Attributes:
        reason: why.
        welcome: whether another connection would be taken.
        after: not before this has passed; None when at once.
    """

    reason: Reason
    welcome: bool
    after: timedelta | None = None

    @property
    def told(self) -> Told:
        """The type of the event."""
        return Told.RECONNECT if self.welcome else Told.ENDED


def notice_of(reason: Reason, *, after: timedelta | None = None) -> Notice:
    """Makes the notice of a connection that ended for this reason: what was nobody's wish may be taken up again."""
    return Notice(reason=reason, welcome=reason not in _FOR_GOOD, after=after)
