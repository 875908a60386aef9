"""Between asyncio and the compiled engine: a command becomes a Future, the event descriptor a reader of the loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from pysfu import messages
from pysfu._backoff import Backoff
from pysfu._pending import OnReply, Pending, Undo, Waiting, number_of
from pysfu._remote import EngineLostError, ReplacedError
from pysfu.errors import ClosedError, PysfuError, StartError, UnavailableError, from_refusal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pysfu._compiled import BotRing, LocalCore
    from pysfu._remote import RemoteCore

    Core = LocalCore | RemoteCore

logger = logging.getLogger("pysfu")

MAX_BACKLOG = 65_536
"""Most commands of one worker that wait to be tried again: twice as many as the worker itself keeps revocations."""

_LOST = "the media process has ended and is being started anew"
_REPLACED = "another process has taken control of the media process"
_LEFT = "the media process was left before it said that this is done: ask whoever controls it next"

R = TypeVar("R", bound=messages.AnyReply)
Message = messages.Event | messages.WorkerFailed | messages.Warned
OnMessage = Callable[[int, Message], None]


class OnLost(Protocol):
    """Is told why the engine is lost, and how long the next start waits; None: another process controls it now."""

    def __call__(self, reason: str, *, pause_s: float | None) -> None: ...


_decode_outgoing = msgspec.msgpack.Decoder(messages.Outgoing).decode


class Bridge:
    """The engine's workers as one loop sees them.

    Args:
        open_core: starts the engine, or finds it; called again when it was lost.
        on_message: called with what was not asked for, in the order in which the worker said it.
        on_drained: called once answers have been read, so that workers that took no more commands take some again.
        on_lost: called, after all who wait have been answered, when the engine's process has ended or is another one's.
        on_not_started: called with the reason and the seconds until the next try, when a lost engine does not start.
        on_reopened: called when a lost engine is there again; everything that was in it is not.
    """

    def __init__(
        self,
        open_core: Callable[[], Awaitable[Core]],
        *,
        on_message: OnMessage,
        on_drained: Callable[[], None],
        on_lost: OnLost,
        on_not_started: Callable[[str, float], None],
        on_reopened: Callable[[], None],
    ) -> None:
        self._open_core = open_core
        self._on_message = on_message
        self._on_drained = on_drained
        self._on_lost = on_lost
        self._on_not_started = on_not_started
        self._on_reopened = on_reopened
        self._pending = Pending()
        self._backlogs: defaultdict[int, deque[messages.Request]] = defaultdict(deque)
        self._failed: set[int] = set()
        self._next_id = 0
        self.warnings: tuple[messages.AnyWarning, ...] = ()
        self.addresses: list[list[str]] = []
        self.left_behind: tuple[int, ...] = ()
        self.instance = 0
        self.leaves_running = False
        self._counters: list[messages.Counters] = []
        self._core: Core | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._is_lost = False
        self.is_replaced = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._take_up(await self._open_core())
        except ReplacedError as error:
            raise StartError(str(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.leaves_running:
                await self._pending.revoked()
        finally:
            self._part()

    def _part(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        core, loop, self._core, self._is_lost = self._core, self._loop, None, False
        if core is not None and loop is not None:
            loop.remove_reader(core.event_fd)
            # Joining the workers takes a turn of theirs; one that hangs is left behind after two seconds. A caller who
            # is cancelled must not leave them running.
            self.left_behind = tuple(core.detach() if self.leaves_running else core.close())
        for waiting in self._pending.take_all():
            is_left = self.leaves_running and waiting.is_revocation
            waiting.give_up(UnavailableError(_LEFT) if is_left else ClosedError("the Sfu is closed"))

    def _take_up(self, core: Core) -> None:
        self.warnings, self.addresses, self.instance = core.warnings, core.addresses, core.instance
        self._core, self._is_lost = core, False
        self._next_id = max(self._next_id, core.first_request - 1)
        assert self._loop is not None, "opened in a loop"
        self._backoff.on_running(now=self._loop.time())
        self._loop.add_reader(core.event_fd, self._drain)

    @property
    def core(self) -> Core:
        """The engine while open.

        Raises:
            UnavailableError: it was lost, and is being started anew, or is another process's now.
            ClosedError: there is none.
        """
        self.check_control()
        if self._core is None:
            raise UnavailableError(_LOST) if self._is_lost else ClosedError("the Sfu is closed")
        return self._core

    def check_control(self) -> None:
        """Keeps who has lost control of calls that go on from believing that they end.

        Raises:
            UnavailableError: another process controls the engine now.
        """
        if self.is_replaced:
            raise UnavailableError(_REPLACED)

    @property
    def workers(self) -> int:
        """How many workers there are, or were before the engine was lost."""
        return len(self.addresses)

    @property
    def is_resumed(self) -> bool:
        """Whether the engine ran before, controlled by somebody else."""
        return self.core.resumed

    def has(self, instance: int) -> bool:
        """Whether the engine is still the one of that number."""
        return self._core is not None and self.instance == instance

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
        self.check_control()
        future: asyncio.Future[messages.AnyReply] = asyncio.get_running_loop().create_future()
        if worker in self._failed:
            if not retry_when_full:
                raise UnavailableError(_LOST if self._is_lost else "the worker has failed")
            future.set_result(messages.DoneReply())  # nothing flows there any more
            return future
        core = self.core
        request = messages.Request(id=self._next_id + 1, command=command)
        # Behind those that wait already: order is what makes a grant and its revocation mean something.
        backlog = self._flush_backlog(worker)
        if backlog or not core.submit(worker, request):
            if not retry_when_full or len(backlog) >= most:
                raise UnavailableError("too many commands wait for an answer")
            backlog.append(request)
        self._next_id += 1
        waiting = Waiting(future=future, worker=worker, undo=undo, on_reply=on_reply, is_revocation=retry_when_full)
        self._pending.add(self._next_id, waiting)
        return future

    def fire_and_forget(self, worker: int, command: messages.Command) -> None:
        """Has a worker carry out a command, sooner or later, whatever it answers.

        It takes back what another call of ours did or was to do, and is therefore never one too many.
        """
        if self._core is not None:
            self._ask(worker, command, retry_when_full=True, most=math.inf).cancel()

    def counters(self) -> list[messages.Counters]:
        """Returns what each worker's rim counts; of an engine that was lost, what it had counted."""
        if self._is_lost:
            return [msgspec.structs.replace(counters, failed=1) for counters in self._counters]
        self._counters = self.core.counters()
        return self._counters

    def note(self, worker: int, note: messages.Note) -> None:
        """Leaves something for whoever controls the engine next."""
        if self._core is not None:
            self._core.note(worker, note)

    def notes(self) -> list[tuple[int, messages.Note]]:
        """Returns what was left by whoever controlled the engine before."""
        return self.core.notes()

    def bot(self, worker: int, peer: int) -> BotRing:
        """Returns the packet rings of a bot."""
        return self.core.bot(worker, peer)

    def _flush_backlog(self, worker: int) -> deque[messages.Request]:
        """Hands over what a worker did not take before, and returns what it does not take yet."""
        backlog = self._backlogs[worker]
        while backlog and self.core.submit(worker, backlog[0]):
            backlog.popleft()
        return backlog  # answers are on their way; `_drain` comes back here

    def _drain(self) -> None:
        if self._core is None:
            return
        try:
            drained = self._core.drain()
        except EngineLostError as error:
            self._lose(self._core, error)
            return
        for worker, data in drained:
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

    # --- when the engine's process ends ---

    def _lose(self, core: Core, error: EngineLostError) -> None:
        """Answers everyone who waits, and starts the engine anew, unless somebody else has taken it over."""
        assert self._loop is not None, "opened in a loop"
        logger.error("the media process is lost: %s", error)
        self._loop.remove_reader(core.event_fd)
        core.detach()
        self._core, self._is_lost, self.is_replaced = None, True, isinstance(error, ReplacedError)
        for worker in range(self.workers):
            self._fail(worker)
        pause_s = None if self.is_replaced else self._backoff.next_s(now=self._loop.time())
        if pause_s is not None:
            self._reopening = self._loop.create_task(self._reopen(pause_s))
        self._on_lost(str(error), pause_s=pause_s)

    async def _reopen(self, pause_s: float) -> None:
        assert self._loop is not None, "opened in a loop"
        while self._is_lost:
            await asyncio.sleep(pause_s)
            try:
                core = await self._open_core()
            except ReplacedError as error:
                logger.error("the media process is not ours any more: %s", error)
                self.is_replaced = True
                self._on_lost(str(error), pause_s=None)
                return
            except Exception as error:
                # Whatever it is, nobody else tries again.
                logger.error("the media process does not start: %s", error, exc_info=not isinstance(error, StartError))
                pause_s = self._backoff.next_s(now=self._loop.time())
                self._on_not_started(str(error), pause_s)
                continue
            self._failed.clear()
            self._take_up(core)
            self._on_reopened()
            return

    def _give_up_reply(self, data: bytes) -> None:
        """Tells whoever waits for an answer that it cannot be read."""
        number = number_of(data)
        waiting = self._answered(number) if number is not None else None
        if waiting is not None:
            waiting.give_up(PysfuError("the worker's answer cannot be read"))

    def _answered(self, number: int) -> Waiting | None:
        self.core.answered(number)
        return self._pending.take(number)

    def _take(self, worker: int, outgoing: messages.Outgoing) -> None:
        match outgoing:
            case messages.Reply(id=number, reply=reply):
                waiting = self._answered(number)
                if waiting is None:
                    return
                if not waiting.future.done():
                    waiting.future.set_result(reply)
                elif waiting.undo is not None:
                    self.fire_and_forget(worker, waiting.undo(reply))
                if waiting.on_reply is not None:
                    waiting.on_reply(reply)
            case messages.Refused(id=number, refusal=refusal):
                waiting = self._answered(number)
                if waiting is not None:
                    waiting.refuse(from_refusal(refusal))
            case messages.WorkerFailed():
                self._fail(worker)
                self._on_message(worker, outgoing)
            case messages.Event() | messages.Warned():
                self._on_message(worker, outgoing)

    def _fail(self, worker: int) -> None:
        """Answers those who wait for a worker that will not, or that is somebody else's."""
        self._failed.add(worker)
        self._backlogs.pop(worker, None)
        error = UnavailableError(_REPLACED if self.is_replaced else "the worker has failed")
        for waiting in self._pending.take_all(worker):
            waiting.give_up_worker(error, is_gone=not self.is_replaced)
