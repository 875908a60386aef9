"""How a participant is removed: at once here and in the engine, and on disk, so that no crash brings them back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from signalling.closing import Closing
from signalling.connections import OpenRoom
from signalling.control import Control
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Reason
from signalling.endings import ended
from signalling.store.base import RoomStore

log = structlog.get_logger(__name__)


class Removing:
    """Removes participants for good."""

    def __init__(self, closing: Closing, control: Control, store: RoomStore, now: Callable[[], datetime]) -> None:
        self._closing = closing
        self._control = control
        self._store = store
        self._now = now

    async def remove(self, opened: OpenRoom, participant: ParticipantId) -> None:
        """Ends all connections of a participant, and keeps them from coming back.

        Raises:
            EngineLateError: some are still ending.
            StoreUnavailableError: that is not written down.
        """
        room = opened.room.room
        forgotten = opened.room.remove(participant)
        if forgotten is not None:
            count = len(opened.room.removed)
            log.warning("who was removed before so many others may come back", room=room, count=count)
        opened.leave_note()
        theirs = [c for c in opened.open.values() if c.connection.participant == participant]
        # All begin before anything waits, so that no cancellation comes in between.
        with self._control.held():
            ends = [ending for c in theirs for ending in self._closing.begin_to_close(opened, c, Reason.REMOVED)]
            # Neither waits for the other: a right that is taken away waits for no disk.
            writing = asyncio.ensure_future(self._write_down(opened, participant, forgotten))
            try:
                await ended(ends)
            finally:
                await writing
        log.info("participant removed", room=room, count=len(theirs))

    async def _write_down(self, opened: OpenRoom, participant: ParticipantId, forgotten: ParticipantId | None) -> None:
        if participant in opened.room.removed:  # else it was nobody's id
            await self._store.remove(opened.room.room, participant, at=self._now(), forgotten=forgotten)
