"""The real media engine, through pysfu's Python API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from signalling.addresses import to_bind
from signalling.domain.heartbeat import Beat
from signalling.figures import MediaFigures, MediaWarning, figures_of
from signalling.media import CREATE_TIMEOUT, FIGURES_TIMEOUT, MediaRoom, ResumedRoom
from signalling.media_events import MediaEvent
from signalling.pysfu_errors import translated
from signalling.pysfu_events import event_of, warning_of
from signalling.pysfu_room import PysfuRoom, resumed

if TYPE_CHECKING:
    # Imported where it is used: it loads the compiled engine, without which there is much that this package can do.
    import pysfu


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
            return PysfuRoom(await self._sfu.create_room(avoid=avoid, timeout=CREATE_TIMEOUT))

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what concerns rooms and participants; the rest is for others."""
        async for event in self._sfu.events():
            known = event_of(event, self._sfu)
            if known is not None:
                yield known

    async def figures(self) -> MediaFigures:
        """Returns counters and states, within a second or so."""
        with translated():
            stats = await self._sfu.stats(timeout=FIGURES_TIMEOUT)
        return figures_of(stats, self._known)

    def resumed_rooms(self) -> Sequence[ResumedRoom]:
        """Returns the rooms that a media process had when this server came."""
        return [resumed(room) for room in self._sfu.rooms]

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
        return [warning_of(warning) for warning in self._sfu.warnings]

    @property
    def addresses(self) -> Sequence[str]:
        """Where clients are told to send media, as `host:port`; once started."""
        return [address for worker in self._sfu.addresses for address in worker]

    @property
    def left_behind(self) -> Sequence[int]:
        """Workers that hung when the engine was stopped; once stopped."""
        return tuple(self._sfu.left_behind)
