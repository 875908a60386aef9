"""The hellos of a DTLS handshake, read off the wire (RFC 6347 §4.2, RFC 9147 §5): they are not encrypted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DTLS_1_2, DTLS_1_3 = 0xFEFD, 0xFEFC
X25519, P256, X25519MLKEM768 = 0x001D, 0x0017, 0x11EC
MLKEM_SHARE_BYTES = 1_216  # an encapsulation key of ML-KEM-768 and a key of X25519, for the client
_HANDSHAKE = 22
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_SUPPORTED_VERSIONS, _KEY_SHARE = 43, 51


@dataclass(frozen=True, slots=True)
class Hello(ABC):
    """What a hello says, and how many datagrams it took."""

    datagrams: int
    body: bytes

    @property
    def versions(self) -> list[int]:
        """The versions offered, or the one chosen."""
        told = self._extensions().get(_SUPPORTED_VERSIONS)
        if told is None:
            return [int.from_bytes(self.body[:2])]
        listed = told[1:] if len(told) > 2 else told
        return [int.from_bytes(listed[at : at + 2]) for at in range(0, len(listed), 2)]

    @property
    def shares(self) -> dict[int, int]:
        """How many bytes of a key a client sends for each group; a server's is of its one group."""
        told = self._extensions().get(_KEY_SHARE, b"")
        listed = told[2:] if int.from_bytes(told[:2]) == len(told) - 2 else told
        return {int.from_bytes(group): len(key) for group, key in _pairs(listed)}

    def _extensions(self) -> dict[int, bytes]:
        at = 34  # version and random
        at += 1 + self.body[at]  # session
        if self._is_of_client():
            at += 1 + self.body[at]  # cookie
            at += 2 + int.from_bytes(self.body[at : at + 2])  # cipher suites
            at += 1 + self.body[at]  # compression
        else:
            at += 3
        return {int.from_bytes(kind): value for kind, value in _pairs(self.body[at + 2 :])}

    @abstractmethod
    def _is_of_client(self) -> bool: ...


class ClientHello(Hello):
    def _is_of_client(self) -> bool:
        return True


class ServerHello(Hello):
    def _is_of_client(self) -> bool:
        return False


def client_hello(datagrams: Iterable[bytes]) -> ClientHello:
    """Returns the first one."""
    return ClientHello(*_first(_CLIENT_HELLO, datagrams))


def server_hello(datagrams: Iterable[bytes]) -> ServerHello:
    """Returns the last one: a server may first have asked for another hello, which looks alike in DTLS 1.3."""
    return ServerHello(*_first(_SERVER_HELLO, datagrams, last=True))


def _first(kind: int, datagrams: Iterable[bytes], *, last: bool = False) -> tuple[int, bytes]:
    """Puts the fragments of a message together; those sent again do not count."""
    messages: dict[int, dict[int, bytes]] = {}
    carriers: dict[int, set[int]] = {}
    lengths: dict[int, int] = {}
    for number, datagram in enumerate(datagrams):
        for fragment in _fragments(datagram):
            if fragment[0] != kind:
                continue
            sequence, at = int.from_bytes(fragment[4:6]), int.from_bytes(fragment[6:9])
            lengths[sequence] = int.from_bytes(fragment[1:4])
            if at not in messages.setdefault(sequence, {}):
                messages[sequence][at] = fragment[12 : 12 + int.from_bytes(fragment[9:12])]
                carriers.setdefault(sequence, set()).add(number)
    assert messages, "there is no such hello"
    sequence = max(messages) if last else min(messages)
    body = b"".join(piece for _, piece in sorted(messages[sequence].items()))
    assert len(body) == lengths[sequence], "a fragment is missing"
    return len(carriers[sequence]), body


def _fragments(datagram: bytes) -> Iterator[bytes]:
    """Yields the handshake messages, or parts of them, that are in the clear."""
    while len(datagram) > 13 and datagram[0] == _HANDSHAKE and datagram[3:5] == b"\0\0":
        end = 13 + int.from_bytes(datagram[11:13])
        record, datagram = datagram[13:end], datagram[end:]
        while record:
            size = 12 + int.from_bytes(record[9:12])
            yield record[:size]
            record = record[size:]


def _pairs(listed: bytes) -> Iterator[tuple[bytes, bytes]]:
    while listed:
        size = int.from_bytes(listed[2:4])
        yield listed[:2], listed[4 : 4 + size]
        listed = listed[4 + size :]
