"""The compiled module: conversions only. Only `pysfu._compiled` imports it."""

from typing import Final, final

__all__ = [
    "MAX_COMMANDS",
    "MAX_PAYLOAD",
    "MAX_REVOCATIONS",
    "PROTOCOL",
    "BotRing",
    "Core",
    "EchoCaller",
    "accept",
    "answer",
    "frame_kinds",
    "is_revocation",
    "offer",
    "round_trip",
    "serve_media",
]

MAX_COMMANDS: Final[int]
"""Most requests of one worker without an answer, revocations excepted."""
MAX_PAYLOAD: Final[int]
"""Longest payload of a frame of the control socket, in bytes."""
MAX_REVOCATIONS: Final[int]
"""Most revocations of one worker without an answer."""
PROTOCOL: Final[int]
"""The version of the control protocol, which both sides must speak."""

@final
class Core:
    """The workers."""

    def __new__(cls, config: bytes) -> Core: ...
    def submit(self, worker: int, request: bytes) -> bool:
        """Hands a request to a worker; False when too many wait for an answer."""
    def drain(self) -> list[tuple[int, bytes]]:
        """Takes out replies and events, each with its worker."""
    def bot(self, worker: int, peer: int) -> BotRing:
        """Returns the ring of a bot."""
    def counters(self) -> bytes:
        """Returns every worker's counters."""
    def close(self) -> list[int]:
        """Ends the workers and waits for them a while; returns those that hang and were left behind."""
    @property
    def event_fd(self) -> int:
        """Readable while there is something to drain."""
    @property
    def workers(self) -> int:
        """How many workers there are."""
    @property
    def addresses(self) -> list[list[str]]:
        """The addresses that remotes are told, as `host:port`, worker by worker."""
    @property
    def warnings(self) -> bytes:
        """What the system did not grant."""

@final
class BotRing:
    """The two packet rings of a bot."""

    def send(self, packet: bytes) -> bool:
        """Sends a clear RTP packet into the engine; False when it is too large."""
    def drain(self) -> list[bytes]:
        """Takes out the clear RTP packets that came, and RTCP about what was sent."""
    def discard(self, ssrc: int) -> None:
        """Drops what waits of one sender."""
    @property
    def fd(self) -> int:
        """Readable while there are packets."""

@final
class EchoCaller:
    """The end that makes a test call."""

    def __new__(cls, max_dtls_version: bytes) -> EchoCaller: ...
    def call(self, target: str, session: bytes, limit_s: float) -> bytes:
        """Calls an address, `host:port`, which answered with `session`; blocks for at most `limit_s`."""
    @property
    def local(self) -> bytes:
        """What the offer must say of this end."""

def answer(offer: str, plan: bytes) -> tuple[str, bytes]:
    """Answers an offer: the answer, and all of it with the negotiated session."""

def offer(plan: bytes) -> tuple[str, bytes]:
    """Makes an offer: its text, and what `accept` needs."""

def accept(pending: bytes, answer: str) -> bytes:
    """Takes the answer to an offer: the negotiated session."""

def frame_kinds() -> dict[str, int]:
    """The kinds of frames of the control socket: their numbers by name."""

def is_revocation(request: bytes) -> bool:
    """Whether a request takes a right away, for which each worker has a lane of its own."""

def round_trip(kind: str, message: bytes) -> bytes:
    """Reads and writes one message: for the test that both languages mean the same."""

def serve_media(fd: int, orphan_limit_s: float, user: tuple[int, int] | None, watchdog: str | None) -> str:
    """Runs the media process on a listening Unix socket; blocks until it ends.

    Whoever listens at `watchdog`, an address as in `NOTIFY_SOCKET`, is told all the while that it goes round.
    Returns why it ended: `stopped`, `orphaned` or `worker_lost`.
    """
