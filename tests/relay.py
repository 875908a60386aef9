"""A relay between the engine and its clients: it passes every datagram on, and keeps it and when it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

SO_TIMESTAMPNS = 35  # the module `socket` has no name for it
TIMESPEC = struct.Struct("@qq")
CANDIDATE = re.compile(r"^(a=candidate:\S+ 1 udp \d+) (\S+) (\d+) typ host", re.MULTILINE | re.IGNORECASE)
MAX_DATAGRAM = 65_536


@dataclass(frozen=True, slots=True)
class Passed:
    """A datagram, and when it was sent: the kernel notes that as soon as it has it, in nanoseconds since the epoch."""

    at_ns: int
    data: bytes

    @property
    def is_dtls(self) -> bool:
        """RFC 7983."""
        return 20 <= self.data[0] <= 63

    @property
    def is_rtp(self) -> bool:
        """RFC 7983: 128..191 is RTP or RTCP, and RFC 5761 tells those apart."""
        return len(self.data) > 1 and 128 <= self.data[0] <= 191 and not 192 <= self.data[1] <= 223

    @property
    def is_sender_report(self) -> bool:
        """RFC 3550 §6.4.1: what a compound packet begins with is in the clear (RFC 3711 §3.4)."""
        return len(self.data) > 1 and 128 <= self.data[0] <= 191 and self.data[1] == 200


@dataclass
class Relay:
    """Stands between. Open from entry to exit, for any number of clients, who do not get what it loses."""

    from_clients: list[Passed] = field(default_factory=list)
    to_clients: list[Passed] = field(default_factory=list)
    loses: Callable[[Passed], bool] = lambda passed: False
    is_cut: bool = False
    """While it is, nothing passes either way."""

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._ways: dict[tuple[socket.socket, tuple[str, int]], socket.socket] = {}
        self._backs: dict[socket.socket, tuple[socket.socket, tuple[str, int]]] = {}
        self._fronts: dict[tuple[str, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()

    def through(self, description: str) -> str:
        """Returns the engine's description as one whose candidates are ports of this relay."""
        return CANDIDATE.sub(
            lambda found: f"{found[1]} {found[2]} {self._front(found[2], int(found[3]))} typ host", description
        )

    def move(self) -> None:
        """Has clients come from ports that the engine does not know, as from another network; the others stay open."""
        self._ways.clear()

    def rtp_to_clients(self, since_ns: int) -> int:
        """Counts the RTP packets that the engine sent after that moment, those that wait in a socket of ours, too."""
        for back in self._backs:
            self._pass_back(back)
        return sum(each.is_rtp and each.at_ns > since_ns for each in self.to_clients)

    def missing_to_clients(self, since_ns: int) -> list[tuple[int, int]]:
        """Returns where the numbers of packets sent since then are not gap-free, by stream (RFC 3550 §5.1)."""
        last: dict[bytes, int] = {}
        found = []
        for passed in self.to_clients:
            if not passed.is_rtp or passed.at_ns < since_ns:
                continue
            stream, number = passed.data[8:12], int.from_bytes(passed.data[2:4], "big")
            if stream in last and number != (last[stream] + 1) & 0xFFFF:
                found.append((last[stream], number))
            last[stream] = number
        assert last, "packets came"
        return found

    def _front(self, host: str, port: int) -> int:
        """Opens a port beside one of the engine."""
        if (host, port) not in self._fronts:
            front = self._open(host)
            self._loop.add_reader(front, self._pass_on, front, (host, port))
            self._fronts[host, port] = front.getsockname()[1]
        return self._fronts[host, port]

    def _open(self, host: str) -> socket.socket:
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        opened.bind((host, 0))
        self._sockets.append(opened)
        return opened

    def _pass_on(self, front: socket.socket, engine: tuple[str, int]) -> None:
        for passed, client in _read(front):
            self.from_clients.append(passed)
            if self.is_cut:
                continue
            way = (front, client[:2])
            if way not in self._ways:
                self._ways[way] = back = self._open(engine[0])
                back.connect(engine)
                self._backs[back] = way
                self._loop.add_reader(back, self._pass_back, back)
            with contextlib.suppress(OSError):
                self._ways[way].send(passed.data)

    def _pass_back(self, back: socket.socket) -> None:
        front, client = self._backs[back]
        for passed, _ in _read(back):
            self.to_clients.append(passed)
            if self.is_cut or self.loses(passed):
                continue
            with contextlib.suppress(OSError):
                front.sendto(passed.data, client)


def _read(opened: socket.socket) -> Iterator[tuple[Passed, tuple[str, int]]]:
    """Takes out what waits."""
    while True:
        try:
            data, notes, _, sender = opened.recvmsg(MAX_DATAGRAM, 256)
        except (BlockingIOError, ConnectionRefusedError):
            return
        (stamp,) = (note for level, kind, note in notes if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
        seconds, nanoseconds = TIMESPEC.unpack(stamp)
        if data:
            yield Passed(seconds * 1_000_000_000 + nanoseconds, data), sender
