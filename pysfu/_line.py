"""The line to one life of the engine: what was in it is not mistaken for what has the same number in the next one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pysfu import messages
from pysfu.errors import UnavailableError

if TYPE_CHECKING:
    from pysfu._bridge import Bridge, R
    from pysfu._compiled import BotRing
    from pysfu._pending import OnReply, Undo


class Line:
    """The bridge as what is in the engine that runs now reaches it; once another one runs, it reaches nothing."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._instance = bridge.instance

    @property
    def _is_cut(self) -> bool:
        return self._bridge.instance != self._instance

    def check_control(self) -> None:
        """As of the bridge."""
        self._bridge.check_control()

    def ask(
        self,
        worker: int,
        command: messages.Command,
        *,
        undo: Undo | None = None,
        on_reply: OnReply | None = None,
        retry_when_full: bool = False,
    ) -> asyncio.Future[messages.AnyReply]:
        """As of the bridge; what takes something away is done where there is nothing any more."""
        if not self._is_cut:
            return self._bridge.ask(worker, command, undo=undo, on_reply=on_reply, retry_when_full=retry_when_full)
        self._bridge.check_control()
        if not retry_when_full:
            raise UnavailableError("the media process that it was in has ended")
        done: asyncio.Future[messages.AnyReply] = asyncio.get_running_loop().create_future()
        done.set_result(messages.DoneReply())
        return done

    async def call(
        self,
        worker: int,
        command: messages.Command,
        reply: type[R],
        *,
        undo: Undo | None = None,
        on_reply: OnReply | None = None,
    ) -> R:
        """As of the bridge."""
        if self._is_cut:
            raise UnavailableError("the media process that it was in has ended")
        return await self._bridge.call(worker, command, reply, undo=undo, on_reply=on_reply)

    def fire_and_forget(self, worker: int, command: messages.Command) -> None:
        """As of the bridge."""
        if not self._is_cut:
            self._bridge.fire_and_forget(worker, command)

    def note(self, worker: int, note: messages.Note) -> None:
        """As of the bridge."""
        if not self._is_cut:
            self._bridge.note(worker, note)

    def bot(self, worker: int, peer: int) -> BotRing:
        """As of the bridge."""
        return self._bridge.bot(worker, peer)
