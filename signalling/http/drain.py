"""Draining over HTTP: an administrating system begins it, sees how it goes, calls it off."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from signalling.draining import DrainState
from signalling.http.access import AdminOnly
from signalling.http.errors import RequestError
from signalling.http.parts import State, parts_of

router = APIRouter(tags=["drain"], dependencies=[AdminOnly])


class NewDrain(BaseModel):
    """What to begin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_s: float = Field(ge=0, le=86_400)


class DrainView(BaseModel):
    """How it is going."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    draining: bool
    seconds_left: float | None
    calls_left: int


@router.post("/drain")
async def begin(request: Request, wanted: NewDrain) -> DrainView:
    """Lets nobody in any more; when the deadline comes or the last call has ended, the server stops as on SIGTERM."""
    parts = parts_of(request)
    if parts.state not in (State.SERVING, State.DRAINING):
        raise RequestError("closing", f"the state is {parts.state.value}")
    return _view(parts.draining.begin(timedelta(seconds=wanted.deadline_s)))


@router.get("/drain")
async def look(request: Request) -> DrainView:
    """Shows how many seconds and calls are left."""
    return _view(parts_of(request).draining.state())


@router.delete("/drain")
async def call_off(request: Request) -> DrainView:
    """Has everything as before, unless a signal began it or it is over."""
    return _view(parts_of(request).draining.call_off())


def _view(state: DrainState) -> DrainView:
    seconds = None if state.left is None else round(state.left.total_seconds(), 1)
    return DrainView(draining=state.left is not None, seconds_left=seconds, calls_left=state.calls)
