"""A forwarding server in 30 lines. Try it: `uvicorn pysfu.examples.forwarding_server:app`, then POST offers to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from pysfu import Sfu


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: D103
    async with Sfu() as sfu, await sfu.create_room() as app.state.room:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/publish")
async def publish(request: Request) -> Response:
    """Takes what somebody sends."""
    publisher = await request.app.state.room.add_participant()
    transport = await publisher.answer((await request.body()).decode())
    return Response(transport.sdp, media_type="application/sdp")


@app.post("/play")
async def play(request: Request) -> Response:
    """Sends somebody all there is."""
    tracks = [track for publisher in request.app.state.room.participants for track in publisher.tracks]
    subscriber = await request.app.state.room.add_participant()
    transport = await subscriber.answer((await request.body()).decode(), publish=False, play=tracks)
    for track in tracks:
        await subscriber.allow(track)  # nothing flows before this
    return Response(transport.sdp, media_type="application/sdp")
