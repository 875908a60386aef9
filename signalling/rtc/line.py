"""A signal connection, as those who answer on it see it."""

from __future__ import annotations

from typing import Protocol

from livekit.protocol.rtc import SignalResponse


class Line(Protocol):
    """A WebSocket to one client. Nothing here waits: what is said leaves in order, and too much of it ends the line."""

    def tell(self, response: SignalResponse) -> None:
        """Says something; of no effect once the line has ended."""

    def hang_up(self) -> None:
        """Ends the line, after what was said; the client was told why."""
