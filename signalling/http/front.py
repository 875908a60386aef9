"""What happens to every request before and after the routes: limits, headers, CORS, one log line."""

from __future__ import annotations

import asyncio
import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalling.http.errors import problem, unexpected
from signalling.http.parts import Parts
from signalling.http.rtc import OPEN_TO_ALL, is_signalling

log = structlog.get_logger(__name__)

BODY_TIMEOUT_S = 10.0  # An offer is 12 kB: even 16 kbit/s needs only 6 s.
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"})

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CORS_ALLOW = {
    "Access-Control-Allow-Headers": "authorization, content-type, if-match",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Max-Age": "600",
}
_SLASHES = re.compile("//+")


class Front:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, parts: Parts, *, page_prefix: str | None = None) -> None:
        self._app = app
        self._parts = parts
        self._page_prefix = page_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP goes through untouched."""
        if "path" in scope:  # LiveKit's clients append theirs to the address that they are given, last slash and all
            scope = {**scope, "path": _SLASHES.sub("/", scope["path"])}
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._headers(scope))
        began = time.perf_counter()
        try:
            await self._serve(scope, receive, answer)
        except Exception as error:
            if not answer.started:
                await unexpected(error)(scope, receive, answer)
        finally:
            self._note(scope, answer.status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read(receive, Headers(scope=scope), self._parts.settings.http.max_body_bytes)
        except _HungUpError:
            return
        except TimeoutError:
            await problem("body_too_slow")(scope, receive, send)
            return
        if body is None:
            limit = self._parts.settings.http.max_body_bytes
            await problem("body_too_large", f"at most {limit} bytes")(scope, receive, send)
            return
        await self._app(scope, _Replay(body, receive), send)

    def _headers(self, scope: Scope) -> dict[str, str]:
        is_page = self._page_prefix is not None and scope["path"].startswith(self._page_prefix)
        headers = {**_HEADERS, "Content-Security-Policy": _PAGE_POLICY if is_page else _API_POLICY}
        # Not for a trial: its certificate is not trusted, and the promise would bind "localhost" for a year.
        if scope["scheme"] == "https" and self._page_prefix is None:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if scope["path"].startswith(("/whip/", "/whep/")):
            headers["Accept-Post"] = "application/sdp"
        return headers | self._cors(scope)

    def _cors(self, scope: Scope) -> dict[str, str]:
        preflight = _CORS_ALLOW if scope["method"] == "OPTIONS" else {}
        if is_signalling(scope["path"]):
            return OPEN_TO_ALL | preflight
        origin = Headers(scope=scope).get("origin")
        allowed = self._parts.settings.http.allowed_origins
        if origin is None or not allowed:
            return {}
        headers = {"Vary": "Origin"}
        if origin in allowed or "*" in allowed:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "location, etag, link, accept-post, retry-after"
            headers |= preflight
        return headers

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._parts.metrics.on_request(route=route, method=method, status=status, seconds=seconds)
        if route not in ("/live", "/ready", "/metrics"):
            log.info("request", route=route, method=method, status=status, duration_ms=round(seconds * 1000, 1))


class _HungUpError(Exception):
    """The caller went away before its body was complete."""


class _Answer:
    """Adds our headers to the answer and remembers its status."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status = 499  # nginx's number for a caller who went away before the answer
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)


class _Replay:
    """Gives a body that has been read already, then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


async def _read(receive: Receive, headers: Headers, limit: int) -> bytes | None:
    """Returns the whole body, or None when it is longer than `limit`.

    Raises:
        _HungUpError: the caller went away meanwhile; half a body must not be acted upon.
    """
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:12]) > limit:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _HungUpError
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)
