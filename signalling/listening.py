"""The sockets of the server: whether they can be had, and which setting to change where they cannot."""

from __future__ import annotations

import contextlib
import itertools
import socket
from ipaddress import IPv6Address

from signalling.addresses import family_of, is_family_missing, to_bind
from signalling.config import ConfigError, Settings


def bind(settings: Settings) -> socket.socket:
    """Opens the TCP socket.

    Raises:
        ConfigError: the port is taken, or the address is not ours.
    """
    http = settings.http
    # One socket of IPv6 takes calls over IPv4 too, where this machine has IPv6 at all.
    for address in reversed(to_bind(http.host)):
        listening = None
        try:
            listening = socket.socket(family_of(address), socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 6 and address.is_unspecified:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind((str(address), http.port))
            listening.setblocking(False)
        except OSError as error:
            if listening is not None:
                listening.close()
            if address == IPv6Address("::") and is_family_missing(error):
                continue
            fault = f"http.port: cannot listen on {http.host} port {http.port}: {error.strerror}"
            raise ConfigError([fault]) from error
        return listening
    raise AssertionError("the last address is the only one that may not be passed over")


def check_media_ports(settings: Settings) -> None:
    """Tries the UDP ports that the engine will open, to tell early and clearly when it cannot.

    Raises:
        ConfigError: a port is taken, or the address is not ours.
    """
    media = settings.media
    for port, address in itertools.product(range(media.port, media.port + media.workers), to_bind(media.host)):
        try:
            with contextlib.closing(socket.socket(family_of(address), socket.SOCK_DGRAM)) as probe:
                if address.version == 6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((str(address), port))
        except OSError as error:
            if address.is_unspecified and is_family_missing(error):
                continue
            fault = f"media.port: cannot listen on {address} port {port} (UDP): {error.strerror}"
            raise ConfigError([fault]) from error
