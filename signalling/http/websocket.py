"""uvicorn's WebSockets, with an end for who answers nothing, takes nothing, or sends too much that means nothing."""

from __future__ import annotations

import asyncio
import contextlib

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame

PING_INTERVAL_S, PING_LIMIT_S = 3.0, 9.0
"""Whoever has gone without a word is noticed after at most the sum of both."""
TAKE_LIMIT_S = PING_LIMIT_S
"""For how long a client may take too little of what it is told, as if it did not answer."""
GOODBYE_S = 5.0
"""For how long a client may take to hear that it is over: on a bad network a phone needs some seconds."""
MAX_ASIDES = 200
"""Frames that are no message: pings, pongs, pieces of a message, between two answers to our pings. A browser cuts the
longest message into 128 pieces of 16 KiB at most."""
PIECE_BYTES = 4_096
"""How much of what has come is read in one go: the smallest frame has 6 bytes, and takes some 10 µs."""

_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class TimedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that costs the others little, whatever its client does or leaves undone."""

    _unread = memoryview(b"")
    _reading: asyncio.Handle | None = None
    _goodbye: asyncio.TimerHandle | None = None
    _asides = 0

    def data_received(self, data: bytes) -> None:
        """Reads what has come, a piece at a time where it is much."""
        if not self.handshake_initiated:
            self._shake_hands(data)
        elif self._unread or len(data) > PIECE_BYTES:
            self.transport.pause_reading()
            self._unread = memoryview(bytes(self._unread) + data)
            self._read_on()
        else:
            super().data_received(data)

    async def receive(self) -> ASGIReceiveEvent:
        """Returns what has come next; more is read when there is nothing left of it."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._read_on()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Sends, to a client that takes what is sent.

        Raises:
            ClientDisconnected: it has gone, or took too little for too long and is cut off.
        """
        if not self.writable.is_set():
            try:
                async with asyncio.timeout(TAKE_LIMIT_S):
                    await self.writable.wait()
            except TimeoutError:
                self.transport.abort()
        if self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # a refusal completes it, which uvicorn would take for our fault

    def handle_ping(self) -> None:
        """Answers a ping."""
        if not self._is_one_too_many():
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """Takes a piece of a message."""
        if not self._is_one_too_many():
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        """Takes an answer to a ping."""
        if self.pending_ping_payload is not None and bytes(event.data) == self.pending_ping_payload:
            self._asides = 0
        elif self._is_one_too_many():
            return
        super().handle_pong(event)

    def keepalive_timeout(self) -> None:
        """Cuts off whoever does not answer, unless the answer may be behind what has not been read yet."""
        if self.read_paused or self._unread:
            self.pong_timer = self.loop.call_later(PING_LIMIT_S, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Waits for a client to hear that it is over, but not for ever."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._goodbye = self.loop.call_later(GOODBYE_S, self.transport.abort)

    def shutdown(self) -> None:
        """Ends the WebSocket with the server, also one that has begun to end already."""
        with contextlib.suppress(InvalidState):
            super().shutdown()
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets what has not been read."""
        self._unread = memoryview(b"")
        for waiting in filter(None, (self._goodbye, self._reading)):
            waiting.cancel()
        super().connection_lost(exc)

    def _shake_hands(self, data: bytes) -> None:
        """Reads the request, which has come whole, and answers it when it is none, as uvicorn leaves to others."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()

    def _read_on(self) -> None:
        """Has the next piece read when everybody else has had a turn."""
        if self._reading is None:
            self._reading = self.loop.call_soon(self._read_piece)

    def _read_piece(self) -> None:
        self._reading = None
        if self.read_paused or self.disconnected:
            return  # where the application is behind, `receive` comes back to this
        if not self._unread:
            self.transport.resume_reading()
            return
        piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
        super().data_received(bytes(piece))
        self._read_on()

    def _is_one_too_many(self) -> bool:
        self._asides += 1
        if self._asides > MAX_ASIDES and not self.close_sent:
            self.conn.fail(_POLICY_VIOLATION, "too many frames that say nothing")
            self.handle_parser_exception()
        return self._asides > MAX_ASIDES
