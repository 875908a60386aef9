"""Meetings by WHIP (RFC 9725) and WHEP: one connection for what somebody sends, and one for each whom they receive."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Self

import httpx
from aiortc import MediaStreamTrack
from callers import SDP, Caller, Meeting
from meeting_edge import Attendee, RefusedError, Roster
from relay import Relay

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}


class WhipAttendee:
    """Somebody who takes part: in the meeting for as long as they send or receive."""

    def __init__(self, room: Meeting, identity: str, token: str) -> None:
        self.identity = identity
        self.relay = Relay()
        self.opened: dict[str, Caller] = {}
        self._room = room
        self._bearer = {"Authorization": f"Bearer {token}"}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self.relay)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def publish(self, *tracks: MediaStreamTrack) -> None:
        caller = await self._stack.enter_async_context(Caller(relay=self.relay))
        await self._open(f"/whip/{self._room.room}", caller.send(*tracks))

    async def subscribe(self, source: str) -> None:
        caller = await self._stack.enter_async_context(Caller(relay=self.relay))
        await self._open(f"/whep/{self._room.room}/{source}", caller.take("video", "audio"))

    def pictures(self) -> list[tuple[int, int]]:
        return [picture for caller in self.opened.values() for picture in caller.pictures]

    async def heard(self) -> float:
        (playing,) = (caller for resource, caller in self.opened.items() if resource.startswith("/whep/"))
        return await playing.heard()

    async def roster(self) -> Roster:
        view = await self._room.http.get(f"/rooms/{self._room.room}", headers=self._bearer)
        assert view.status_code == 200, view.text
        return {
            seat["participant"]: frozenset(track["kind"] for each in seat["publishes"] for track in each["tracks"])
            for seat in view.json()["roster"]
        }

    async def lose_network(self) -> None:
        self.relay.is_cut = True

    async def resume(self) -> None:
        self.relay.move()
        self.relay.is_cut = False
        for resource, caller in self.opened.items():
            fragment = await self._asked("PATCH", resource, FRAGMENT, caller.renew())
            await caller.checked(fragment.text)

    async def leave(self) -> None:
        for resource in list(self.opened):
            await self._asked("DELETE", resource)
            del self.opened[resource]

    async def _open(self, path: str, caller: Caller) -> None:
        posted = await self._asked("POST", path, SDP, await caller.offer())
        await caller.accept(posted.text)
        await caller.connected()
        self.opened[posted.headers["Location"]] = caller

    async def _asked(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> httpx.Response:
        answer = await self._room.http.request(method, path, headers=self._bearer | (headers or {}), content=body)
        if answer.status_code == 403:
            raise RefusedError(answer.json()["code"])
        assert answer.is_success, answer.text
        return answer


class WhipEdge:
    """WHIP and WHEP."""

    name = "whip"

    @contextlib.asynccontextmanager
    async def join(self, room: Meeting, identity: str, **rights: bool) -> AsyncIterator[WhipAttendee]:
        async with WhipAttendee(room, identity, await room.token(identity, **rights)) as attendee:
            yield attendee

    async def stop_receiving(self, room: Meeting, attendee: Attendee) -> None:
        await self._end(room, attendee, "/whep/")

    async def stop_sending(self, room: Meeting, attendee: Attendee) -> None:
        await self._end(room, attendee, "/whip/")

    async def _end(self, room: Meeting, attendee: Attendee, path: str) -> None:
        # A token's rights are fixed here: an administrator ends what they opened. For good, only a removal does.
        assert isinstance(attendee, WhipAttendee)
        for resource in [resource for resource in attendee.opened if resource.startswith(path)]:
            await room.end(resource)
