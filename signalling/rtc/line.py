"""Between a WebSocket and the meeting that it leads to: what each needs of the other."""

from __future__ import annotations

from typing import Protocol

from livekit.protocol.rtc import SignalRequest, SignalResponse

from signalling.domain.grants import Grant
from signalling.domain.ids import RoomId
from signalling.rtc.asked import Asked


class Line(Protocol):
    """A WebSocket to one client. Nothing here waits: what is said leaves in order, and too much of it ends the line."""

    def tell(self, response: SignalResponse) -> None:
        """Says something; of no effect once the line has ended."""

    def hang_up(self) -> None:
        """Ends the line, after what was said; the client was told why."""


class Session(Protocol):
    """One client in one meeting, for as long as one line lasts."""

    async def on_request(self, request: SignalRequest) -> None:
        """Does what the client asks; what is wrong with it is told on the line."""

    def on_end(self) -> None:
        """Takes note that the line has ended: the client may be back on another one."""


class Meetings(Protocol):
    """All meetings."""

    async def join(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> Session:
        """Takes a client in, and says so on its line before anything else.

        Raises:
            NotFoundError: there is no such room.
            RefusedError: the grant or the room's policy does not allow it.
            ClosingError: the server is stopping.
            QuarantinedError, RoomFailedError, MediaError: the room has no media, for a while or at this moment.
        """

    async def resume(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> Session | None:
        """Goes on with a client whose line was lost; None: it has to join anew, and was told so on the line.

        Raises:
            What `join` raises.
        """
