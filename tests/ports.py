"""Ports that are free."""

from __future__ import annotations

import socket


def families() -> list[socket.AddressFamily]:
    """Lists the families of addresses that this machine has."""
    found = [socket.AF_INET]
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6).close()
    except OSError:
        return found
    return [*found, socket.AF_INET6]


def taken_port(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """Takes a port of every address of one family, which is free in the others."""
    while True:
        taken = _bound(family, kind, 0)
        try:
            for other in set(families()) - {family}:
                _bound(other, kind, taken.getsockname()[1]).close()
        except OSError:
            taken.close()
            continue
        return taken


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    bound = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    except OSError:
        bound.close()
        raise
    return bound


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Finds a port of this machine that nobody uses."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
