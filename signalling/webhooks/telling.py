"""All webhooks: what happens is told to every receiver, by tasks of their own, and nobody waits for that."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from signalling.config import WebhookSettings
from signalling.domain.happenings import Happening
from signalling.rtc.hooks import event_of
from signalling.tokens import Tokens
from signalling.webhooks.receiver import Outcome, Receiver

log = structlog.get_logger(__name__)

LAST_WORDS_S = 2.0  # for what a stop brings about: a receiver that goes answers within milliseconds


class Posts(Protocol):
    """What posts one webhook once."""

    async def post(self, url: str, body: bytes, *, signature: str) -> None:
        """Posts a body.

        Raises:
            NotTakenError: it was not taken.
        """


class Webhooks:
    """Tells receivers what happens in rooms."""

    def __init__(
        self,
        urls: Sequence[str] = (),
        *,
        sign: Callable[[bytes], str],
        words: bool = False,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepares to tell; what is told before they run waits.

        Args:
            urls: where receivers are.
            sign: signs what is posted.
            words: whether it says what others wrote: names of people and tracks, metadata, attributes.
            on_outcome: hears what becomes of each webhook, and of each try that failed.
            sleep: waits before another try.
        """
        self._sign = sign
        self._words = words
        self._on_outcome = on_outcome
        self._urls = urls
        self._receivers = [Receiver(number, on_outcome=on_outcome, sleep=sleep) for number, _ in enumerate(urls, 1)]

    def tell(self, happening: Happening) -> None:
        """Has it told that something has happened; waits for nothing, and fails for nothing."""
        if not self._receivers:
            return
        try:
            event = event_of(happening, words=self._words)
        except ValueError:
            # Somebody's words are half a character, as JSON can write and nothing else can.
            self._on_outcome(Outcome.DROPPED)
            log.warning("webhook not told: its words are no Unicode", component="webhooks")
            return
        event.id = "EV_" + secrets.token_hex(12)
        for receiver in self._receivers:
            receiver.tell(happening.room.room, event)

    def waiting(self) -> int:
        """Returns how many events wait for their first try, at all receivers."""
        return sum(receiver.waiting for receiver in self._receivers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Posts what is told; at the end what is left, for a moment."""
        if not self._receivers:
            yield
            return
        from signalling.webhooks.posting import Poster  # whoever has no receiver need not have it in memory

        async with Poster() as posts:
            serving = [
                asyncio.ensure_future(receiver.serve(partial(self._post, posts, url)))
                for receiver, url in zip(self._receivers, self._urls, strict=True)
            ]
            try:
                yield
                await self._say_the_last()
            finally:
                for task in serving:
                    task.cancel()
                await asyncio.gather(*serving, return_exceptions=True)

    async def _post(self, posts: Posts, url: str, body: bytes) -> None:
        await posts.post(url, body, signature=self._sign(body))

    async def _say_the_last(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.gather(*(receiver.idle() for receiver in self._receivers))
        except TimeoutError:
            log.warning("webhooks left untold by the stop", component="webhooks", count=self.waiting())


def webhooks_of(settings: WebhookSettings, tokens: Tokens, *, on_outcome: Callable[[Outcome], None]) -> Webhooks:
    """Makes those that are configured; none where no receiver is."""

    def sign(body: bytes) -> str:
        return tokens.sign_body(body, issuer=settings.key, now=datetime.now(UTC))

    return Webhooks(settings.urls, sign=sign, words=settings.words, on_outcome=on_outcome)
