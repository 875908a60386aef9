"""What the routes are given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from starlette.requests import HTTPConnection

from signalling.config import Settings
from signalling.domain.heartbeat import Heartbeat
from signalling.draining import Draining
from signalling.metrics import Metrics
from signalling.rooms import Rooms
from signalling.rtc.administered import Administered
from signalling.rtc.line import Meetings
from signalling.tokens import Tokens


class State(StrEnum):
    """Where this node is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


@dataclass(slots=True, kw_only=True)
class Parts:
    """The parts that `server.py` has put together."""

    settings: Settings
    rooms: Rooms
    meetings: Meetings
    administered: Administered
    tokens: Tokens
    metrics: Metrics
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    state: State = State.STARTING
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    draining: Draining = field(init=False)
    streams: int = 0
    lines: int = 0

    def __post_init__(self) -> None:
        self.draining = Draining(
            self.rooms,
            on_begin=partial(self.enter, State.DRAINING),
            on_call_off=partial(self.enter, State.SERVING),
        )
        self.metrics.participants.set_function(self.rooms.census.people)
        self.metrics.rooms_quarantined.set_function(self.rooms.census.resting)
        self.metrics.event_streams.set_function(lambda: self.streams)
        self.metrics.signal_connections.set_function(lambda: self.lines)
        self.metrics.rooms_waiting.set_function(self.rooms.census.waiting)
        for kind in ("audio", "video"):
            self.metrics.tracks.labels(kind, "pub").set_function(partial(self.rooms.census.tracks, kind))
            self.metrics.tracks.labels(kind, "sub").set_function(partial(self.rooms.census.played, kind))
        self.rooms.census.follow_moves(self.metrics.on_move)

    def enter(self, state: State) -> None:
        """Moves to another state."""
        self.state = state
        self.metrics.on_state(state.value)


def parts_of(request: HTTPConnection) -> Parts:
    """Finds the parts of the application that got this request, or this WebSocket."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)  # noqa: S101 - set where the application is made
    return parts
