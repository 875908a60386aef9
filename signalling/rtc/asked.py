"""What a client asks for when it opens its WebSocket: the query of the address (LiveKit's signalling, version 0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a client wants to be in a meeting.

    Attributes:
        auto_subscribe: whether it receives what it did not speak of.
        adaptive_stream: whether it will say how large it shows pictures.
        attributes: what others shall see of it, if it may say so itself.
        resumes: the sid under which it was in the meeting, if it wants to go on there.
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
