"""`pysfu doctor`: looks for what most often keeps calls from working."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from signalling import keeping
from signalling.addresses import (
    Address,
    family_of,
    interface_addresses,
    is_bridge,
    is_family_missing,
    outgoing_addresses,
    to_bind,
)
from signalling.certificate import CertificateError, read_certificate, tls_context
from signalling.config import ConfigError, Settings, is_exposed
from signalling.echo import ECHO_LIMIT, EchoCall, EchoTest, Failure, echo_test
from signalling.media import EngineStartError

WANTED_RECEIVE_BUFFER = 4 * 1024 * 1024  # 1 000 streams of 1.5 Mbit/s for 20 ms, the longest stall we mean to survive
WANTED_OPEN_FILES = 4_096  # One per HTTP connection (2 000 by default), and room for the rest
CERTIFICATE_WARNING = timedelta(days=14)
EARLIEST_PLAUSIBLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)  # This program is younger than that.
REACH_LIMIT_S = 4.0
_TIME_ERROR, _STA_UNSYNC = 5, 0x40  # of adjtimex(2)
NOT_CHECKED = "whether the announced addresses are reachable from outside"


class Grade(IntEnum):
    """How bad it is; also the exit status."""

    GOOD = 0
    WARNING = 1
    BAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    grade: Grade
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the checks need to know of this machine, so that tests can make one up."""

    now: datetime
    synchronised: bool | None
    interfaces: dict[str, Address]
    outgoing: list[Address]
    kernel: Callable[[str], int | None]
    open_files: int | None
    call: Callable[[Settings], EchoTest]
    reach: Callable[[str], str | None]


def this_machine() -> Machine:
    """Looks at this machine."""
    return Machine(
        now=datetime.now(UTC),
        synchronised=_synchronised(),
        interfaces=dict(interface_addresses()),
        outgoing=outgoing_addresses(),
        kernel=_kernel_setting,
        open_files=_open_files(),
        call=lambda settings: asyncio.run(echo_test(settings)),
        reach=_fault_of_reaching,
    )


def examine(settings: Settings, machine: Machine) -> list[Finding]:
    """Makes every check."""
    return [
        *_clock(machine),
        *_certificate(settings, machine),
        *_ports(settings),
        *_announced(settings, machine),
        *_echo(settings, machine),
        *_buffers(machine),
        *_files(machine),
        *_store(settings),
        *_secrets(settings),
        *_webhooks(settings, machine),
    ]


def _clock(machine: Machine) -> Iterator[Finding]:
    if machine.now < EARLIEST_PLAUSIBLE_TIME:
        yield Finding(check="clock", grade=Grade.BAD, text=f"the clock says {machine.now:%Y-%m-%d}: set it, use NTP")
        return
    told = f"the clock says {machine.now:%Y-%m-%d %H:%M} UTC"
    if machine.synchronised is False:
        text = (
            f"{told}, but nothing keeps it right: run chrony or systemd-timesyncd here, or on the host of this"
            " container or virtual machine, because tokens and certificates are judged by it"
        )
        yield Finding(check="clock", grade=Grade.WARNING, text=text)
    else:
        kept = " and is kept right by NTP" if machine.synchronised else "; whether NTP keeps it right is not told here"
        yield Finding(check="clock", grade=Grade.GOOD, text=told + kept)


def _certificate(settings: Settings, machine: Machine) -> Iterator[Finding]:
    http = settings.http
    if http.certificate is None or http.key is None:
        text = (
            "no certificate: plain HTTP over loopback; put a TLS proxy in front, or set http.certificate and http.key"
        )
        yield Finding(check="certificate", grade=Grade.WARNING, text=text)
        return
    try:
        tls_context(http.certificate, http.key)
        certificate = read_certificate(http.certificate)
    except CertificateError as error:
        yield Finding(check="certificate", grade=Grade.BAD, text=str(error))
        return
    fault = certificate.fault(now=machine.now)
    left = certificate.not_after - machine.now
    if fault is not None:
        yield Finding(check="certificate", grade=Grade.BAD, text=f"{http.certificate}: {fault}")
    elif left < CERTIFICATE_WARNING:
        yield Finding(check="certificate", grade=Grade.WARNING, text=f"ends in {left.days} days: renew it")
    else:
        text = f"belongs to its key, ends in {left.days} days, names: {', '.join(certificate.names) or 'none'}"
        yield Finding(check="certificate", grade=Grade.GOOD, text=text)
    if not certificate.names:
        text = "it has no subjectAltName: browsers will refuse it"
        yield Finding(check="certificate", grade=Grade.BAD, text=text)


