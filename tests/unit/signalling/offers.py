"""Offers as browsers and encoders write them, cut to what this server reads."""

from __future__ import annotations

UFRAG = "aB3+"
PASSWORD = "q" * 24


def offer(direction: str = "sendonly", *, kinds: tuple[str, ...] = ("audio", "video"), more: str = "") -> str:
    lines = ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
    for mid, kind in enumerate(kinds):
        lines += [
            f"m={kind} 9 UDP/TLS/RTP/SAVPF 111",
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{UFRAG}",
            f"a=ice-pwd:{PASSWORD}",
            "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
            "a=setup:actpass",
            f"a=mid:{mid}",
            f"a={direction}",
            "a=rtcp-mux",
            "a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host",
        ]
    return "\r\n".join([*lines, *filter(None, [more])]) + "\r\n"


def fragment(*, ufrag: str = UFRAG, password: str = PASSWORD, more: tuple[str, ...] = ()) -> str:
    head = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "m=audio 9 RTP/AVP 0", "a=mid:0"]
    return "\r\n".join([*head, *more]) + "\r\n"
