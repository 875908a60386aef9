"""The compiled module behind Python's types: its pure calls, and the engine in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from pysfu import _core, messages
from pysfu.errors import InvalidSdpError, StartError

if TYPE_CHECKING:
    from datetime import timedelta

BotRing = _core.BotRing

# What whoever controls a media process must know of it, from the engine itself.
PROTOCOL = _core.PROTOCOL
MAX_COMMANDS = _core.MAX_COMMANDS
MAX_REVOCATIONS = _core.MAX_REVOCATIONS
MAX_PAYLOAD = _core.MAX_PAYLOAD
frame_kinds = _core.frame_kinds
is_revocation = _core.is_revocation

_encode = msgspec.msgpack.Encoder().encode
_decode_session = msgspec.msgpack.Decoder(messages.NegotiatedSession).decode
_decode_answered = msgspec.msgpack.Decoder(messages.Answered).decode
_decode_local = msgspec.msgpack.Decoder(messages.LocalTransport).decode
_decode_outcome = msgspec.msgpack.Decoder(messages.EchoOutcome).decode
_decode_warnings = msgspec.msgpack.Decoder(list[messages.AnyWarning]).decode
_decode_counters = msgspec.msgpack.Decoder(list[messages.Counters]).decode


class LocalCore:
    """The engine in this process: what `RemoteCore` is for one in a process of its own."""

    instance = 0
    first_request = 1
    resumed = False
    predecessor: str | None = None

    def __init__(self, config: messages.DriverConfig) -> None:
        try:
            self._core = _core.Core(_encode(config))
        except (OSError, ValueError) as error:
            raise StartError(str(error)) from error
        self.event_fd = self._core.event_fd
        self.workers = self._core.workers
        self.addresses = self._core.addresses
        self.warnings = tuple(_decode_warnings(self._core.warnings))

    def submit(self, worker: int, request: messages.Request) -> bool:
        """Hands a request to a worker; False when too many wait for an answer."""
        return self._core.submit(worker, _encode(request))

    def answered(self, number: int) -> None:
        """Needs not be told: the workers count what they have answered."""

    def drain(self) -> list[tuple[int, bytes]]:
        """Takes out replies and events, each with its worker."""
        return self._core.drain()

    def close(self) -> list[int]:
        """Ends the workers and waits for them a while; returns those that hang and were left behind."""
        return self._core.close()

    def bot(self, worker: int, peer: int) -> BotRing:
        """Returns the packet rings of a bot."""
        return self._core.bot(worker, peer)

    def counters(self) -> list[messages.Counters]:
        """Returns what each worker's rim counts."""
        return _decode_counters(self._core.counters())

    def note(self, worker: int, note: messages.Note) -> None:
        """Keeps nothing: whoever could be told ends with this process."""

    def notes(self) -> list[tuple[int, messages.Note]]:
        """Returns what was left by whoever controlled the engine before: nothing."""
        return []

    def detach(self) -> list[int]:
        """Ends the engine: it cannot outlive its process."""
        return self.close()


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
