"""Between asyncio and the compiled engine: a command becomes a Future, the event descriptor a reader of the loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pysfu import _core, messages
from pysfu.errors import (
    ClosedError,
    InvalidSdpError,
    PysfuError,
    RefusedError,
    StartError,
    UnavailableError,
    from_refusal,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

BotRing = _core.BotRing
logger = logging.getLogger("pysfu")

MAX_BACKLOG = 65_536
"""Most commands of one worker that wait to be tried again: twice as many as the worker itself keeps revocations."""

R = TypeVar("R", bound=messages.AnyReply)
Undo = Callable[[Any], messages.Command]
OnReply = Callable[[messages.AnyReply | RefusedError], None]
OnMessage = Callable[[int, messages.Event | messages.WorkerFailed | messages.Warned], None]


class _Numbered(msgspec.Struct):
    """What can be read of an answer whose rest cannot."""

    id: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_outgoing = msgspec.msgpack.Decoder(messages.Outgoing).decode
_decode_number = msgspec.msgpack.Decoder(_Numbered).decode
_decode_session = msgspec.msgpack.Decoder(messages.NegotiatedSession).decode
_decode_answered = msgspec.msgpack.Decoder(messages.Answered).decode
_decode_local = msgspec.msgpack.Decoder(messages.LocalTransport).decode
_decode_outcome = msgspec.msgpack.Decoder(messages.EchoOutcome).decode
_decode_warnings = msgspec.msgpack.Decoder(list[messages.AnyWarning]).decode
_decode_counters = msgspec.msgpack.Decoder(list[messages.Counters]).decode


@dataclass(slots=True)
class _Pending:
    future: asyncio.Future[messages.AnyReply]
    worker: int
    undo: Undo | None
    on_reply: OnReply | None
    retry_when_full: bool


def _refuse(waiting: _Pending, error: RefusedError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
    if waiting.on_reply is not None:
        waiting.on_reply(error)


class Bridge:
    """The engine's workers as one loop sees them.

    Args:
        config: how the engine starts.
        on_message: called with what was not asked for, in the order in which the worker said it.
        on_drained: called once answers have been read, so that workers that took no more commands take some again.
    """

    def __init__(
        self, config: messages.DriverConfig, *, on_message: OnMessage, on_drained: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._on_message = on_message
        self._on_drained = on_drained
        self._pending: dict[int, _Pending] = {}
        self._backlogs: defaultdict[int, deque[bytes]] = defaultdict(deque)
        self._failed: set[int] = set()
        self._next_id = 0
        self.warnings: tuple[messages.AnyWarning, ...] = ()
        self.left_behind: tuple[int, ...] = ()
        self._core: _core.Core | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            core = _core.Core(_encode(self._config))
        except (OSError, ValueError) as error:
            raise StartError(str(error)) from error
        self.warnings = tuple(_decode_warnings(core.warnings))
        self._core, self._loop = core, loop
        loop.add_reader(core.event_fd, self._drain)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        core, loop = self._core, self._loop
        if core is None or loop is None:
            return
        loop.remove_reader(core.event_fd)
        self._core = None
        # Joining the workers takes a turn of theirs; one that hangs is left behind after two seconds. A caller who is
        # cancelled must not leave them running.
        self.left_behind = tuple(core.close())
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            if not waiting.future.done():
                waiting.future.set_exception(ClosedError("the Sfu is closed"))

    @property
    def core(self) -> _core.Core:
        """The compiled engine while open."""
        if self._core is None:
            raise ClosedError("the Sfu is closed")
        return self._core

    async def call(
        self,
        worker: int,
        command: messages.Command,
        reply: type[R],
        *,
        undo: Undo | None = None,
        on_reply: OnReply | None = None,
    ) -> R:
        """Has a worker carry out a command.

        Args:
            worker: which.
            command: what.
            reply: the kind of answer it brings.
            undo: makes, from the answer, the command that takes back what was done for a caller who was cancelled.
            on_reply: as for `ask`.

        Raises:
            RefusedError: nothing was done.
            ClosedError: the engine stopped.
        """
        future = self.ask(worker, command, undo=undo, on_reply=on_reply)
        try:
            answer = await future
        except asyncio.CancelledError:
            # The answer may have come in the same turn of the loop as the cancellation.
            if future.done() and not future.cancelled() and future.exception() is None and undo is not None:
                self.fire_and_forget(worker, undo(future.result()))
            raise
        if not isinstance(answer, reply):
            # Their types only: what is in them may be a password or what somebody said.
            raise TypeError(f"{type(command).__name__} was answered with {type(answer).__name__}")
        return answer

    def ask(
        self,
        worker: int,
        command: messages.Command,
        *,
        undo: Undo | None = None,
        on_reply: OnReply | None = None,
        retry_when_full: bool = False,
    ) -> asyncio.Future[messages.AnyReply]:
        """Hands a command over before this returns, so that cancelling cannot come in between.

        Args:
            worker: which.
            command: what.
            undo: as for `call`.
            on_reply: called with the answer, which may be a refusal, before anything that the worker said after it is
                looked at, even when whoever asked was cancelled.
            retry_when_full: whether to try again later, rather than refuse, when too many answers have not been read.

        Raises:
            UnavailableError: the worker has failed, or too many commands wait for it. With `retry_when_full`: more than
                `MAX_BACKLOG` wait; nothing was done, and whoever asked must ask again.
        """
        return self._ask(
            worker, command, undo=undo, on_reply=on_reply, retry_when_full=retry_when_full, most=MAX_BACKLOG
        )

    def _ask(
        self,
        worker: int,
        command: messages.Command,
        *,
        undo: Undo | None = None,
        on_reply: OnReply | None = None,
        retry_when_full: bool,
        most: float,
    ) -> asyncio.Future[messages.AnyReply]:
        core = self.core
        future: asyncio.Future[messages.AnyReply] = asyncio.get_running_loop().create_future()
        if worker in self._failed:
            if not retry_when_full:
                raise UnavailableError("the worker has failed")
            future.set_result(messages.DoneReply())  # nothing flows there any more
            return future
        request = _encode(messages.Request(id=self._next_id + 1, command=command))
        # Behind those that wait already: order is what makes a grant and its revocation mean something.
        backlog = self._flush_backlog(worker)
        if backlog or not core.submit(worker, request):
            if not retry_when_full or len(backlog) >= most:
                raise UnavailableError("too many commands wait for an answer")
            backlog.append(request)
        self._next_id += 1
        self._pending[self._next_id] = _Pending(
            future=future, worker=worker, undo=undo, on_reply=on_reply, retry_when_full=retry_when_full
        )
        return future

    def fire_and_forget(self, worker: int, command: messages.Command) -> None:
        """Has a worker carry out a command, sooner or later, whatever it answers.

        It takes back what another call of ours did or was to do, and is therefore never one too many.
        """
        if self._core is not None:
            self._ask(worker, command, retry_when_full=True, most=math.inf).cancel()

    def counters(self) -> list[messages.Counters]:
        """Returns what each worker's rim counts."""
        return _decode_counters(self.core.counters())

    def bot(self, worker: int, peer: int) -> BotRing:
        """Returns the packet rings of a bot."""
        return self.core.bot(worker, peer)

    def _flush_backlog(self, worker: int) -> deque[bytes]:
        """Hands over what a worker did not take before, and returns what it does not take yet."""
        backlog = self._backlogs[worker]
        while backlog and self.core.submit(worker, backlog[0]):
            backlog.popleft()
        return backlog  # answers are on their way; `_drain` comes back here

    def _drain(self) -> None:
        if self._core is None:
            return
        for worker, data in self._core.drain():
            try:
                outgoing = _decode_outgoing(data)
            except msgspec.MsgspecError as error:
                logger.error("a message of worker %d cannot be read: %s", worker, error)
                self._give_up_reply(data)
                continue
            try:
                self._take(worker, outgoing)
            except Exception:
                # Whoever waits for this one has been answered; those behind it must be, too.
                logger.exception("a message of worker %d was lost", worker)
        for worker in tuple(self._backlogs):
            self._flush_backlog(worker)
        self._on_drained()

    def _give_up_reply(self, data: bytes) -> None:
        """Tells whoever waits for an answer that it cannot be read."""
        try:
            number = _decode_number(data).id
        except msgspec.MsgspecError:
            return
        waiting = self._pending.pop(number, None) if number is not None else None
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(PysfuError("the worker's answer cannot be read"))

    def _take(self, worker: int, outgoing: messages.Outgoing) -> None:
        match outgoing:
            case messages.Reply(id=number, reply=reply):
                waiting = self._pending.pop(number, None)
                if waiting is None:
                    return
                if not waiting.future.done():
                    waiting.future.set_result(reply)
                elif waiting.undo is not None:
                    self.fire_and_forget(worker, waiting.undo(reply))
                if waiting.on_reply is not None:
                    waiting.on_reply(reply)
            case messages.Refused(id=number, refusal=refusal):
                waiting = self._pending.pop(number, None)
                if waiting is not None:
                    _refuse(waiting, from_refusal(refusal))
            case messages.WorkerFailed():
                self._fail(worker)
                self._on_message(worker, outgoing)
            case messages.Event() | messages.Warned():
                self._on_message(worker, outgoing)

    def _fail(self, worker: int) -> None:
        """Answers those who wait for a worker that will not: what should end has ended, nothing else was done."""
        self._failed.add(worker)
        self._backlogs.pop(worker, None)
        for number in [number for number, waiting in self._pending.items() if waiting.worker == worker]:
            waiting = self._pending.pop(number)
            if waiting.future.done():
                continue
            if waiting.retry_when_full:
                waiting.future.set_result(messages.DoneReply())
            else:
                waiting.future.set_exception(UnavailableError("the worker has failed"))


