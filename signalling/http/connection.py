"""HTTP/1.1 connections that end when a request does not come in time."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIMEOUT_S = 10.0  # A request's headers have 2 kB: even 16 kbit/s needs only 1 s, and 5 s with a long token.
GOODBYE_S = (
    1.0  # TLS waits 30 s for a client to answer that, and one that keeps its connection for later does not read it.
)


class TimedProtocol(H11Protocol):
    """uvicorn's protocol, which by itself would wait for ever for the rest of a request's headers."""

    _deadline: asyncio.TimerHandle | None = None
    _goodbye: asyncio.TimerHandle | None = None
    _handed_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stops to wait when a request is complete enough to be answered."""
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Starts to wait for the next request, of which a part may be here already."""
        super().on_response_complete()
        self._let_go()
        if self._deadline is None and not self._is_answering():
            self._wait()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection over to a WebSocket, which waits for what it has to wait for itself."""
        super().handle_websocket_upgrade(event)
        self._handed_over = True
        self._stop_waiting()

    def shutdown(self) -> None:
        """Closes the connection if nothing is under way on it, and waits for nothing that the client need not do."""
        super().shutdown()
        self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops to wait."""
        self._stop_waiting()
        if self._goodbye is not None:
            self._goodbye.cancel()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._handed_over:
            return
        self._deadline = self.loop.call_later(HEADER_TIMEOUT_S, self._on_deadline)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _let_go(self) -> None:
        if self.transport.is_closing() and self._goodbye is None:
            self._goodbye = self.loop.call_later(GOODBYE_S, self._on_no_goodbye)

    def _on_no_goodbye(self) -> None:
        if self.transport.get_write_buffer_size() == 0:  # an answer that is on its way has the time that all have
            self.transport.abort()

    def _on_deadline(self) -> None:
        self._deadline = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.close()
