"""A client's WebSocket while it is in a meeting: what it asks is done in order, what it is told leaves in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import structlog
from livekit.protocol.rtc import SignalResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from signalling.http.errors import code_of, reported
from signalling.rtc.line import Session
from signalling.rtc.pace import Pace
from signalling.rtc.signal import SignalFaultError, read, written

log = structlog.get_logger(__name__)

MAX_WAITING = 1_000
"""Messages that wait to leave: in the largest room everybody comes, goes and is told of once before a client reads."""
MAX_WAITING_BYTES = 4 << 20
"""Their bytes: twice what a client may send in one."""

# RFC 6455 section 7.4.1, and IANA's registry.
NORMAL, OUR_FAULT, TRY_AGAIN = 1000, 1011, 1013


class WebSocketLine:
    """A `Line` over a WebSocket; may be spoken to before that is accepted."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting = deque[bytes]()
        self._waiting_bytes = 0
        self._stirred = asyncio.Event()
        self._close: tuple[int, str] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is to end, and nothing more is taken or said."""
        return self._close is not None

    @property
    def close_code(self) -> int | None:
        """With which it has ended, by either side; None while it has not."""
        return None if self._close is None else self._close[0]

    def tell(self, response: SignalResponse) -> None:
        """Says something, after what was said before; too much that the client has not taken ends the line."""
        if self.is_over:
            return
        frame = written(response)
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        if len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self._waiting.clear()
            self.end(TRY_AGAIN, "too much waits to be read")
        self._stirred.set()

    def hang_up(self) -> None:
        """Ends it, after what was said."""
        self.end(NORMAL)

    def end(self, code: int, reason: str = "") -> None:
        """Ends it likewise, with a code of WebSockets; the first end stands."""
        if self._close is None:
            self._close = (code, reason)
            self._stirred.set()

    async def carry(self, session: Session | None) -> None:
        """Accepts the WebSocket, and carries what is said both ways until either side has ended it.

        Args:
            session: who is told what the client asks, and once that the line has ended; None where it was only to
                be told something.
        """
        with contextlib.suppress(OSError):  # gone already, as whatever is done next will show
            await self._websocket.accept()
        if session is None:
            self.hang_up()
            await self._write()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(), name="signal")
            try:
                await self._read(session)
            finally:
                self.hang_up()
                session.on_end()

    async def _write(self) -> None:
        """Sends what waits, and closes the WebSocket once it is over; whoever has gone is told nothing."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                while self._waiting:
                    frame = self._waiting.popleft()
                    self._waiting_bytes -= len(frame)
                    await self._websocket.send_bytes(frame)
                if self._close is not None:
                    await self._websocket.close(*self._close)
                    return
                self._stirred.clear()
                await self._stirred.wait()
        self.hang_up()
        self._waiting.clear()

    async def _read(self, session: Session) -> None:
        """Has done what the client asks, one after the other and no faster than its pace."""
        loop, pace = asyncio.get_running_loop(), Pace()
        while not self.is_over:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self.end(message["code"])
                return
            text = message.get("text")
            await self._do(session, message["bytes"] if text is None else text)
            await asyncio.sleep(pace.pause(loop.time()))  # of no length as a rule: the others have their turn

    async def _do(self, session: Session, frame: str | bytes) -> None:
        try:
            request = read(frame)
        except SignalFaultError as fault:
            self.end(fault.close_code, str(fault))
            return
        if request is None:
            return
        try:
            await session.on_request(request)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Ends the line for what a session should have told on it; the meeting goes on."""
        code, _ = code_of(error)
        if code == "internal":
            self.end(OUR_FAULT, f"tell your operator this number: {reported(error)}")
        else:
            log.warning("signal request failed", code=code)
            self.end(OUR_FAULT, code)