def _ports(settings: Settings) -> Iterator[Finding]:
    http, media = settings.http, settings.media
    for address in to_bind(http.host):
        yield from _port("http.port", address, http.port, socket.SOCK_STREAM)
    for worker, address in itertools.product(range(media.workers), to_bind(media.host)):
        yield from _port("media.port", address, media.port + worker, socket.SOCK_DGRAM)


def _port(check: str, address: Address, port: int, kind: socket.SocketKind) -> Iterator[Finding]:
    named = f"{'TCP' if kind == socket.SOCK_STREAM else 'UDP'} {address} port {port}"
    try:
        with contextlib.closing(socket.socket(family_of(address), kind)) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((str(address), port))
    except OSError as error:
        if not (address.is_unspecified and is_family_missing(error)):
            text = f"{named}: {error.strerror} (expected while the server is running)"
            yield Finding(check=check, grade=Grade.WARNING, text=text)
        return
    yield Finding(check=check, grade=Grade.GOOD, text=f"{named} is free")


def _announced(settings: Settings, machine: Machine) -> Iterator[Finding]:
    check = "media.announced_addresses"
    announced: list[Address] = list(settings.media.announced_addresses)
    own = {*machine.interfaces.values(), *machine.outgoing}
    if not announced:
        announced = machine.outgoing if settings.media.host.is_unspecified else [settings.media.host]
        if not announced:
            text = "this machine has no address others can reach: set media.announced_addresses"
            yield Finding(check=check, grade=Grade.BAD, text=text)
    interfaces = {name: address for name, address in machine.interfaces.items() if address.version == 4}
    for address in announced:
        if is_bridge(address, interfaces):
            text = f"{address} is a container bridge: announce the host's address instead"
            yield Finding(check=check, grade=Grade.BAD, text=text)
        elif address.is_loopback:
            grade = Grade.BAD if is_exposed(settings) else Grade.WARNING
            yield Finding(check=check, grade=grade, text=f"{address} is reached only from this machine")
        elif address not in own:
            text = (
                f"{address} is not on this machine: right behind 1:1 NAT that passes the UDP ports on, wrong otherwise"
            )
            yield Finding(check=check, grade=Grade.WARNING, text=text)
        elif address.is_private:
            text = f"{address} is private: reached only inside your network, not from the internet"
            yield Finding(check=check, grade=Grade.WARNING, text=text)
        else:
            yield Finding(check=check, grade=Grade.GOOD, text=f"{address} is an address of this machine")


def _echo(settings: Settings, machine: Machine) -> Iterator[Finding]:
    check = "echo call"
    try:
        test = machine.call(settings)
    except EngineStartError as error:
        text = f"the media engine does not start, so no call was made: {error}"
        yield Finding(check=check, grade=Grade.BAD, text=text)
        return
    own = {*machine.interfaces.values(), *machine.outgoing}
    for call in test.calls:
        host = ip_address(call.address.rpartition(":")[0].strip("[]"))
        if call.failure is None:
            aside = f" (not port {settings.media.port}: {test.own_port_fault})" if test.own_port_fault else ""
            sound = f"sound was back after {call.round_trip.total_seconds() * 1_000:.1f} ms"
            yield Finding(check=check, grade=Grade.GOOD, text=f"{call.address}{aside}: {sound}, over {call.protection}")
        else:
            # From inside, a router need not send back in what goes to its outer address.
            is_own = host in own or host.is_loopback
            yield Finding(check=check, grade=Grade.BAD if is_own else Grade.WARNING, text=_remedy(call, is_own=is_own))


