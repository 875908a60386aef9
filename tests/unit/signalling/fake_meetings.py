"""Meetings in memory, for tests of how clients come into them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from livekit.protocol.rtc import JoinResponse, LeaveRequest, SignalRequest, SignalResponse

from signalling.domain.grants import Grant
from signalling.domain.ids import RoomId
from signalling.rtc.asked import Asked
from signalling.rtc.line import Line


@dataclass(eq=False)
class FakeSession:
    """Counts what it is asked, and answers each with that number."""

    line: Line
    asked: Asked
    grant: Grant
    requests: list[SignalRequest] = field(default_factory=list)
    ends: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None
    failing: Exception | None = None

    async def on_request(self, request: SignalRequest) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.failing is not None:
            raise self.failing
        self.requests.append(request)
        self.line.tell(SignalResponse(pong=len(self.requests)))

    def on_end(self) -> None:
        self.ends += 1
        self.over.set()


@dataclass
class FakeMeetings:
    """Takes in everybody, unless it is told otherwise."""

    sessions: list[FakeSession] = field(default_factory=list)
    refusal: Exception | None = None
    knows: bool = True
    joining: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None

    async def join(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> FakeSession:
        self.joining.set()
        if self.held is not None:
            await self.held.wait()
        if self.refusal is not None:
            raise self.refusal
        assert grant.room == room
        line.tell(SignalResponse(join=JoinResponse(server_version="1.9.0")))
        line.tell(SignalResponse(refresh_token="a newer one"))
        self.sessions.append(FakeSession(line=line, asked=asked, grant=grant))
        return self.sessions[-1]

    async def resume(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> FakeSession | None:
        if self.refusal is not None:
            raise self.refusal
        if not self.knows:
            line.tell(SignalResponse(leave=LeaveRequest(action=LeaveRequest.Action.RECONNECT)))
            return None
        line.tell(SignalResponse(pong=0))
        self.sessions.append(FakeSession(line=line, asked=asked, grant=grant))
        return self.sessions[-1]
