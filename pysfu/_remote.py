"""The engine in a process of its own, over its control socket (`driver/process.rs`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol

import msgspec

from pysfu import messages
from pysfu._compiled import MAX_COMMANDS, MAX_PAYLOAD, MAX_REVOCATIONS, PROTOCOL, frame_kinds, is_revocation
from pysfu.errors import StartError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pysfu._compiled import BotRing

logger = logging.getLogger("pysfu")

HELLO_TIMEOUT_S = 10.0
"""How long a media process may take to say that it runs; it takes milliseconds."""

MAX_FRAME = 1 << 27
"""Most bytes in a frame of a media process: a snapshot of a full engine is not longer. One that strangers have broken
into could announce four gigabytes."""

MAX_UNSENT = 1 << 27
"""Most bytes that wait for a media process: with more it counts as lost, before it is known to be silent."""

SILENCE_LIMIT_S = 5.0
"""How long a media process that goes round may say nothing. It says four times a second what it counts; calls may go on
in one that does not, but no right could be taken away in them. Everyone is back within a second or two of its end, so
that waiting for longer would cost more than ending it."""

_LOOK_EVERY_S = 0.5  # a look that comes late counts as one: whatever held us up may have held up the other end, too
_MAX_READ = 1 << 18  # bytes in one turn of the loop
_MAX_TOGETHER = 1 << 16  # bytes that wait for the end of the turn, so that the other end need not wait for more
_HEADER = struct.Struct(">IBxH")
_KINDS = frame_kinds()
_HELLO, _REQUEST, _NOTE, _STOP = (_KINDS[name] for name in ("hello", "request", "note", "stop"))
_WELCOME, _OUTGOING, _COUNTERS = (_KINDS[name] for name in ("welcome", "outgoing", "counters"))
_FAULT, _REPLACED, _STOPPED = (_KINDS[name] for name in ("fault", "replaced", "stopped"))
_TAKEN = "another process has taken control of it"
_CLOSE_TIMEOUT_S = 4.0  # its workers get two seconds

_encode = msgspec.msgpack.Encoder().encode
_decode_welcome = msgspec.msgpack.Decoder(messages.Welcome).decode
_decode_note = msgspec.msgpack.Decoder(messages.Note).decode
_decode_fault = msgspec.msgpack.Decoder(messages.Fault).decode
_decode_counters = msgspec.msgpack.Decoder(list[messages.Counters]).decode
_decode_hanging = msgspec.msgpack.Decoder(list[int]).decode


class EngineLostError(Exception):
    """The connection to the media process has ended."""


class ReplacedError(EngineLostError):
    """Another process has taken control of it."""


class ProtocolError(Exception):
    """The media process speaks another version."""


class SilentError(Exception):
    """A media process runs and does not answer."""


class WhenClosed(Protocol):
    """Is told that the media process was to end, and whether it has."""

    def __call__(self, *, has_ended: bool) -> None: ...


class _Frames:
    """The frames in what was read.

    Raises:
        EngineLostError: one is longer than any that is meant.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        begin = 0
        try:
            while len(self._bytes) - begin >= _HEADER.size:
                length, kind, worker = _HEADER.unpack_from(self._bytes, begin)
                if length > MAX_FRAME:
                    raise EngineLostError(f"it announces a message of {length} bytes")
                end = begin + _HEADER.size + length
                if len(self._bytes) < end:
                    return
                payload = bytes(memoryview(self._bytes)[begin + _HEADER.size : end])
                begin = end
                yield kind, worker, payload
        finally:
            del self._bytes[:begin]


