"""The HTTP server, uvicorn: how it is set up, and how it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from signalling.certificate import LiveCertificate
from signalling.config import Settings
from signalling.http import MAX_REQUEST_LINE
from signalling.http.connection import TimedProtocol
from signalling.http.websocket import PING_INTERVAL_S, PING_LIMIT_S, TimedWebSocket
from signalling.rtc.signal import MAX_FRAME_BYTES

MAX_HEADER_BYTES = 16_384
"""Of all headers of a request together; browsers send some 2 000."""


class Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process before our own shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to us."""
        yield


def configured(settings: Settings, app: ASGIApp, certificate: LiveCertificate | None) -> uvicorn.Config:
    """Says how `app` is served."""
    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws=TimedWebSocket,
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_LIMIT_S,
        ws_per_message_deflate=False,  # what is sent is small, and a window for each client is not
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.http.max_connections,
        timeout_graceful_shutdown=settings.shutdown.grace_s,
        h11_max_incomplete_event_size=MAX_REQUEST_LINE + MAX_HEADER_BYTES,
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate else None,
    )
    config.load()
    return config


@contextlib.contextmanager
def signals(stop: asyncio.Event, reread: asyncio.Event, http: uvicorn.Server) -> Iterator[None]:
    """Turns signals into a stop, of which the second no longer waits for requests in progress, or into another look."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            http.force_exit = True
        stop.set()

    actions = {signal.SIGTERM: on_signal, signal.SIGINT: on_signal, signal.SIGHUP: reread.set}
    try:
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
    except (NotImplementedError, RuntimeError, ValueError):  # not the main thread: whoever runs us cancels the task
        yield
        return
    try:
        yield
    finally:
        for number in actions:
            loop.remove_signal_handler(number)
