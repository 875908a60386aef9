"""Following what the engine tells: what ends without anyone here having asked for it is cleared away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

import structlog

from signalling.closing import Closing
from signalling.connections import OpenRoom
from signalling.control import Control
from signalling.domain.ids import RoomId
from signalling.domain.notices import Reason, notice_of
from signalling.endings import Endings, ended
from signalling.figures import MediaWarning, WorkerFailed
from signalling.homes import Homes
from signalling.media import MediaRoom
from signalling.media_events import (
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    MediaEvent,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    PeerSaid,
    PictureChosen,
    Resynced,
    RoomGone,
    Speaking,
)

log = structlog.get_logger(__name__)


class Following:
    """Keeps these rooms in step with the engine."""

    def __init__(
        self, rooms: Mapping[RoomId, OpenRoom], homes: Homes, closing: Closing, endings: Endings, control: Control
    ) -> None:
        self._rooms = rooms
        self._homes = homes
        self._closing = closing
        self._endings = endings
        self._control = control

    def on_event(self, event: MediaEvent) -> Awaitable[None]:
        """Begins to clear away what has ended; what is returned waits for that."""
        match event:
            case PeerConnected():
                log.info("participant connected", profile=event.srtp_profile, dtls=event.dtls_version)
            case PeerGone():
                return self._end_those(lambda peer: peer == event.peer, reason=event.reason)
            case Resynced():
                log.warning("events lost", component="media")
                self._lose_those(lambda media: media.id not in event.media_rooms, Reason.ROOM_FAILED)
                return self._end_those(lambda peer: peer not in event.peers, reason="lost")
            case RoomGone():
                self._lose_those(lambda media: media.id == event.media_room, Reason.ROOM_FAILED)
            case WorkerFailed():
                self._homes.on_worker_failed(event.worker)
                self._lose_those(lambda media: event.worker in media.workers, Reason.WORKER_FAILED, counts=False)
            case EngineLost():
                self._homes.on_loss()
                self._lose_those(lambda _: True, Reason.ENGINE_RESTARTED, counts=False)
            case EngineRestarted():
                self._homes.on_restart()
                self._lose_those(lambda _: True, Reason.ENGINE_RESTARTED, counts=False)
            case EngineTakenOver():
                # Nobody is told and nothing forgotten: the calls go on. What was to end the other server has to end.
                self._endings.stopping = True
                self._control.lost.set()
            case PeerReconnected() | PeerSaid() | Speaking() | PictureChosen() | MediaWarning() | EngineNotStarted():
                pass  # Nothing has ended.
            case _:
                assert_never(event)
        return ended([])

    def lose(self, opened: OpenRoom, reason: Reason, *, counts: bool) -> None:
        """Forgets what was open in a room whose half in the engine has ended: the room itself goes on."""
        log.error("room lost its media", room=opened.room.room, reason=reason.value, count=len(opened.open))
        self._homes.lose(opened, counts=counts)
        if opened.ending is not None:
            return  # That is told when it has ended.
        rest = self._homes.rest_of(opened) or None
        notice = notice_of(Reason.ROOM_QUARANTINED if rest else reason, after=rest)
        for connection in opened.clear(reason):
            is_removed = connection.connection.participant in opened.room.removed
            connection.watch.end(notice_of(Reason.REMOVED) if is_removed else notice)

    def _end_those(self, gone: Callable[[str], bool], *, reason: str) -> Awaitable[None]:
        """Ends the connections of peers that have gone, at once: what is opened meanwhile is not meant."""
        why, endings = Reason.LEFT if reason == "closed" else Reason.TRANSPORT_LOST, list[asyncio.Task[None]]()
        for opened in self._rooms.values():
            for connection in [c for c in opened.open.values() if gone(c.peer.id)]:
                endings += self._closing.begin_to_close(opened, connection, why, detail=reason)
        return ended(endings)

    def _lose_those(self, gone: Callable[[MediaRoom], bool], reason: Reason, *, counts: bool = True) -> None:
        """Finds the rooms whose half in the engine has ended, of which nothing is left there."""
        for opened in self._rooms.values():
            if opened.media is not None and gone(opened.media):
                self.lose(opened, reason, counts=counts)