class RemoteCore:
    """A media process that is controlled from here, once it has said welcome."""

    def __init__(
        self,
        connection: socket.socket,
        welcome: messages.Welcome,
        notes: list[tuple[int, messages.Note]],
        frames: _Frames,
    ) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._notes = notes
        self._frames = frames
        self._unsent = bytearray()
        self._waits_to_send = False
        self._unanswered: Counter[tuple[int, bool]] = Counter()  # by worker, and whether it is a revocation
        self._lanes: dict[int, tuple[int, bool]] = {}  # of requests without an answer
        self._last_counters = welcome.counters
        self.instance = welcome.instance
        self.first_request = welcome.first_request
        self.resumed = welcome.resumed
        self.as_configured = welcome.as_configured
        self.dropped = welcome.dropped
        self.addresses = welcome.addresses
        self.workers = len(welcome.addresses)
        self.warnings = tuple(welcome.warnings)
        self.predecessor: str | None = None
        self.event_fd = connection.fileno()
        self.when_closed: WhenClosed = lambda *, has_ended: None
        self.when_silent: Callable[[], None] = lambda: None
        self._silent_looks = 0
        self._next_look = self._loop.call_later(_LOOK_EVERY_S, self._look)

    def submit(self, worker: int, request: messages.Request) -> bool:
        """Hands a request to a worker; False when too many wait for an answer.

        Raises:
            ValueError: it is longer than the process takes.
        """
        encoded = _encode(request)
        if len(encoded) > MAX_PAYLOAD:
            raise ValueError(f"a request to the media process has at most {MAX_PAYLOAD} bytes")
        takes_away = is_revocation(encoded)
        lane = worker, takes_away
        if self._unanswered[lane] >= (MAX_REVOCATIONS if takes_away else MAX_COMMANDS):
            return False
        self._unanswered[lane] += 1
        self._lanes[request.id] = lane
        self._send(_REQUEST, worker, encoded, at_once=takes_away)
        return True

    def answered(self, number: int) -> None:
        """Takes note that a request has its answer, among what `drain` brought."""
        lane = self._lanes.pop(number, None)
        if lane is not None:
            self._unanswered[lane] -= 1

    def note(self, worker: int, note: messages.Note) -> None:
        """Leaves something for whoever controls the engine next."""
        self._send(_NOTE, worker, _encode(note))

    def notes(self) -> list[tuple[int, messages.Note]]:
        """Returns what was left by whoever controlled it before, each with its worker."""
        return self._notes

    def drain(self) -> list[tuple[int, bytes]]:
        """Takes out replies and events, each with its worker.

        Raises:
            EngineLostError: the process has ended, or is controlled by another one.
        """
        try:
            data = self._socket.recv(_MAX_READ)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise EngineLostError(f"its socket failed: {error.strerror}") from error
        if not data:
            raise EngineLostError("it has ended")
        self._silent_looks = 0
        self._frames.feed(data)
        heard = (self._hear(kind, worker, payload) for kind, worker, payload in self._frames)
        return [outgoing for outgoing in heard if outgoing is not None]

    def counters(self) -> list[messages.Counters]:
        """Returns what each worker's rim counted a quarter of a second ago at most, while the process goes round."""
        return self._last_counters

    def bot(self, worker: int, peer: int) -> BotRing:
        """There is none: a bot lives in the process of its engine.

        Raises:
            UnavailableError: always.
        """
        raise UnavailableError("bots live in the process of their engine; this engine has one of its own")

    def close(self) -> list[int]:
        """Ends the process and waits for that; returns the workers that hang."""
        self._next_look.cancel()
        self._loop.remove_writer(self._socket)
        hanging, has_ended = list(range(self.workers)), False
        with self._socket, contextlib.suppress(OSError, EngineLostError):
            self._socket.settimeout(_CLOSE_TIMEOUT_S)
            unsent, self._unsent = self._unsent, bytearray()
            self._socket.sendall(unsent + _HEADER.pack(0, _STOP, 0))
            while data := self._socket.recv(_MAX_READ):
                self._frames.feed(data)
                for kind, _, payload in self._frames:
                    hanging = _decode_hanging(payload) if kind == _STOPPED else hanging
            has_ended = True
        self.when_closed(has_ended=has_ended)
        return hanging

    def detach(self) -> list[int]:
        """Leaves the process as it is, for whoever comes; hands over what it can of what was asked for."""
        self._next_look.cancel()
        self._loop.remove_writer(self._socket)
        with self._socket:
            try:
                self._socket.settimeout(_CLOSE_TIMEOUT_S)
                unsent, self._unsent = self._unsent, bytearray()
                self._socket.sendall(unsent)
            except OSError:
                logger.error("the media process did not take all that it was told before it was left")
        return []

    def _look(self) -> None:
        """Tells once, when nothing was heard for too long; the socket tells the rest."""
        self._silent_looks += 1
        self._next_look = self._loop.call_later(_LOOK_EVERY_S, self._look)
        if self._silent_looks == int(SILENCE_LIMIT_S / _LOOK_EVERY_S):
            self.when_silent()

    def _send(self, kind: int, worker: int, payload: bytes, *, at_once: bool = False) -> None:
        """Sends a frame, with all that is said in this turn of the loop; `at_once`: and before this returns, if it can.

        Each time that something is sent the media process wakes up.
        """
        is_first = not self._unsent
        self._unsent += _HEADER.pack(len(payload), kind, worker)
        self._unsent += payload
        if len(self._unsent) > MAX_UNSENT:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            at_once = True  # nothing is kept then, and whoever reads is told that it has ended
        if at_once or (len(self._unsent) > _MAX_TOGETHER and not self._waits_to_send):
            self._flush()
        elif is_first:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if not self._unsent:
            return  # all was sent, with what had to be sent at once, or when it was left
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            sent = len(self._unsent)  # whoever reads is told that it has ended
        del self._unsent[:sent]
        if bool(self._unsent) != self._waits_to_send:
            self._waits_to_send = bool(self._unsent)
            if self._waits_to_send:
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)

    def _hear(self, kind: int, worker: int, payload: bytes) -> tuple[int, bytes] | None:
        """Takes a frame in, and returns it if a worker says it."""
        if kind == _OUTGOING:
            return worker, payload
        if kind == _REPLACED:
            raise ReplacedError(_TAKEN)
        try:
            if kind == _COUNTERS:
                self._last_counters = _decode_counters(payload)
            elif kind == _FAULT:
                return self._refusal_of(worker, _decode_fault(payload))
        except msgspec.MsgspecError as error:
            # What came before it and comes behind it must be heard all the same.
            logger.error("a frame of the media process cannot be read: %s", error)
        return None

    def _refusal_of(self, worker: int, fault: messages.Fault) -> tuple[int, bytes] | None:
        """Makes of a fault what the worker would say to the request."""
        logger.error("the media process refused a message (%s): %s", fault.kind, fault.text)
        if fault.request is None:
            return None
        return worker, _encode(messages.Refused(id=fault.request, refusal="unavailable"))


