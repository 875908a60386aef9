"""The HTTP application: everything it answers, in one list."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from signalling.http import drain, errors, events, health, participants, room_service, rooms, rtc, whip
from signalling.http.front import Front
from signalling.http.parts import Parts

ROUTERS = (
    health.router,
    drain.router,
    rooms.router,
    participants.router,
    whip.router,
    events.router,
    room_service.router,
    rtc.router,
)


def build(parts: Parts, *, more: tuple[APIRouter, ...] = (), page_prefix: str | None = None) -> ASGIApp:
    """Makes the application.

    Args:
        parts: what the routes work with.
        more: further routes, such as those of the demo.
        page_prefix: where pages for browsers are, which need a content security policy of their own.
    """
    # No interactive documentation: FastAPI's loads from another host. The description itself is served.
    app = FastAPI(title="pysfu", version=own_version(), docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.parts = parts
    errors.install(app)
    for router in (*ROUTERS, *more):
        app.include_router(router)
    room_service.install(app)
    return Front(app, parts, page_prefix=page_prefix)


def own_version() -> str:
    """The installed version."""
    try:
        return version("pysfu")
    except PackageNotFoundError:
        return "0+source"
