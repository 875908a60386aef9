"""What a client asks for when it opens its WebSocket: the query of the address (LiveKit's signalling, version 0)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from livekit.protocol.models import ClientInfo

MAX_ATTRIBUTES_LENGTH = 32_768
"""Characters of attributes in an address; what is longer can be told over the WebSocket."""
MAX_SID_LENGTH = 64
"""Ours have 15 characters."""

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})
_NUMBER = re.compile(r"[0-9]{1,4}\Z")
_SDK = re.compile(r"[a-z0-9_-]{1,32}\Z")
# One alphabet of two (RFC 4648 sections 4 and 5); a plus in an address means a blank.
_URL_SAFE = str.maketrans("+/ ", "-_-")
_CAPABILITIES = dict(ClientInfo.Capability.items())


class AskedFaultError(Exception):
    """An address asks for something that cannot be read; the message says what, and quotes nothing of it."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a client wants to be in a meeting.

    Attributes:
        auto_subscribe: whether it receives what it did not speak of.
        adaptive_stream: whether it will say how large it shows pictures.
        attributes: what others shall see of it, if it may say so itself; of no effect where it resumes.
        resumes: the sid under which it was in the meeting, if it wants to go on there; empty where it does not say.
        protocol: the number of the protocol that it speaks.
        client_protocol: that of what clients say among themselves.
        capabilities: what it can do, as numbers of `ClientInfo.Capability`, told to the others.
        sdk: by which library it speaks.
    """

    auto_subscribe: bool = True
    adaptive_stream: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    resumes: str | None = None
    protocol: int = 0
    client_protocol: int = 0
    capabilities: tuple[int, ...] = ()
    sdk: str = ""


def asked(query: Mapping[str, str]) -> Asked:
    """Reads a query. What is not known here is passed over, and what is no value as if it were not there.

    Raises:
        AskedFaultError: the attributes cannot be read: a client without those it gave would not be itself.
    """
    resumes = _flag(query, "reconnect", default=False)
    return Asked(
        auto_subscribe=_flag(query, "auto_subscribe", default=True),
        adaptive_stream=_flag(query, "adaptive_stream", default=False),
        attributes=_attributes(query.get("attributes", "")),
        resumes=_sid(query.get("sid", "")) if resumes else None,
        protocol=_number(query, "protocol"),
        client_protocol=_number(query, "client_protocol"),
        capabilities=_capabilities(query.get("capabilities", "")),
        sdk=_sdk(query.get("sdk", "")),
    )


def _flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    said = query.get(name, "").lower()
    return said in _TRUE or (default and said not in _FALSE)


def _number(query: Mapping[str, str], name: str) -> int:
    said = query.get(name, "")
    return int(said) if _NUMBER.match(said) else 0


def _sid(said: str) -> str:
    return said if len(said) <= MAX_SID_LENGTH else ""


def _sdk(said: str) -> str:
    named = said.lower()
    return named if _SDK.match(named) else ""


def _capabilities(said: str) -> tuple[int, ...]:
    return tuple(sorted({_CAPABILITIES[name] for name in said.split(",") if name in _CAPABILITIES}))


def _attributes(said: str) -> Mapping[str, str]:
    if not said:
        return {}
    if len(said) > MAX_ATTRIBUTES_LENGTH:
        raise AskedFaultError(f"attributes: longer than {MAX_ATTRIBUTES_LENGTH} characters")
    try:
        read = json.loads(_decoded(said))
        if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
            raise ValueError  # like all else that is no such object
        "".join([*read, *read.values()]).encode()  # half a character, which JSON can hold, can be told to nobody
    except (ValueError, RecursionError) as error:
        raise AskedFaultError("attributes: they must be a JSON object of texts, in URL-safe base64") from error
    return read


def _decoded(said: str) -> bytes:
    bare = said.rstrip("=").translate(_URL_SAFE).encode("ascii")
    return base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=b"-_", validate=True)
