"""The demo: one room, a page, and a link that lets in whoever has it. For trials only.

Here, and only here, people say what they want to be called. That stays in memory, is shown to those in the room, and
is forgotten when they leave.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from signalling.domain.grants import Purpose, refusal_in_room
from signalling.domain.ids import RoomId
from signalling.faults import RefusedError
from signalling.http.access import Bearer
from signalling.http.errors import RequestError
from signalling.http.parts import Parts, parts_of
from signalling.http.rooms import NewToken, mint_for

PAGE_PREFIX = "/demo/"
MAX_NAMES = 500  # Far more than the demo's room holds; the oldest are forgotten first.

_FOLDER = Path(__file__).parent / "web" / "demo"
_FILES = {"": "index.html", "demo.js": "demo.js", "texts.js": "texts.js", "whip.js": "whip.js", "demo.css": "demo.css"}
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css"}


class Joining(BaseModel):
    """What the page sends to come in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(max_length=128)
    called: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class Joined(BaseModel):
    """What the page needs to take part."""

    token: str
    room: str
    participant: str


class Person(BaseModel):
    """Someone in the demo's room."""

    participant: str
    called: str
    publications: list[str]
    receives_from: list[str]


@dataclass(slots=True)
class Demo:
    """The demo's room and what people in it are called."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    room: RoomId | None = None
    names: dict[str, str] = field(default_factory=dict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def join(self, parts: Parts, joining: Joining) -> Joined:
        """Lets someone in who has the link.

        Raises:
            RequestError: the key of the link is wrong.
        """
        if not hmac.compare_digest(joining.key.encode(), self.key.encode()):
            raise RequestError("demo_key_wrong")
        # After a restart all come at once: they are to meet in one room.
        async with self._making:
            if self.room is None or self.room not in {room.room for room in parts.rooms.all()}:
                self.room = (await parts.rooms.create(name="demo")).room
        token = mint_for(parts, self.room, NewToken(life_s=parts.settings.tokens.max_life_s))
        self._forget(parts)
        self.names[token.participant] = joining.called
        return Joined(token=token.token, room=self.room, participant=token.participant)

    def people(self, parts: Parts, room: RoomId) -> list[Person]:
        """Lists who is there, with what they are called."""
        return [
            Person(
                participant=seat.participant,
                called=self.names.get(seat.participant, "?"),
                publications=[publication.publication for publication in seat.publishes],
                receives_from=list(seat.receives_from),
            )
            for seat in parts.rooms.roster(room)
        ]

    def forget(self, participant: str) -> None:
        """Forgets what someone is called."""
        self.names.pop(participant, None)

    def _forget(self, parts: Parts) -> None:
        """Makes place: first for those who are not in the room, then for those who came first."""
        while len(self.names) >= MAX_NAMES:
            seated = {seat.participant for seat in parts.rooms.roster(self.room)} if self.room else set()
            self.names.pop(next((name for name in self.names if name not in seated), next(iter(self.names))))


def routes(demo: Demo) -> APIRouter:
    """Makes the demo's routes."""
    router = APIRouter(tags=["demo"], prefix=PAGE_PREFIX.rstrip("/"))

    @router.get("", include_in_schema=False)
    async def to_page() -> RedirectResponse:
        return RedirectResponse(PAGE_PREFIX)

    @router.post("/join", status_code=201)
    async def join(request: Request, joining: Joining) -> Joined:
        """Lets someone in who has the link."""
        return await demo.join(parts_of(request), joining)

    @router.get("/people")
    async def people(request: Request, bearer: Bearer) -> list[Person]:
        """Lists who is in the room of the token."""
        refusal = refusal_in_room(bearer, room=bearer.room, purpose=Purpose.SEE_ROSTER)
        if refusal is not None:
            raise RefusedError(refusal)
        return demo.people(parts_of(request), bearer.room)

    @router.post("/leave", status_code=204)
    async def leave(bearer: Bearer) -> None:
        """Forgets what someone is called."""
        demo.forget(bearer.participant)

    @router.get("/{file}", include_in_schema=False)
    async def page(file: str) -> FileResponse:
        return _file(file)

    @router.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return _file("")

    return router


def _file(name: str) -> FileResponse:
    if name not in _FILES:
        raise RequestError("not_found")
    path = _FOLDER / _FILES[name]
    return FileResponse(path, media_type=_TYPES[path.suffix])
