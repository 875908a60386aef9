"""What somebody sends who means harm: tokens, descriptions, connections that say nothing."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator

from callers import HANG_S
from servers import KEY, SECRET

A_MINUTE_S = 60
LEEWAY_S = 60  # by which clocks may differ
HALF_OF_A_REQUEST = b"GET /rtc?protocol=16 HTTP/1.1\r\nHost: pysfu.test\r\nUpgrade: websocket\r\nConnection: Upg"


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def token(room: str, *, key: str = SECRET, digest: str = "sha256", alg: str = "HS256", **claims: object) -> str:
    """Makes a token by hand, one for eve that is right but for what is asked for."""
    now = int(time.time())
    wanted = {
        "iss": KEY,
        "sub": "eve",
        "iat": now,
        "exp": now + 10 * A_MINUTE_S,
        "video": {"roomJoin": True, "room": room},
        **claims,
    }
    text = f"{_b64(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{_b64(json.dumps(wanted).encode())}"
    return f"{text}.{_b64(hmac.new(key.encode(), text.encode(), digest).digest())}"


def expired(room: str) -> str:
    now = int(time.time())
    return token(room, iat=now - 10 * A_MINUTE_S, exp=now - LEEWAY_S - 1)


def unsigned(room: str) -> str:
    """Says that nobody has signed it, and has no signature (RFC 7515 appendix A.5)."""
    return token(room, alg="none").rpartition(".")[0] + "."


WRONG_TOKENS: dict[str, tuple[Callable[[str], str], int]] = {
    "no token": (lambda _: "", 401),
    "no JWT": (lambda _: "a.b.c", 401),
    "alg none": (unsigned, 401),
    "alg none with a signature": (lambda room: token(room, alg="none"), 401),
    "another algorithm": (lambda room: token(room, alg="HS512", digest="sha512"), 401),
    "a public key's algorithm": (lambda room: token(room, alg="RS256"), 401),
    "another key": (lambda room: token(room, key="w" * 32), 401),
    "an issuer whom nobody knows": (lambda room: token(room, iss="somebody"), 401),
    "expired": (expired, 401),
    "not valid yet": (lambda room: token(room, nbf=int(time.time()) + 2 * LEEWAY_S), 401),
    "longer than any": (lambda room: token(room, metadata="m" * 5_000), 401),
    "of nobody": (lambda room: token(room, sub=""), 401),
    "not for joining": (lambda room: token(room, video={"room": room}), 403),
    "hidden": (lambda room: token(room, video={"room": room, "roomJoin": True, "hidden": True}), 403),
    "of no room": (lambda _: token(""), 400),
    "of a room that there is not": (lambda _: token("r_nowhere"), 404),
}
"""By what is wrong with them, made for a room; each with the status of the answer."""


def sections(count: int) -> str:
    """Returns an offer of so many cameras, in as few lines as can be."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(map(str, range(count)))}",
        "a=ice-ufrag:evil",
        f"a=ice-pwd:{'p' * 24}",
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}",
        "a=setup:actpass",
    ]
    for mid in range(count):
        lines += [
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sendonly",
            "a=rtcp-mux",
            "a=rtpmap:96 VP8/90000",
        ]
    return "\r\n".join(lines) + "\r\n"


@contextlib.contextmanager
def half_open(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Opens so many connections: every second one says half of what opens a WebSocket, and the others nothing."""
    with contextlib.ExitStack() as stack:
        opened = []
        for number in range(count):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=HANG_S))
            if number % 2:
                each.send(HALF_OF_A_REQUEST)
            opened.append(each)
        yield opened