def _remedy(call: EchoCall, *, is_own: bool) -> str:
    """Says which step of a call failed, and what to do."""
    elsewhere = "" if is_own else "; behind 1:1 NAT that may be so from inside only, then try from outside"
    match call.failure:
        case Failure.UNREACHABLE:
            text = f"there is no way to it from here ({call.reason}): correct media.announced_addresses{elsewhere}"
        case Failure.PORT_CLOSED:
            text = f"the UDP port is closed there: correct media.announced_addresses, or pass the port on{elsewhere}"
        case Failure.NO_ANSWER:
            text = (
                f"no answer on UDP within {ECHO_LIMIT.total_seconds():.0f} s: let the UDP port through the firewall,"
                f" in and out{elsewhere}"
            )
        case Failure.NO_HANDSHAKE:
            text = "answers, but DTLS did not finish: let UDP packets of 1200 bytes and more pass, in and out"
        case Failure.WRONG_CERTIFICATE:
            text = "another server answers there: give each its own address and UDP port"
        case _:
            text = "connects, but no sound came back: the firewall passes STUN and DTLS, let SRTP pass too"
    return f"{call.address}: {text}"


def _buffers(machine: Machine) -> Iterator[Finding]:
    for name in ("rmem_max", "wmem_max"):
        size = machine.kernel(f"net/core/{name}")
        if size is None:
            yield Finding(check="udp buffers", grade=Grade.WARNING, text=f"net.core.{name} cannot be read here")
        elif size < WANTED_RECEIVE_BUFFER:
            text = f"net.core.{name} is {size}: set it to at least {WANTED_RECEIVE_BUFFER}, or bursts are lost"
            yield Finding(check="udp buffers", grade=Grade.WARNING, text=text)
        else:
            yield Finding(check="udp buffers", grade=Grade.GOOD, text=f"net.core.{name} is {size}")


def _files(machine: Machine) -> Iterator[Finding]:
    limit = machine.open_files
    if limit is not None and limit < WANTED_OPEN_FILES:
        text = f"only {limit} open files are allowed: raise it to {WANTED_OPEN_FILES} (LimitNOFILE in systemd)"
        yield Finding(check="open files", grade=Grade.WARNING, text=text)
    elif limit is not None:
        yield Finding(check="open files", grade=Grade.GOOD, text=f"{limit} open files are allowed")


def _store(settings: Settings) -> Iterator[Finding]:
    try:
        asyncio.run(keeping.check(settings))
    except ConfigError as error:
        for fault in error.faults:
            yield Finding(check="store.path", grade=Grade.BAD, text=fault.removeprefix("store.path: "))
    else:
        yield Finding(check="store.path", grade=Grade.GOOD, text=f"{keeping.path_of(settings)} can be used")


def _secrets(settings: Settings) -> Iterator[Finding]:
    for name, missing in (("admin.bearer", settings.admin.bearer is None), ("tokens.keys", not settings.tokens.keys)):
        if missing:
            consequence = "nobody can make rooms over HTTP" if name == "admin.bearer" else "tokens end with the process"
            yield Finding(check=name, grade=Grade.WARNING, text=f"is not set: {consequence}")
    if "*" in settings.http.allowed_origins:
        text = "pages of every web site may call this server: list the origins you mean"
        yield Finding(check="http.allowed_origins", grade=Grade.WARNING, text=text)


def _webhooks(settings: Settings, machine: Machine) -> Iterator[Finding]:
    for number, url in enumerate(settings.webhooks.urls, 1):
        # By number, as the rest of an address may be a secret.
        fault = machine.reach(url)
        told = f"receiver {number} " + ("can be reached" if fault is None else f"cannot be reached: {fault}")
        yield Finding(check="webhooks.urls", grade=Grade.GOOD if fault is None else Grade.BAD, text=told)


class _Timex(ctypes.Structure):
    """What adjtimex(2) fills in, as far as it is read here."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def _synchronised() -> bool | None:
    """Whether the kernel's clock is kept right by something; None where the system does not tell."""
    try:
        asked = _Timex(modes=0)
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(asked))
    except (OSError, AttributeError):  # outside Linux
        return None
    return None if state < 0 else state != _TIME_ERROR and not asked.status & _STA_UNSYNC


def _kernel_setting(name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/sys", name).read_text(encoding="ascii"))
    return None


def _open_files() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _fault_of_reaching(url: str) -> str | None:
    """Connects to where webhooks are posted, and posts nothing; says why that is not possible, or None."""
    to = urlsplit(url)
    host, port = to.hostname or "", to.port or (443 if to.scheme == "https" else 80)
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((host, port), timeout=REACH_LIMIT_S))
            if to.scheme == "https":
                stack.enter_context(ssl.create_default_context().wrap_socket(connection, server_hostname=host))
    except ssl.SSLCertVerificationError as error:
        return f"this machine does not trust its certificate: {error.verify_message}"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
