"""A room and those who may come in, for clients that are not the load's."""

from __future__ import annotations

import contextlib
from typing import Any

from restartable import Asking
from rig import Rig
from servers import Server


def tokens(rig: Rig, server: Server, count: int) -> list[str]:
    """Makes a room, and returns so many tokens with which one can be in it.

    Raises:
        RuntimeError: the server refuses.
    """
    with contextlib.closing(Asking(rig, server.target)) as asking:
        room = _made(asking, "/rooms")["room"]
        return [_made(asking, f"/rooms/{room}/tokens")["token"] for _ in range(count)]


def _made(asking: Asking, path: str) -> Any:
    status, said = asking.call("POST", path)
    if status != 201:
        raise RuntimeError(f"POST {path}: {status} {said}")
    return said
