"""WHIP (RFC 9725) and WHEP over HTTP: one POST opens a connection, its resource is patched and deleted."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from signalling.clocks import steady
from signalling.connections import OpenConnection
from signalling.domain.ids import MAX_ID_LENGTH, RoomId
from signalling.http import events
from signalling.http.access import Bearer, owned, owner
from signalling.http.errors import OUR_FAULTS, RequestError, code_of
from signalling.http.parts import parts_of
from signalling.http.rooms import RoomPath
from signalling.whip.fragment import (
    MEDIA_TYPE as FRAGMENT,
)
from signalling.whip.fragment import (
    Fragment,
    credentials_of,
    fragment_of,
    parse_fragment,
    with_credentials,
)
from signalling.whip.sdp import Direction, Offer, check_offer

SDP = "application/sdp"

router = APIRouter(tags=["whip"])

SourcePath = Annotated[str, Path(max_length=MAX_ID_LENGTH)]


@router.post("/whip/{room}", status_code=201, response_class=Response)
async def publish(request: Request, room: RoomPath, bearer: Bearer) -> Response:
    """Takes an offer of what the caller will send, and answers it."""
    offer = await _offer(request, Direction.SEND)
    publishing = parts_of(request).rooms.publish(RoomId(room), bearer, offer.text, kinds=offer.kinds)
    opened = await _counted(request, publishing)
    return _created(request, opened, f"/whip/{room}/resources/{opened.resource}")


@router.post("/whep/{room}/{source}", status_code=201, response_class=Response)
async def play(request: Request, room: RoomPath, source: SourcePath, bearer: Bearer) -> Response:
    """Takes an offer to receive what a participant, or one of its publications, sends, and answers it."""
    offer = await _offer(request, Direction.RECEIVE)
    opened = await _counted(request, parts_of(request).rooms.play(RoomId(room), bearer, source, offer.text))
    return _created(request, opened, f"/whep/{room}/resources/{opened.resource}")


@router.options("/whip/{room}", status_code=204)
@router.options("/whep/{room}/{source}", status_code=204)
async def tell_methods(response: Response) -> None:
    """Tells what can be posted here (Accept-Post is on every answer)."""
    response.headers["Allow"] = "POST, OPTIONS"


@router.delete("/whip/{room}/resources/{resource}", status_code=200)
@router.delete("/whep/{room}/resources/{resource}", status_code=200)
async def end(request: Request, room: RoomPath, resource: SourcePath) -> None:
    """Ends the connection."""
    opened = owned(request, room, resource, owner(request, RoomId(room)))
    await parts_of(request).rooms.close(opened.room, opened.resource)


@router.patch("/whip/{room}/resources/{resource}", response_class=Response)
@router.patch("/whep/{room}/resources/{resource}", response_class=Response)
async def patch(request: Request, room: RoomPath, resource: SourcePath) -> Response:
    """Takes further candidates of the caller, or restarts ICE when the fragment has new credentials.

    As a call outlives its token, so does the right to carry it into another network; the keys stay the caller's.
    """
    theirs = owner(request, RoomId(room))
    if theirs is None:
        raise RequestError("token_invalid")
    opened = owned(request, room, resource, theirs)
    _check_content_type(request, FRAGMENT)
    fragment = parse_fragment(await request.body())
    current = (fragment.ufrag, fragment.password) == credentials_of(opened.offer)
    _check_etag(request, opened, current=current)
    if current:
        # The engine learns our callers' addresses from their own checks, so the candidates need no further work.
        return Response(status_code=204, headers={"ETag": opened.ice_tag})
    return await _restart(request, opened, fragment)


async def _restart(request: Request, opened: OpenConnection, fragment: Fragment) -> Response:
    answer = await parts_of(request).rooms.restart(opened, with_credentials(opened.offer, fragment))
    parts_of(request).metrics.on_reconnect("ice_restart")
    return Response(fragment_of(answer), media_type=FRAGMENT, headers={"ETag": opened.ice_tag})


async def _counted(request: Request, opening: Awaitable[OpenConnection]) -> OpenConnection:
    """Counts how a join went."""
    metrics, rooms, began = parts_of(request).metrics, parts_of(request).rooms, steady()
    try:
        opened = await opening
    except Exception as error:
        code, _ = code_of(error)
        metrics.on_join("error" if code in OUR_FAULTS else "denied")
        raise
    metrics.on_join("ok")
    metrics.on_answer((steady() - began).total_seconds())
    metrics.room_participants.observe(len(rooms.roster(opened.room)))
    return opened


def _created(request: Request, opened: OpenConnection, location: str) -> Response:
    root = str(request.scope.get("root_path", ""))
    links = [events.link(root + location)]
    if opened.connection.publication is not None:
        links.insert(0, f'<{root}/whep/{opened.room}/{opened.connection.publication.publication}>; rel="alternate"')
    headers = {"Location": root + location, "ETag": opened.ice_tag, "Accept-Patch": FRAGMENT, "Link": ", ".join(links)}
    return Response(opened.transport.sdp, status_code=HTTPStatus.CREATED, media_type=SDP, headers=headers)


async def _offer(request: Request, direction: Direction) -> Offer:
    _check_content_type(request, SDP)
    accepted = [part.split(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")]
    if not {SDP, "application/*", "*/*"}.intersection(accepted):
        raise RequestError("not_acceptable", f"the answer is {SDP}")
    return check_offer(await request.body(), direction=direction)


def _check_content_type(request: Request, expected: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise RequestError("content_type_wrong", f"expected {expected}")


def _check_etag(request: Request, opened: OpenConnection, *, current: bool) -> None:
    """Keeps an outdated fragment from changing a newer ICE session (RFC 9725 section 4.3.1)."""
    match = request.headers.get("if-match")
    if match is None:
        raise RequestError("if_match_required", f"the current one is {opened.ice_tag}")
    if match == "*":
        return
    if match != opened.ice_tag:
        raise RequestError("if_match_failed", f"the current one is {opened.ice_tag}")
    if not current:
        raise RequestError("fragment_outdated", 'to restart ICE, send If-Match: "*" as RFC 9725 says')
