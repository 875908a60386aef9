"""Is it alive, will it take calls, and how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from signalling.http.access import MetricsOnly
from signalling.http.errors import problem
from signalling.http.parts import State, parts_of

router = APIRouter(tags=["health"])


@router.head("/live", include_in_schema=False)
@router.get("/live")
async def live() -> dict[str, str]:
    """Answers as long as the process works: restart it when this does not answer."""
    return {"status": "live"}


@router.head("/ready", response_model=None, include_in_schema=False)
@router.get("/ready", response_model=None)
async def ready(request: Request) -> Response:
    """Answers 200 as long as new calls are taken, else 503: send them to another node then."""
    state = parts_of(request).state
    if state is not State.SERVING:
        return problem("closing", f"the state is {state.value}")
    refusal = parts_of(request).heartbeat.refusal()
    if refusal is not None:
        return problem("engine_unavailable", refusal)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", dependencies=[MetricsOnly], response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(await parts_of(request).metrics.render(), media_type=CONTENT_TYPE_LATEST)
