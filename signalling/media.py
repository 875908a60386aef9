"""Between rooms and the media engine: what this server needs of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from signalling.addresses import to_bind
from signalling.domain.heartbeat import Beat
from signalling.figures import MediaFigures, MediaWarning, WorkerFailed, figures_of
from signalling.media_events import MediaEvent, PeerConnected, PeerGone, PeerReconnected, Resynced, RoomGone

MediaKind = Literal["audio", "video"]

START_BITRATE_BPS = 1_200_000
"""What browsers are asked to begin with; left to itself, Chromium sends a single picture 320 pixels wide for 12 s."""

FIGURES_TIMEOUT = timedelta(seconds=1)
"""How long figures may take; a worker answers within milliseconds, or hangs."""

CREATE_TIMEOUT = timedelta(seconds=2)
"""How long making a room may take; likewise, and the next one is made by another worker then."""


class MediaError(Exception):
    """The engine did not do what was asked; nothing changed."""


class InvalidOfferError(MediaError):
    """The engine cannot answer the offer. The message names the fault and quotes nothing personal."""


class EngineFullError(MediaError):
    """The engine holds as much as it may."""


class EngineUnavailableError(MediaError):
    """The engine is stopping, or has failed."""


class EngineLateError(EngineUnavailableError):
    """A worker has not answered in time. The message says what to do."""


class EngineStartError(MediaError):
    """The engine cannot start with its configuration. The message is one clear line."""


class MediaGoneError(MediaError):
    """What was named does not exist any more."""


class MediaRoomGoneError(MediaGoneError):
    """The room does not exist any more."""


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

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> MediaTransport:
        """Answers an offer, and takes what is sent of these kinds and of no other."""

    async def allow(self, track: MediaTrack) -> None:
        """Lets the track flow to this participant."""

    async def remove(self) -> None:
        """Ends the participant; harmless when it is gone already."""


class MediaRoom(Protocol):
    """One room of the engine."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def worker(self) -> int: ...  # noqa: D102

    async def add_participant(self) -> MediaPeer:
        """Makes a participant, without transport and without any right to receive."""

    async def close(self) -> None:
        """Ends the room and all in it; harmless when it is gone already."""


class MediaEngine(Protocol):
    """The engine."""

    async def create_room(self, *, avoid: Collection[int]) -> MediaRoom:
        """Makes an empty room, on none of the workers to avoid; raises `EngineLateError` after `CREATE_TIMEOUT`."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what happens, until the engine stops."""

    async def figures(self) -> MediaFigures:
        """Returns counters and states, within a second or so."""

    def beats(self) -> Sequence[Beat]:
        """Returns, at once, what tells whether the workers go round."""

    @property
    def warnings(self) -> Sequence[MediaWarning]:
        """What the system did not grant; once started."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where clients are told to send media, as `host:port`; once started."""

    @property
    def left_behind(self) -> Sequence[int]:
        """Workers that hung when the engine was stopped; once stopped."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the engine and all in it, within seconds; harmless when that was done already."""


