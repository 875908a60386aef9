"""Video inside an application that exists already: its people, its rules, one room for each appointment.

Try it: `uvicorn pysfu.examples.mounted_app:app`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from pysfu import PysfuError, Sfu
from pysfu.events import TransportClosed, TransportFailed

APPOINTMENTS = {"7": {"doctor", "patient"}}  # in your application this is a table

video = FastAPI()


def invited(appointment: str, x_person: Annotated[str, Header()]) -> str:
    """Says who asks, and lets in only those who are invited; put your own sign-in here."""
    if x_person not in APPOINTMENTS.get(appointment, ()):
        raise HTTPException(403, "not invited")
    return x_person


@video.post("/{appointment}/publish", dependencies=[Depends(invited)])
async def publish(appointment: str, request: Request) -> Response:
    """Takes what somebody sends."""
    return await _answer(request, appointment, publish=True)


@video.post("/{appointment}/play", dependencies=[Depends(invited)])
async def play(appointment: str, request: Request) -> Response:
    """Sends somebody what all others send."""
    return await _answer(request, appointment, publish=False)


async def _answer(request: Request, appointment: str, *, publish: bool) -> Response:
    rooms = request.app.state.rooms
    if appointment not in rooms:
        raise HTTPException(404, "the appointment has not begun")
    tracks = [] if publish else [track for other in rooms[appointment].participants for track in other.tracks]
    participant = await rooms[appointment].add_participant()
    try:
        transport = await participant.answer((await request.body()).decode(), publish=publish, play=tracks)
        for track in tracks:
            await participant.allow(track)
    except PysfuError as error:
        await participant.remove()
        raise HTTPException(400, str(error)) from error
    return Response(transport.sdp, media_type="application/sdp")


async def _see_out(sfu: Sfu) -> None:
    """Removes those who hang up."""
    async for event in sfu.events():
        if isinstance(event, TransportClosed | TransportFailed):
            await event.transport.participant.remove()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Runs the engine as long as the application runs."""
    async with Sfu() as sfu:
        video.state.rooms = {appointment: await sfu.create_room() for appointment in APPOINTMENTS}
        seeing_out = asyncio.create_task(_see_out(sfu))
        try:
            yield
        finally:
            seeing_out.cancel()


app = FastAPI(lifespan=lifespan)  # this one is yours
app.mount("/video", video)