async def connect(
    connection: socket.socket,
    config: messages.DriverConfig,
    *,
    end_other_version: bool = False,
    orphan_limit: timedelta,
    reclaims: bool = False,
) -> RemoteCore:
    """Takes control of the media process at the other end.

    Args:
        connection: connected, and not blocking; closed when this fails.
        config: how the engine runs, if it does not run yet.
        end_other_version: whether a process that speaks another version is to end.
        orphan_limit: how long calls are to go on once this one is gone.
        reclaims: whether it was controlled from here and lost, so that it must be left to whoever has it now.

    Raises:
        ReplacedError: somebody else has control, or took it while this one was getting it.
        ProtocolError: it is of another version.
        SilentError: it does not answer.
        StartError: it does not start with this configuration.
    """
    hello = messages.Hello(
        protocol=PROTOCOL,
        end_other_version=end_other_version,
        reclaims=reclaims,
        orphan_limit_ms=orphan_limit // timedelta(milliseconds=1),
        config=config,
    )
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            return await _say_hello(connection, hello)
    except TimeoutError as error:
        connection.close()
        raise SilentError("the media process does not answer") from error
    except OSError as error:
        connection.close()
        raise StartError(f"the media process hung up: {error.strerror}") from error
    except EngineLostError as error:
        connection.close()
        if isinstance(error, ReplacedError):
            raise
        raise StartError(f"what listens there is no media process: {error}") from error
    except BaseException:
        connection.close()
        raise


async def _say_hello(connection: socket.socket, hello: messages.Hello) -> RemoteCore:
    loop, said = asyncio.get_running_loop(), _encode(hello)
    await loop.sock_sendall(connection, _HEADER.pack(len(said), _HELLO, 0) + said)
    frames, welcome = _Frames(), None
    notes: list[tuple[int, messages.Note]] = []
    while welcome is None or len(notes) < welcome.notes:
        data = await loop.sock_recv(connection, _MAX_READ)
        if not data:
            raise StartError("the media process ended at once; what it wrote to stderr says why")
        frames.feed(data)
        for kind, worker, payload in frames:
            if kind == _FAULT:
                await _refused(connection, _decode_fault(payload))
            elif kind == _WELCOME:
                welcome = _decode_welcome(payload)
            elif kind == _NOTE:
                notes.append((worker, _decode_note(payload)))
            elif kind == _REPLACED:
                raise ReplacedError(_TAKEN)
            # What workers say meanwhile is older than the snapshot that is taken next.
    return RemoteCore(connection, welcome, notes, frames)


async def _refused(connection: socket.socket, fault: messages.Fault) -> NoReturn:
    """Waits until the other end has hung up, which a process that ends does last: its ports are free then."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while await loop.sock_recv(connection, _MAX_READ):
            pass
    match fault.kind:
        case "protocol":
            raise ProtocolError(fault.text)
        case "replaced":
            raise ReplacedError(_TAKEN)
        case _:
            raise StartError(fault.text)
