"""The real media engine, through pysfu's Python API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, assert_never

import structlog

from signalling.addresses import to_bind
from signalling.domain.flow import Reading
from signalling.domain.heartbeat import Beat
from signalling.figures import MediaFigures, MediaWarning, WorkerFailed, figures_of, reading_of
from signalling.media import (
    CREATE_TIMEOUT,
    FIGURES_TIMEOUT,
    START_BITRATE_BPS,
    MediaKind,
    MediaPeer,
    MediaRoom,
    MediaTrack,
    MediaTransport,
    ResumedPeer,
    ResumedRoom,
)
from signalling.media_events import (
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    MediaEvent,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    Resynced,
    RoomGone,
)
from signalling.pysfu_errors import translated

if TYPE_CHECKING:
    # Imported where it is used: it loads the compiled engine, without which there is much that this package can do.
    import pysfu
    from pysfu import events
    from pysfu.warning import EngineWarning

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """How the media runs in a process of its own.

    Attributes:
        control_socket: where it is controlled; None for the usual place.
        spawn: whether it is ours to start and to end; otherwise it is systemd's.
        orphan_limit: how long calls go on while no server controls it.
        user: whose rights it keeps when we are root.
    """

    control_socket: Path | None
    spawn: bool
    orphan_limit: timedelta
    user: str


class PysfuEngine:
    """The real engine, through pysfu's Python API."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        workers: int,
        announced_addresses: Sequence[str],
        room_spread_over: int = 100,
        pin_workers: bool = False,
        max_dtls_version: Literal["1.2", "1.3"] = "1.2",
        aead_only: bool = False,
        process: ProcessSettings | None = None,
    ) -> None:
        self._bind = tuple(str(address) for address in to_bind(ip_address(host)))
        self._port = port
        self._workers = workers
        self._room_spread_over = room_spread_over
        self._pin_workers = pin_workers
        self._announce = tuple(announced_addresses)
        self._max_dtls_version = max_dtls_version
        self._aead_only = aead_only
        self._process = process
        self._sfu: pysfu.Sfu
        self._known: dict[int, Any] = {}

    async def __aenter__(self) -> Self:
        """Starts the engine."""
        import pysfu

        with translated():
            config = pysfu.Config(
                bind=self._bind,
                port=self._port,
                workers=self._workers,
                room_spread_over=self._room_spread_over,
                pin=self._pin_workers,
                announce=self._announce,
                max_dtls_version=self._max_dtls_version,
                aead_only=self._aead_only,
            )
            self._sfu = await pysfu.Sfu(config, process=self._media_process()).__aenter__()
        return self

    def _media_process(self) -> pysfu.MediaProcess | None:
        import pysfu
        from pysfu.process import default_socket

        process = self._process
        if process is None:
            return None
        return pysfu.MediaProcess(
            socket=process.control_socket or default_socket(self._port),
            spawn=process.spawn,
            orphan_limit=process.orphan_limit,
            user=process.user,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the engine and all in it, or parts from one that goes on."""
        if self.goes_on:
            self._sfu.detach()
        await self._sfu.__aexit__(kind, error, trace)

    async def create_room(self, *, avoid: Collection[int]) -> MediaRoom:
        """Makes an empty room, on none of the workers to avoid."""
        with translated():
            return _PysfuRoom(await self._sfu.create_room(avoid=avoid, timeout=CREATE_TIMEOUT))

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what concerns rooms and participants; the rest is for others."""
        async for event in self._sfu.events():
            known = _event(event, self._sfu)
            if known is not None:
                yield known

    async def figures(self) -> MediaFigures:
        """Returns counters and states, within a second or so."""
        with translated():
            stats = await self._sfu.stats(timeout=FIGURES_TIMEOUT)
        return figures_of(stats, self._known)

    def resumed_rooms(self) -> Sequence[ResumedRoom]:
        """Returns the rooms that a media process had when this server came."""
        return [
            ResumedRoom(room=_PysfuRoom(room), note=room.note, peers=tuple(_resumed_peers(room)))
            for room in self._sfu.rooms
        ]

    def ended_rooms(self) -> Sequence[bytes]:
        """Returns the notes on those that it had when the server before ended, and has no more."""
        return tuple(self._sfu.ended_rooms)

    @property
    def goes_on(self) -> bool:
        """Whether it runs on when this is stopped: its process is not ours to end."""
        return self._process is not None and not self._process.spawn

    def beats(self) -> Sequence[Beat]:
        """Returns, at once, what tells whether the workers go round."""
        with translated():
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
    def __init__(self, room: pysfu.Room) -> None:
        self._room = room
        self.id = room.id
        self.worker = room.worker

    @property
    def workers(self) -> Collection[int]:
        return tuple(self._room.workers)

    async def add_participant(self, *, avoid: Collection[int]) -> MediaPeer:
        with translated():
            return _PysfuPeer(await self._room.add_participant(avoid=avoid))

    def keep(self, note: bytes) -> None:
        _keep(self._room.keep, note)

    async def close(self) -> None:
        with translated():
            await self._room.close()


class _PysfuPeer:
    def __init__(self, participant: pysfu.Participant) -> None:
        self._participant = participant
        self.id = participant.id

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> MediaTransport:
        theirs = [track.inner for track in play if isinstance(track, _PysfuTrack)]
        start = START_BITRATE_BPS if publish else None
        with translated():
            return _PysfuTransport(
                await self._participant.answer(offer, publish=publish, play=theirs, start_bitrate_bps=start)
            )

    async def allow(self, track: MediaTrack) -> None:
        assert isinstance(track, _PysfuTrack)  # noqa: S101 - there is no other kind here
        with translated():
            await self._participant.allow(track.inner)

    def keep(self, note: bytes) -> None:
        _keep(self._participant.keep, note)

    async def remove(self) -> None:
        with translated():
            await self._participant.remove()


class _PysfuTransport:
    def __init__(self, transport: pysfu.Transport) -> None:
        self._transport = transport
        self.tracks: Sequence[MediaTrack] = [_PysfuTrack(track) for track in transport.tracks]

    @property
    def sdp(self) -> str:
        return self._transport.sdp

    async def restart(self, offer: str) -> str:
        with translated():
            return await self._transport.restart(offer)

    async def reading(self) -> Reading:
        with translated():
            return reading_of(self._transport, await self._transport.stats())


class _PysfuTrack:
    def __init__(self, track: pysfu.Track) -> None:
        self.inner = track
        self.id = track.id
        self.kind: MediaKind = track.kind


def _resumed_peers(room: pysfu.Room) -> Iterator[ResumedPeer]:
    """Yields the participants of a room; each has one transport here."""
    for participant in room.participants:
        for transport in participant.transports:
            yield ResumedPeer(
                peer=_PysfuPeer(participant),
                transport=_PysfuTransport(transport),
                note=participant.note,
                has_ended=str(transport.state) in ("failed", "closed"),
            )


def _keep(keep: Callable[[bytes], None], note: bytes) -> None:
    """Leaves a note; where it is too long an empty one, so that what it is about ends with this server."""
    try:
        keep(note)
    except ValueError as error:
        log.warning("does not outlive this server", component="media", error=str(error))
        keep(b"")


def _event(event: events.Event, sfu: pysfu.Sfu) -> MediaEvent | None:
    from pysfu import events

    match event:
        case events.TransportConnected(transport=transport, srtp_profile=profile, dtls_version=version):
            return PeerConnected(peer=transport.participant.id, srtp_profile=profile, dtls_version=version)
        case events.TransportReconnected(transport=transport):
            return PeerReconnected(peer=transport.participant.id)
        case events.TransportFailed(transport=transport, reason=reason):
            return PeerGone(peer=transport.participant.id, reason=reason)
        case events.TransportClosed(transport=transport):
            return PeerGone(peer=transport.participant.id, reason="closed")
        case events.RoomFailed(room=room):
            return RoomGone(media_room=room.id)
        case events.Resynced():
            return Resynced(media_rooms=frozenset(room.id for room in sfu.rooms), peers=frozenset(_living(sfu)))
        case (
            events.WorkerFailed()
            | events.Warned()
            | events.EngineLost()
            | events.EngineNotStarted()
            | events.EngineRestarted()
            | events.EngineTakenOver()
        ):
            return _on_engine(event)
        case (
            events.TransportDisconnected()
            | events.TrackStarted()
            | events.RosterChanged()
            | events.SpeakersChanged()
            | events.LayerChanged()
            | events.DataReceived()
        ):
            return None  # Nobody here waits for it.
        case _:
            assert_never(event)


def _on_engine(
    event: events.WorkerFailed
    | events.Warned
    | events.EngineLost
    | events.EngineNotStarted
    | events.EngineRestarted
    | events.EngineTakenOver,
) -> MediaEvent:
    """Translates what concerns more than one room."""
    from pysfu import events

    match event:
        case events.WorkerFailed(worker=worker):
            return WorkerFailed(worker=worker)
        case events.Warned(warning=warning):
            return _warning(warning)
        case events.EngineLost(reason=reason, pause=pause):
            return EngineLost(reason=reason, pause=pause)
        case events.EngineNotStarted(reason=reason, pause=pause):
            return EngineNotStarted(reason=reason, pause=pause)
        case events.EngineRestarted(cause=cause):
            return EngineRestarted(cause=cause)
        case events.EngineTakenOver():
            return EngineTakenOver()
        case _:
            assert_never(event)


def _living(sfu: pysfu.Sfu) -> Iterator[str]:
    """Yields the participants whose transport has not ended."""
    for room in sfu.rooms:
        for participant in room.participants:
            if any(str(transport.state) not in ("failed", "closed") for transport in participant.transports):
                yield participant.id


def _warning(warning: EngineWarning) -> MediaWarning:
    return MediaWarning(code=warning.code, remedy=warning.remedy, worker=warning.worker, figures=dict(warning.figures))
