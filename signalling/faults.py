"""Why a room does not do what it was asked to."""

from __future__ import annotations

from datetime import timedelta

from signalling.domain.refusals import Refusal


class NotFoundError(Exception):
    """What was named does not exist."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class RefusedError(Exception):
    """A rule says no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class ClosingError(Exception):
    """The server takes nobody in any more."""


class RoomFailedError(Exception):
    """The room lost its media meanwhile, by a fault of ours; it gets other media at once."""


class QuarantinedError(Exception):
    """The room lost its media again and again, by a fault of ours, and gets none for a while."""

    def __init__(self, left: timedelta) -> None:
        super().__init__(left)
        self.left = left
