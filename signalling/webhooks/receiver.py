"""One receiver of webhooks: who posts to it what waits for it, tries again, and at some point gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog
from google.protobuf import json_format
from livekit.protocol.webhook import WebhookEvent
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from signalling.domain.ids import RoomId
from signalling.webhooks.outbox import Outbox

log = structlog.get_logger(__name__)

AT_ONCE = 8
"""Posts under way to one receiver: with 100 ms for each, 80 a second."""

MAX_TRIES = 32
"""For each event: some 15 minutes, in which a receiver is restarted, or somebody has seen that it does not run."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 30

Post = Callable[[bytes], Awaitable[None]]


class NotTakenError(Exception):
    """The receiver has not taken it. The message says how it failed, and holds nothing of what was sent or answered.

    Attributes:
        again: whether it may take it another time.
    """

    def __init__(self, how: str, *, again: bool) -> None:
        super().__init__(how)
        self.again = again


class Outcome(StrEnum):
    """What became of a webhook, or of a try."""

    OK = "ok"
    RETRIED = "retried"
    DROPPED = "dropped"


class Receiver:
    """Tells one receiver what happens, in order within each room."""

    def __init__(
        self,
        number: int,
        *,
        on_outcome: Callable[[Outcome], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        outbox: Outbox[WebhookEvent] | None = None,
    ) -> None:
        self._component = f"webhook receiver {number}"  # as counted in the settings: an address may hold a secret
        self._on_outcome = on_outcome
        self._outbox = outbox or Outbox[WebhookEvent]()
        self._dropped = 0  # since this was told last
        self._fails = False
        self._waits, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._sleep = sleep

    @property
    def waiting(self) -> int:
        """How many events wait for their first try."""
        return self._outbox.count

    def tell(self, room: RoomId, event: WebhookEvent) -> None:
        """Has an event told; waits for nothing."""
        for _ in range(self._outbox.put(room, event, size=event.ByteSize())):
            self._drop()
        self._idle.clear()
        self._waits.set()

    async def serve(self, post: Post) -> None:
        """Posts until it is cancelled.

        Args:
            post: posts one body once; raises `NotTakenError` when it is not taken.
        """
        async with asyncio.TaskGroup() as posting:
            for _ in range(AT_ONCE):
                posting.create_task(self._work(post), name="webhooks")

    async def idle(self) -> None:
        """Returns when everything has been told, or given up."""
        await self._idle.wait()

    async def _work(self, post: Post) -> None:
        while True:
            taken = self._outbox.take()
            if taken is None:
                self._waits.clear()
                await self._waits.wait()
                continue
            room, event = taken
            await self._tell(post, event)
            self._outbox.done(room)
            if self._outbox.is_empty:
                self._idle.set()

    async def _tell(self, post: Post, event: WebhookEvent) -> None:
        dropped, self._dropped = self._dropped, 0
        try:
            await self._tries()(post, _written(event, dropped=dropped))
        except NotTakenError as error:
            self._on_fault(error)
            self._drop(before=dropped)
        except Exception as error:
            # No fault of ours in telling others may end the server, and with it calls.
            log.exception("webhook not told", component=self._component, exc_info=error)
            self._drop(before=dropped)
        else:
            self._on_outcome(Outcome.OK)
            self._on_answer()

    def _tries(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, NotTakenError) and error.again),
            wait=wait_exponential_jitter(initial=FIRST_PAUSE_S, max=LONGEST_PAUSE_S, jitter=1),
            stop=stop_after_attempt(MAX_TRIES),
            before_sleep=self._on_pause,
            sleep=self._sleep,
            reraise=True,
        )

    def _on_pause(self, state: RetryCallState) -> None:
        self._on_outcome(Outcome.RETRIED)
        self._on_fault(state.outcome.exception() if state.outcome is not None else None)

    def _on_fault(self, error: BaseException | None) -> None:
        """Logs that it fails: once, until it takes something."""
        if not self._fails:
            self._fails = True
            log.warning("webhook receiver takes nothing", component=self._component, reason=str(error))

    def _on_answer(self) -> None:
        if self._fails:
            self._fails = False
            log.info("webhook receiver takes what it is told again", component=self._component)

    def _drop(self, *, before: int = 0) -> None:
        """Takes note that an event is not told, nor how many `before` it were not."""
        self._dropped += 1 + before
        self._on_outcome(Outcome.DROPPED)


def _written(event: WebhookEvent, *, dropped: int) -> bytes:
    event.num_dropped = dropped  # for this receiver: each writes the number of its own right before it is posted
    return json_format.MessageToJson(event, indent=None).encode()
