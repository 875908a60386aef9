"""How rights are changed: at once here and in the engine, and on disk, so that no older token has them back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from signalling.closing import Closing
from signalling.connections import OpenRoom
from signalling.control import Control
from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Reason
from signalling.domain.rights import rights_of
from signalling.domain.room import refusal_to_change_rights
from signalling.endings import ended
from signalling.faults import RefusedError
from signalling.store.base import RoomStore

log = structlog.get_logger(__name__)


class Granting:
    """Changes what participants may."""

    def __init__(self, closing: Closing, control: Control, store: RoomStore, now: Callable[[], datetime]) -> None:
        self._closing = closing
        self._control = control
        self._store = store
        self._now = now

    def change(self, opened: OpenRoom, grant: Grant) -> Awaitable[None]:
        """Has a participant have the rights in `grant` from now on. Whatever is done about a meeting need not wait.

        Returns:
            What waits until that is written down and what WHIP and WHEP carried by lost rights has ended. It raises
            `EngineLateError` when some is still ending, `StoreUnavailableError` when it is not written down.

        Raises:
            RefusedError: the room remembers as many changes as it can.
        """
        now, participant = self._now(), grant.participant
        forgotten = opened.room.forget_rights(now=now)
        if (refusal := refusal_to_change_rights(opened.room, participant)) is not None:
            raise RefusedError(refusal)
        rights = opened.room.rights[participant] = rights_of(grant, now=now)
        # All begins now, and neither waits for the other: a right that is taken away waits for no disk.
        ends = self._begin_to_close(opened, participant)
        writing = asyncio.ensure_future(self._store.grant(opened.room.room, participant, rights, forgotten=forgotten))
        return asyncio.create_task(self._changed(ends, writing), name="granting")

    def _begin_to_close(self, opened: OpenRoom, participant: ParticipantId) -> list[asyncio.Task[None]]:
        lost = [c for c in opened.forbidden() if c.connection.participant == participant]
        log.info("rights of a participant changed", room=opened.room.room, count=len(lost))
        return [end for c in lost for end in self._closing.begin_to_close(opened, c, Reason.RIGHTS_CHANGED)]

    async def _changed(self, ends: list[asyncio.Task[None]], writing: asyncio.Future[None]) -> None:
        try:
            with self._control.held():
                await ended(ends)
        finally:
            await writing
