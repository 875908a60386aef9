"""Tokens made by hand, right and wrong ones."""

from __future__ import annotations

import base64
import hmac
import json

from conftest import NOW, SECRET

AT = int(NOW.timestamp())
CLAIMS: dict[str, object] = {
    "iss": "k1",
    "sub": "p_1",
    "iat": AT,
    "exp": AT + 600,
    "video": {"roomJoin": True, "room": "r1"},
}


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def signed(claims: object, *, key: str = SECRET, digest: str = "sha256", **header: object) -> str:
    head = {"alg": "HS256", "typ": "JWT"} | header
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.new(key.encode(), text.encode(), digest).digest())}"
