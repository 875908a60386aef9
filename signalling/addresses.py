"""The addresses of this machine, and what can be told from looking at them."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_DOCUMENTATION_V4 = ("192.0.2.1", 9)  # RFC 5737: nothing is sent, the kernel only chooses a source address
_DOCUMENTATION_V6 = ("2001:db8::1", 9)
_SIOCGIFADDR = 0x8915
_BRIDGES = ("docker", "br-", "virbr", "veth", "cni", "podman", "lxc")
_CONTAINER_NETWORK = ip_network("172.17.0.0/16")

Address = IPv4Address | IPv6Address

EVERYWHERE = (IPv4Address("0.0.0.0"), IPv6Address("::"))  # noqa: S104 - what each family calls it


def to_bind(host: Address) -> tuple[Address, ...]:
    """Lists what to bind for `host`: "all my addresses" in one family is meant for the other, too."""
    return EVERYWHERE if host.is_unspecified else (host,)


def family_of(address: Address) -> socket.AddressFamily:
    """Returns the family of an address, as sockets name it."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def is_family_missing(error: OSError) -> bool:
    """Whether binding failed because this machine is without IPv6, or without IPv4: harmless while it has the other."""
    return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def outgoing_addresses() -> list[Address]:
    """Lists the addresses from which this machine would talk to others, IPv4 first."""
    found: list[Address] = []
    for family, target in ((socket.AF_INET, _DOCUMENTATION_V4), (socket.AF_INET6, _DOCUMENTATION_V6)):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            address = ip_address(probe.getsockname()[0].partition("%")[0])
            if not (address.is_link_local or address.is_loopback):
                found.append(address)
    return found


def interface_addresses() -> dict[str, IPv4Address]:
    """Lists the IPv4 address of each network interface; empty where the system does not tell (outside Linux)."""
    try:
        import fcntl
    except ImportError:
        return {}
    found: dict[str, IPv4Address] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name[:15].encode())
            with contextlib.suppress(OSError):
                found[name] = IPv4Address(fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24])
    return found


def is_bridge(address: Address, interfaces: dict[str, IPv4Address]) -> bool:
    """Whether the address is that of a container or virtual machine bridge, which no other machine can reach."""
    on_bridge = any(name.startswith(_BRIDGES) and address == own for name, own in interfaces.items())
    return on_bridge or (address.version == 4 and address in _CONTAINER_NETWORK)
