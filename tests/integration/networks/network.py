"""A server, a home router and participants behind it, each in a network namespace of its own.

    server 10.77.0.2 ── 10.77.0.1 router 10.77.n.1 ── 10.77.n.2 participant n

The router filters, forgets and queues as it is told. Segmentation offload is off everywhere: otherwise one UDP_SEGMENT
send would cross the router as one packet, and "20 % loss" would mean 20 % of bursts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

SERVER = "10.77.0.2"
PUBLIC = "198.51.100.7"  # of the server, where the router is its 1:1 NAT
OTHER = "10.77.0.3"  # of the server, where it has two
SEGMENTS = 10  # packets in the UDP_SEGMENT send of the check
TERM_PATIENCE_S = 5.0
_NAT_PORTS = "1024-65535"
_serial = itertools.count(1)

# One send of ten segments: nothing listens, the router counts what passes.
_SEND_SEGMENTS = f"""
import socket
UDP_SEGMENT = 103
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
s.sendto(bytes(1000 * {SEGMENTS}), ("ADDRESS", 9))
"""


class NetworkError(Exception):
    """The network cannot be made here. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, and its address on the network."""

    namespace: str
    address: str

    def command(self, *argv: str) -> list[str]:
        """Returns what runs `argv` on this host."""
        return ["ip", "netns", "exec", self.namespace, *argv]


class Network:
    """Makes the namespaces on entry; ends what still runs in them and removes them on exit."""

    def __init__(self) -> None:
        self._prefix = f"pysfu{os.getpid()}x{next(_serial)}"
        self._router = Host(f"{self._prefix}r", "10.77.0.1")
        self.server = Host(f"{self._prefix}s", SERVER)
        self._hosts: list[Host] = []
        self._links = 0

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NetworkError("Network namespaces need root: put tests/setup/namespaces.sh before pytest.")
        try:
            for host in (self._router, self.server):
                self._make(host)
            self._connect(self.server, f"{self._router.address}/24", "r0")
            self._filter()
            self._check_segments()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self._hosts:
            _end_all(host)
        for host in self._hosts:
            subprocess.run(["ip", "netns", "delete", host.namespace], check=False, capture_output=True)
        self._hosts.clear()

    def participant(self) -> Host:
        """Adds a host behind the router's NAT."""
        self._links += 1
        host = Host(f"{self._prefix}p{self._links}", f"10.77.{self._links}.2")
        self._make(host)
        self._connect(host, f"10.77.{self._links}.1/24", self._port(host))
        return host

    def second_link(self, host: Host) -> Host:
        """Gives a host another link with another address, as a telephone has Wi-Fi and mobile."""
        self._links += 1
        other = Host(host.namespace, f"10.77.{self._links}.2")
        self._connect(other, f"10.77.{self._links}.1/24", self._port(other), device="mobile0", table=str(self._links))
        return other

    def translate(self, outside: Host) -> None:
        """Has a host reach the server by its public address only, as from the internet through 1:1 NAT.

        The others reach it by its own address only.
        """
        port = self._port(outside)
        rules = f"""
            table ip one_to_one {{
                chain prerouting {{
                    type nat hook prerouting priority -100;
                    iifname "{port}" ip daddr {PUBLIC} dnat to {SERVER};
                }}
                chain forward {{
                    type filter hook forward priority -10;
                    iifname "{port}" ct original ip daddr {SERVER} counter reject;
                }}
            }}"""
        _run(*self._router.command("nft", "-f", "-"), given=rules)

    def second_address(self) -> None:
        """Gives the server another address on its link. What does not say from where it comes leaves from the first."""
        _run(*self.server.command("ip", "address", "add", f"{OTHER}/24", "dev", "eth0"))
        assert f"src {SERVER} " in _run(*self.server.command("ip", "route", "get", "10.77.0.1"))

    def unplug(self, host: Host) -> None:
        """Takes the host's first link down."""
        _run(*host.command("ip", "link", "set", "eth0", "down"))
        _run(*host.command("ip", "route", "replace", "default", "dev", "mobile0", "via", _gateway(_last_address(host))))

    def rebind(self) -> None:
        """Makes the router forget every connection: the next packet of each leaves from a new port."""
        _run(*self._router.command("conntrack", "-F"))

    def lose(self, percent: int) -> None:
        """Drops UDP packets at random, this share in each direction of every participant's link."""
        self._replace_faults(f"meta l4proto udp numgen random mod 100 < {percent} counter drop")

    def block_udp(self) -> None:
        """Drops all UDP, both ways."""
        self._replace_faults("meta l4proto udp counter drop")

    def heal(self) -> None:
        """Ends `lose` and `block_udp`."""
        _run(*self._router.command("nft", "flush", "chain", "ip", "net", "faults"))

    def limit_downlink(self, host: Host, *, kbps: int, queue_s: float) -> None:
        """Lets no more than `kbps` through to the host, and queues what it takes `queue_s` to send."""
        queue = int(kbps * 1000 / 8 * queue_s)
        shape = ("root", "tbf", "rate", f"{kbps}kbit", "burst", "16kb", "limit", str(queue))
        _run(*self._router.command("tc", "qdisc", "replace", "dev", self._port(host), *shape))

    def outside_ports(self) -> set[int]:
        """Returns the UDP ports from which the server sees the participants now."""
        listed = _run(*self._router.command("conntrack", "-L", "-p", "udp"))
        return {int(port) for port in re.findall(rf"dst={SERVER} .*dport=(\d+)", listed)}

    def dropped(self) -> int:
        """Returns how many packets the faults have dropped since they were last set."""
        listed = _run(*self._router.command("nft", "list", "chain", "ip", "net", "faults"))
        words = listed.split()
        return sum(int(count) for word, count in itertools.pairwise(words) if word == "packets")

    def _make(self, host: Host) -> None:
        try:
            _run("ip", "netns", "add", host.namespace)
        except NetworkError as error:
            raise NetworkError(f"This machine has no network namespaces: {error}") from None
        self._hosts.append(host)
        _run(*host.command("ip", "link", "set", "lo", "up"))

    def _connect(self, host: Host, gateway: str, port: str, *, device: str = "eth0", table: str | None = None) -> None:
        """Lays a cable between a host and the router. With `table`, beside the link that the host has."""
        router = self._router.namespace
        _run(
            "ip", "link", "add", device, "netns", host.namespace, "type", "veth", "peer", "name", port, "netns", router
        )
        for end, name, address in ((host, device, f"{host.address}/24"), (self._router, port, gateway)):
            _run(*end.command("ip", "address", "add", address, "dev", name))
            _run(*end.command("ip", "link", "set", name, "up"))
            _run(*end.command("ethtool", "-K", name, "gso", "off", "tso", "off", "gro", "off"))
            _run(*end.command("ethtool", "-K", name, "tx-udp-segmentation", "off"))
        via = ("default", "via", gateway.partition("/")[0], "dev", device)
        if table is None:
            _run(*host.command("ip", "route", "add", *via))
        else:
            _run(*host.command("ip", "route", "add", *via, "table", table))
            _run(*host.command("ip", "rule", "add", "from", host.address, "lookup", table))

    def _filter(self) -> None:
        _run(*self._router.command("sysctl", "-qw", "net.ipv4.ip_forward=1"))
        rules = f"""
            table ip net {{
                chain faults {{ }}
                chain count {{ ip daddr {SERVER} udp dport 9 counter; }}
                chain forward {{ type filter hook forward priority 0; jump faults; jump count; }}
                chain nat {{ type nat hook postrouting priority 100; oifname "r0" meta l4proto udp masquerade to :{_NAT_PORTS} fully-random; oifname "r0" masquerade; }}
            }}"""  # noqa: E501
        _run(*self._router.command("nft", "-f", "-"), given=rules)

    def _replace_faults(self, rule: str) -> None:
        self.heal()
        _run(*self._router.command("nft", "add", "rule", "ip", "net", "faults", *rule.split()))

    def _check_segments(self) -> None:
        """One send of ten segments must pass the router as ten packets, or no share of loss means what it says."""
        probe = self.participant()
        _run(*probe.command(sys.executable, "-c", _SEND_SEGMENTS.replace("ADDRESS", SERVER)))
        words = _run(*self._router.command("nft", "list", "chain", "ip", "net", "count")).split()
        passed = int(words[words.index("packets") + 1])
        if passed != SEGMENTS:
            raise NetworkError(
                f"One send of {SEGMENTS} segments crossed the router as {passed} packets: offload is on."
            )

    def _port(self, host: Host) -> str:
        return "r" + host.address.split(".")[2]


def _last_address(host: Host) -> str:
    listed = _run(*host.command("ip", "-4", "-o", "address", "show", "dev", "mobile0"))
    return listed.split()[3].partition("/")[0]


def _gateway(address: str) -> str:
    return address.rpartition(".")[0] + ".1"


def _run(*argv: str, given: str = "") -> str:
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _end_all(host: Host) -> None:
    """Ends the processes in a namespace; they are ours, for so is the namespace."""
    deadline = time.monotonic() + TERM_PATIENCE_S
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in _processes(host):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        while _processes(host) and time.monotonic() < deadline:
            time.sleep(0.05)  # they are not our children: there is nothing to wait for but their absence


def _processes(host: Host) -> Sequence[int]:
    listed = subprocess.run(["ip", "netns", "pids", host.namespace], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]
