"""Between rooms and the media engine: what this server needs of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

MediaKind = Literal["audio", "video"]


class MediaError(Exception):
    """The engine did not do what was asked; nothing changed."""


class InvalidOfferError(MediaError):
    """The engine cannot answer the offer. The message names the fault and quotes nothing personal."""


class EngineFullError(MediaError):
    """The engine holds as much as it may."""


class EngineUnavailableError(MediaError):
    """The engine is stopping, or has failed."""


class MediaGoneError(MediaError):
    """What was named does not exist any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerGone:
    """A participant's transport has failed or was closed by the other end; it will not come back."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomGone:
    """The engine ended a room because of a fault of its own."""

    media_room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConnected:
    """A participant's transport carries media."""

    peer: str
    srtp_profile: str
    dtls_version: str


MediaEvent = PeerConnected | PeerGone | RoomGone


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFigures:
    """Counters and states of the engine. Drops are by reason, from a fixed set of words."""

    rooms: int = 0
    peers: int = 0
    connected_peers: int = 0
    tracks: int = 0
    edges: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)


class MediaTrack(Protocol):
    """A track of a publisher."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> MediaKind: ...  # noqa: D102


class MediaTransport(Protocol):
    """A negotiated transport of one participant."""

    @property
    def sdp(self) -> str:
        """Our answer."""

    @property
    def tracks(self) -> Sequence[MediaTrack]:
        """What the participant publishes over it."""

    async def restart(self, offer: str) -> str:
        """Restarts ICE with an offer that has new credentials, and returns the new answer."""


class MediaPeer(Protocol):
    """One participant of the engine."""

    @property
    def id(self) -> str: ...  # noqa: D102

    async def answer(self, offer: str, *, publish: bool, play: Sequence[MediaTrack]) -> MediaTransport:
        """Answers an offer."""

    async def allow(self, track: MediaTrack) -> None:
        """Lets the track flow to this participant."""

    async def remove(self) -> None:
        """Ends the participant; harmless when it is gone already."""


class MediaRoom(Protocol):
    """One room of the engine."""

    @property
    def id(self) -> str: ...  # noqa: D102

    async def add_participant(self) -> MediaPeer:
        """Makes a participant, without transport and without any right to receive."""

    async def close(self) -> None:
        """Ends the room and all in it; harmless when it is gone already."""


class MediaEngine(Protocol):
    """The engine."""

    async def create_room(self) -> MediaRoom:
        """Makes an empty room."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what happens, until the engine stops."""

    async def figures(self) -> MediaFigures:
        """Returns counters and states."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PysfuEngine:
    """Placeholder until the adapter is written."""