def all_asked(futures: Iterable[asyncio.Future[messages.AnyReply]]) -> list[asyncio.Future[messages.AnyReply]]:
    """Collects what is being asked for, one after the other; when one cannot be, nobody will await those before it.

    Raises:
        UnavailableError: from `Bridge.ask`.
    """
    asked: list[asyncio.Future[messages.AnyReply]] = []
    try:
        for future in futures:
            asked.append(future)  # noqa: PERF402 (those asked must be known)
    except BaseException:
        for future in asked:
            future.cancel()
        raise
    return asked


async def all_done(
    futures: Sequence[asyncio.Future[messages.AnyReply]], *, gone: tuple[type[RefusedError], ...]
) -> None:
    """Awaits what was asked for.

    Args:
        futures: from `Bridge.ask`.
        gone: refusals that mean that there was nothing left to do.
    """
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, gone):
            raise result


def answer(offer: str, plan: messages.AnswerPlan) -> messages.Answered:
    """Answers an offer.

    Raises:
        InvalidSdpError: the offer cannot be answered.
    """
    try:
        _, data = _core.answer(offer, _encode(plan))
    except ValueError as error:
        raise InvalidSdpError(str(error)) from error
    return _decode_answered(data)


def offer(plan: messages.OfferPlan) -> tuple[str, bytes]:
    """Makes an offer; the bytes are for `accept`.

    Raises:
        InvalidSdpError: there is no such offer.
    """
    try:
        return _core.offer(_encode(plan))
    except ValueError as error:
        raise InvalidSdpError(str(error)) from error


def accept(pending: bytes, answer: str) -> messages.NegotiatedSession:
    """Takes the answer to an offer.

    Raises:
        InvalidSdpError: the answer does not fit the offer.
    """
    try:
        return _decode_session(_core.accept(pending, answer))
    except ValueError as error:
        raise InvalidSdpError(str(error)) from error


class EchoCaller:
    """The end that makes a test call; it needs nothing but the compiled module."""

    def __init__(self, *, max_dtls_version: messages.DtlsVersion) -> None:
        self._caller = _core.EchoCaller(_encode(max_dtls_version))

    @property
    def local(self) -> messages.LocalTransport:
        """What the offer must say of this end."""
        return _decode_local(self._caller.local)

    async def call(self, target: str, session: messages.NegotiatedSession, *, limit: timedelta) -> messages.EchoOutcome:
        """Calls an address, `host:port`, which answered with `session`."""
        data = await asyncio.to_thread(self._caller.call, target, _encode(session), limit.total_seconds())
        outcome: messages.EchoOutcome = _decode_outcome(data)
        return outcome
