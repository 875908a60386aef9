"""Server-sent events of a connection, as WHEP's extension has them, for WHIP too: what stalls, that it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from signalling.domain.flow import Stalled
from signalling.domain.ids import RoomId
from signalling.domain.notices import Notice, Told
from signalling.http.access import owned, owner
from signalling.http.errors import RequestError, seconds_of
from signalling.http.parts import Parts, parts_of
from signalling.http.rooms import RoomPath
from signalling.notices import Watch

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_S = 15.0  # Proxies cut a connection on which nothing has passed for 30 s and more.
_REL = "urn:ietf:params:{}:ext:core:server-sent-events"
_TYPES = ",".join(Told)

router = APIRouter(tags=["events"])


def link(location: str) -> str:
    """Returns the value of the `Link` that announces the events of the connection at `location`."""
    protocol = "whep" if "/whep/" in location else "whip"
    return f'<{location}/events>; rel="{_REL.format(protocol)}"; events="{_TYPES}"'


@router.post("/whip/{room}/resources/{resource}/events", status_code=201)
@router.post("/whep/{room}/resources/{resource}/events", status_code=201)
async def choose(request: Request, response: Response, room: RoomPath, resource: RoomPath) -> None:
    """Answers where the events are that the caller wants: a JSON array of types, all of them without a body."""
    owned(request, room, resource, owner(request, RoomId(room)))
    body = await request.body()
    chosen = "?events=" + ",".join(_chosen(body)) if body else ""
    response.headers["Location"] = str(request.scope.get("root_path", "")) + request.url.path + chosen


@router.get("/whip/{room}/resources/{resource}/events", response_class=StreamingResponse)
@router.get("/whep/{room}/resources/{resource}/events", response_class=StreamingResponse)
async def tell(
    request: Request, room: RoomPath, resource: RoomPath, events: str = Query(_TYPES, max_length=256)
) -> Response:
    """Streams events until the connection has ended: one at a time of its holders hears them, the newest."""
    opened = owned(request, room, resource, owner(request, RoomId(room)))
    parts = parts_of(request)
    # Whoever waits here keeps a connection for hours: that must not keep others from being let in.
    if parts.streams >= parts.settings.http.max_connections // 2:
        raise RequestError("too_many_streams")
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold back what is too little to fill a buffer
    return StreamingResponse(_stream(parts, opened.watch, events.split(",")), media_type=MEDIA_TYPE, headers=headers)


def _chosen(body: bytes) -> list[Told]:
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, list):
        raise RequestError("request_invalid", "expected a JSON array of types of event")
    return [told for told in Told if told in wanted]


async def _stream(parts: Parts, watch: Watch, wanted: Collection[str]) -> AsyncIterator[bytes]:
    parts.streams += 1
    try:
        turn, told = watch.take(), dict[str, str]()
        yield b":\n\n"  # the headers leave with the first bytes
        while not watch.over and watch.is_for(turn):
            if watch.stalled != told and Told.MEDIA in wanted:
                told = dict(watch.stalled)
                yield _stalls(watch.stalled)
                continue
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await watch.changed()
            except TimeoutError:
                yield b":\n\n"
        if watch.over and watch.notice is not None and watch.notice.told in wanted:
            yield _event(watch.notice)
    finally:
        parts.streams -= 1


def _event(notice: Notice) -> bytes:
    data: dict[str, object] = {"reason": notice.reason.value}
    if notice.after is not None:
        data["after_s"] = seconds_of(notice.after)
    return _written(notice.told, data)


def _stalls(stalled: Stalled) -> bytes:
    return _written(Told.MEDIA, {"stalled": {kind: cause.value for kind, cause in sorted(stalled.items())}})


def _written(told: Told, data: dict[str, object]) -> bytes:
    return f"event: {told.value}\ndata: {json.dumps(data)}\n\n".encode()