class PysfuEngine:
    """The real engine, through pysfu's Python API."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        workers: int,
        announced_addresses: Sequence[str],
        pin_workers: bool = False,
        max_dtls_version: Literal["1.2", "1.3"] = "1.2",
        aead_only: bool = False,
    ) -> None:
        self._bind = tuple(str(address) for address in to_bind(ip_address(host)))
        self._port = port
        self._workers = workers
        self._pin_workers = pin_workers
        self._announce = tuple(announced_addresses)
        self._max_dtls_version = max_dtls_version
        self._aead_only = aead_only
        self._sfu: Any = None
        self._known: dict[int, Any] = {}

    async def __aenter__(self) -> Self:
        """Starts the engine."""
        import pysfu

        with _translated():
            config = pysfu.Config(
                bind=self._bind,
                port=self._port,
                workers=self._workers,
                pin=self._pin_workers,
                announce=self._announce,
                max_dtls_version=self._max_dtls_version,
                aead_only=self._aead_only,
            )
            self._sfu = await pysfu.Sfu(config).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the engine and all in it."""
        await self._sfu.__aexit__(kind, error, trace)

    async def create_room(self, *, avoid: Collection[int]) -> MediaRoom:
        """Makes an empty room, on none of the workers to avoid."""
        with _translated():
            return _PysfuRoom(await self._sfu.create_room(avoid=avoid, timeout=CREATE_TIMEOUT))

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what concerns rooms and participants; the rest is for others."""
        async for event in self._sfu.events():
            known = _event(event, self._sfu)
            if known is not None:
                yield known

    async def figures(self) -> MediaFigures:
        """Returns counters and states, within a second or so."""
        with _translated():
            stats = await self._sfu.stats(timeout=FIGURES_TIMEOUT)
        return figures_of(stats.workers, self._known)

    def beats(self) -> Sequence[Beat]:
        """Returns, at once, what tells whether the workers go round."""
        with _translated():
            return [Beat(turns=rim.turns, failed=rim.failed != 0) for rim in self._sfu.counters()]

    @property
    def warnings(self) -> Sequence[MediaWarning]:
        """What the system did not grant; once started."""
        return [_warning(warning) for warning in self._sfu.warnings]

    @property
    def addresses(self) -> Sequence[str]:
        """Where clients are told to send media, as `host:port`; once started."""
        return [address for worker in self._sfu.addresses for address in worker]

    @property
    def left_behind(self) -> Sequence[int]:
        """Workers that hung when the engine was stopped; once stopped."""
        return tuple(self._sfu.left_behind)


class _PysfuRoom:
    def __init__(self, room: Any) -> None:
        self._room = room
        self.id = str(room.id)
        self.worker = int(room.worker)

    async def add_participant(self) -> MediaPeer:
        with _translated():
            return _PysfuPeer(await self._room.add_participant())

    async def close(self) -> None:
        with _translated():
            await self._room.close()


class _PysfuPeer:
    def __init__(self, participant: Any) -> None:
        self._participant = participant
        self.id = str(participant.id)

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> MediaTransport:
        theirs = [track.inner for track in play if isinstance(track, _PysfuTrack)]
        start = START_BITRATE_BPS if publish else None
        with _translated():
            return _PysfuTransport(
                await self._participant.answer(offer, publish=publish, play=theirs, start_bitrate_bps=start)
            )

    async def allow(self, track: MediaTrack) -> None:
        assert isinstance(track, _PysfuTrack)  # noqa: S101 - there is no other kind here
        with _translated():
            await self._participant.allow(track.inner)

    async def remove(self) -> None:
        with _translated():
            await self._participant.remove()


class _PysfuTransport:
    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.tracks: Sequence[MediaTrack] = [_PysfuTrack(track) for track in transport.tracks]

    @property
    def sdp(self) -> str:
        return str(self._transport.sdp)

    async def restart(self, offer: str) -> str:
        with _translated():
            return str(await self._transport.restart(offer))


class _PysfuTrack:
    def __init__(self, track: Any) -> None:
        self.inner = track
        self.id = str(track.id)
        self.kind: MediaKind = "audio" if str(track.kind) == "audio" else "video"


# Code of pysfu → what it means to this server. Codes that are not listed are faults of ours.
_MEANINGS: dict[str, type[MediaError]] = {
    "invalid_sdp": InvalidOfferError,
    "no_common_codec": InvalidOfferError,
    "bad_session": InvalidOfferError,
    "unknown_mid": InvalidOfferError,
    "no_free_section": InvalidOfferError,
    "start": EngineStartError,
    "full": EngineFullError,
    "unavailable": EngineUnavailableError,
    "late": EngineLateError,
    "closed": EngineUnavailableError,
    "unknown_room": MediaRoomGoneError,
    "unknown_peer": MediaGoneError,
    "unknown_track": MediaGoneError,
    "transport_failed": MediaGoneError,
    "room_failed": MediaRoomGoneError,
}


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turns pysfu's errors into this server's."""
    import pysfu

    try:
        yield
    except pysfu.PysfuError as error:
        raise _MEANINGS.get(str(error.code), MediaError)(str(error)) from error


def _event(event: Any, sfu: Any) -> MediaEvent | None:
    from pysfu import events

    match event:
        case events.TransportConnected():
            return PeerConnected(
                peer=event.transport.participant.id, srtp_profile=event.srtp_profile, dtls_version=event.dtls_version
            )
        case events.TransportReconnected():
            return PeerReconnected(peer=event.transport.participant.id)
        case events.TransportFailed():
            return PeerGone(peer=event.transport.participant.id, reason=event.reason)
        case events.TransportClosed():
            return PeerGone(peer=event.transport.participant.id, reason="closed")
        case events.RoomFailed():
            return RoomGone(media_room=event.room.id)
        case events.WorkerFailed():
            return WorkerFailed(worker=event.worker)
        case events.Warned():
            return _warning(event.warning)
        case events.Resynced():
            return Resynced(media_rooms=frozenset(room.id for room in sfu.rooms), peers=frozenset(_living(sfu)))
        case _:
            return None


def _living(sfu: Any) -> Iterator[str]:
    """Yields the participants whose transport has not ended."""
    for room in sfu.rooms:
        for participant in room.participants:
            if any(str(transport.state) not in ("failed", "closed") for transport in participant.transports):
                yield participant.id


def _warning(warning: Any) -> MediaWarning:
    return MediaWarning(code=warning.code, remedy=warning.remedy, worker=warning.worker, figures=dict(warning.figures))
