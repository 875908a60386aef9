"""The network: a namespace each for the server, the load and strangers, joined by veth pairs.

Each connection has an address of its own, so that servers which know callers by their address can tell them apart:
whole networks of addresses are local in the namespaces of load and strangers (`ip route add local`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER_ADDRESS = "10.90.0.1"
LOAD_ADDRESS = "10.90.0.2"
LOAD_ADDRESSES = "10.91.0.0"
STRANGERS_GATEWAY = "10.92.0.1"
STRANGERS_ADDRESS = "10.92.0.2"
STRANGERS_ADDRESSES = "10.93.0.0"

_CLONE_NEWNET = 0x4000_0000
_GROUP = 10
_SEND_GROUP = f"""
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(17, 103, 1000)  # UDP_SEGMENT
udp.sendto(bytes({_GROUP} * 1000), ("{LOAD_ADDRESS}", 9))
"""
"""A program that sends ten datagrams in one piece."""

OFFLOADS = ("gso", "gro", "tso", "tx-udp-segmentation")
"""What a veth pair does for groups of datagrams, and most virtual network cards do not."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the server's end of the wire has carried.

    Attributes:
        sent: packets that left the server.
        received: packets that came to it.
    """

    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Rig:
    """The namespaces by name."""

    server: str
    load: str
    strangers: str

    def inside(self, namespace: str, command: Sequence[str | Path]) -> list[str]:
        """Returns the command that runs another one in a namespace."""
        return ["ip", "netns", "exec", namespace, *map(str, command)]

    def path(self, namespace: str) -> str:
        """Returns the file that stands for a namespace."""
        return f"/run/netns/{namespace}"

    @contextlib.contextmanager
    def within(self, namespace: str) -> Iterator[None]:
        """Moves this thread into a namespace and back: a socket that is made meanwhile stays there."""
        with Path("/proc/thread-self/ns/net").open() as own, Path(self.path(namespace)).open() as other:
            _enter(other.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def processes(self, namespace: str) -> list[int]:
        """Returns the processes in a namespace."""
        return [int(line) for line in _run("ip", "netns", "pids", namespace).split()]

    def set_offload(self, *, on: bool) -> None:
        """Lets the wire carry groups of datagrams in one piece, or has the kernel cut them before it."""
        word = "on" if on else "off"
        settings = [part for feature in OFFLOADS for part in (feature, word)]
        for namespace, end in ((self.server, "to-load"), (self.load, "to-server")):
            _run(*self.inside(namespace, ["ethtool", "-K", end, *settings]))

    def check_offload(self, *, on: bool) -> None:
        """Sees to it that groups of datagrams are cut before the wire, or are not.

        Raises:
            RuntimeError: the wire does otherwise.
        """
        self.set_offload(on=on)
        before = self.counters().sent
        _run(*self.inside(self.server, [sys.executable, "-c", _SEND_GROUP]))
        packets = self.counters().sent - before
        # There may be an ARP request or two as well.
        if (packets < _GROUP) != on:
            raise RuntimeError(f"with offload {on} the wire carries {_GROUP} datagrams of a group in {packets} packets")

    def counters(self) -> Counters:
        """Returns what the wire between server and load has carried."""
        folder = "/sys/class/net/to-load/statistics"
        text = _run(*self.inside(self.server, ["cat", f"{folder}/tx_packets", f"{folder}/rx_packets"]))
        sent, received = text.split()
        return Counters(int(sent), int(received))


_NAME = re.compile(r"bench(\d+)[slx]")


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Makes the namespaces, and removes them with all that is left in them."""
    _sweep()
    prefix = f"bench{os.getpid()}"
    made = Rig(f"{prefix}s", f"{prefix}l", f"{prefix}x")
    try:
        _make(made)
        yield made
    finally:
        for namespace in (made.server, made.load, made.strangers):
            # A namespace that was not made yet cannot be removed; that is no fault.
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _sweep() -> None:
    """Removes the namespaces of a program that was killed before it could."""
    for line in _run("ip", "netns", "list").splitlines():
        found = _NAME.fullmatch(line.split()[0])
        if found is not None and not Path(f"/proc/{found[1]}").exists():
            _run("ip", "netns", "del", found[0])


def _make(made: Rig) -> None:
    for namespace in (made.server, made.load, made.strangers):
        _run("ip", "netns", "add", namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")
    _join(made.server, "to-load", SERVER_ADDRESS, made.load, "to-server", LOAD_ADDRESS, LOAD_ADDRESSES)
    _join(
        made.server,
        "to-strangers",
        STRANGERS_GATEWAY,
        made.strangers,
        "to-server",
        STRANGERS_ADDRESS,
        STRANGERS_ADDRESSES,
    )
    _run("ip", "-n", made.strangers, "route", "add", SERVER_ADDRESS, "via", STRANGERS_GATEWAY)
    for namespace in (made.server, made.load, made.strangers):
        for interface in ("all", "default"):
            _run(*made.inside(namespace, ["sysctl", "-qw", f"net.ipv4.conf.{interface}.rp_filter=0"]))
    made.set_offload(on=False)


def _join(server: str, theirs: str, gateway: str, other: str, ours: str, address: str, addresses: str) -> None:
    """Lays a wire from the server to another namespace, in which a whole network of addresses is local."""
    _run("ip", "link", "add", theirs, "netns", server, "type", "veth", "peer", "name", ours, "netns", other)
    for namespace, end, own in ((server, theirs, gateway), (other, ours, address)):
        _run("ip", "-n", namespace, "address", "add", f"{own}/24", "dev", end)
        _run("ip", "-n", namespace, "link", "set", end, "up")
    _run("ip", "-n", other, "route", "add", "local", f"{addresses}/16", "dev", "lo")
    _run("ip", "-n", server, "route", "add", f"{addresses}/16", "via", address)


def _enter(namespace: int) -> None:
    """Moves this thread into a network namespace (setns, which Python 3.11 does not have)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
