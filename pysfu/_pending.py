"""Whoever waits for the answer to a request, one by one and all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from pysfu import messages
from pysfu.errors import PysfuError, RefusedError, UnavailableError

logger = logging.getLogger("pysfu")

REVOKED_LIMIT_S = 4.0
"""How long what takes rights away may take before an engine is left that goes on: for whoever controls it next, a right
that is still there is one that is to be. All that can wait for a worker took two seconds on a machine with no processor
to spare; one that hangs would never be done."""

Undo = Callable[[Any], messages.Command]
OnReply = Callable[[messages.AnyReply | RefusedError], None]


class _Numbered(msgspec.Struct):
    """What can be read of an answer whose rest cannot."""

    id: int | None = None


_decode_number = msgspec.msgpack.Decoder(_Numbered).decode


@dataclass(slots=True)
class Waiting:
    """One who waits.

    Attributes:
        undo: makes, from the answer, the command that takes back what was done for a caller who was cancelled.
        on_reply: called with the answer before anything that the worker said after it is looked at.
        is_revocation: whether it takes something away, which is as good as done once nothing is there any more.
    """

    future: asyncio.Future[messages.AnyReply]
    worker: int
    undo: Undo | None
    on_reply: OnReply | None
    is_revocation: bool

    def refuse(self, error: RefusedError) -> None:
        """Tells that nothing was done."""
        if not self.future.done():
            self.future.set_exception(error)
        if self.on_reply is not None:
            self.on_reply(error)

    def give_up(self, error: PysfuError) -> None:
        """Tells that nobody knows what was done."""
        if not self.future.done():
            self.future.set_exception(error)

    def give_up_worker(self, error: UnavailableError, *, is_gone: bool) -> None:
        """Answers for a worker that will not: where everything in it is gone, what should end has ended."""
        if is_gone and self.is_revocation and not self.future.done():
            self.future.set_result(messages.DoneReply())
        self.give_up(error)


class Pending:
    """All who wait, by the number of their request."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._has_none = asyncio.Event()
        self._revocations = 0

    def add(self, number: int, waiting: Waiting) -> None:
        """Notes that one waits."""
        self._waiting[number] = waiting
        self._revocations += waiting.is_revocation

    def take(self, number: int) -> Waiting | None:
        """Takes out the one who waits for that answer, if anybody does."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None and waiting.is_revocation:
            self._revocations -= 1
            if not self._revocations:
                self._has_none.set()
        return waiting

    def take_all(self, worker: int | None = None) -> list[Waiting]:
        """Takes out all, or those who wait for one worker."""
        theirs = [number for number, each in self._waiting.items() if worker is None or each.worker == worker]
        return [waiting for waiting in map(self.take, theirs) if waiting is not None]

    async def revoked(self) -> None:
        """Waits until nothing is left that is to be taken away, for `REVOKED_LIMIT_S` at most."""
        try:
            async with asyncio.timeout(REVOKED_LIMIT_S):
                while self._revocations:
                    self._has_none.clear()
                    await self._has_none.wait()
        except TimeoutError:
            logger.error(
                "the media process is left before it said that %d revocations are carried out", self._revocations
            )


def number_of(answer: bytes) -> int | None:
    """Returns the number of the request that an unreadable answer is to, if that can be read."""
    try:
        return _decode_number(answer).id
    except msgspec.MsgspecError:
        return None
