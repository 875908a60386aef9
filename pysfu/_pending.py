"""Whoever waits for the answer to a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from pysfu import messages
from pysfu.errors import PysfuError, RefusedError, UnavailableError

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


def number_of(answer: bytes) -> int | None:
    """Returns the number of the request that an unreadable answer is to, if that can be read."""
    try:
        return _decode_number(answer).id
    except msgspec.MsgspecError:
        return None
