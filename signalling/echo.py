"""A real call from this machine to an engine that is started for it: UDP, ICE, DTLS and SRTP, sound there and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from signalling.addresses import to_bind
from signalling.config import MediaSettings, Settings
from signalling.media import EngineStartError

if TYPE_CHECKING:
    import pysfu
    from pysfu.echo import EchoOutcome

ECHO_LIMIT = timedelta(seconds=4)
"""How long one call may take; a call that works takes a third of a second."""


class Failure(StrEnum):
    """Which step of a call failed."""

    UNREACHABLE = "unreachable"
    PORT_CLOSED = "port_closed"
    NO_ANSWER = "no_answer"
    NO_HANDSHAKE = "no_handshake"
    WRONG_CERTIFICATE = "wrong_certificate"
    NO_MEDIA = "no_media"


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoCall:
    """One call and what came of it."""

    address: str
    """`host:port`"""
    failure: Failure | None = None
    reason: str = ""
    """What the kernel said of an address that cannot be reached."""
    round_trip: timedelta = timedelta(0)
    protection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoTest:
    """The calls to every announced address."""

    calls: Sequence[EchoCall]
    own_port_fault: str = ""
    """Why the configured port could not be used, so that another one was: usually the running server has it."""


async def echo_test(settings: Settings) -> EchoTest:
    """Starts an engine as configured, and calls it at each address that it announces.

    Raises:
        EngineStartError: it does not start, on whatever port; what it says is about the configured one.
    """
    try:
        return EchoTest(calls=await _calls_on(settings.media, port=settings.media.port))
    except EngineStartError as error:
        try:
            calls = await _calls_on(settings.media, port=0)
        except EngineStartError:
            raise error from None
        return EchoTest(calls=calls, own_port_fault=str(error))


async def _calls_on(media: MediaSettings, *, port: int) -> list[EchoCall]:
    import pysfu
    from pysfu.errors import StartError

    announce = tuple(str(address) for address in media.announced_addresses)
    bind = tuple(str(address) for address in to_bind(media.host))
    try:
        config = pysfu.Config(
            bind=bind,
            port=port,
            workers=media.workers,
            announce=announce,
            max_dtls_version=media.max_dtls_version,
            aead_only=media.aead_only,
        )
        async with pysfu.Sfu(config) as sfu:
            return await _call_workers(sfu)
    except StartError as error:
        raise EngineStartError(str(error)) from error


async def _call_workers(sfu: pysfu.Sfu) -> list[EchoCall]:
    """Calls the first worker at every address; when all those calls worked, every other worker likewise."""
    calls: list[EchoCall] = []
    for worker, addresses in enumerate(sfu.addresses):
        room = await sfu.create_room()  # on the worker with the fewest: each gets one
        calls += await asyncio.gather(*(_call(room, address) for address in addresses))
        if worker == 0 and any(call.failure is not None for call in calls):
            break
    return calls


async def _call(room: pysfu.Room, address: str) -> EchoCall:
    from pysfu import echo

    return _read(address, await echo.call(room, address, limit=ECHO_LIMIT))


def _read(address: str, outcome: EchoOutcome) -> EchoCall:
    from pysfu import echo

    match outcome:
        case echo.Echoed(round_trip_us=microseconds, srtp_profile=profile, dtls_version=version):
            round_trip = timedelta(microseconds=microseconds)
            return EchoCall(address=address, round_trip=round_trip, protection=f"DTLS {version}, {profile}")
        case echo.Unreachable(reason=reason):
            return EchoCall(address=address, failure=Failure.UNREACHABLE, reason=reason)
        case echo.PortClosed():
            return EchoCall(address=address, failure=Failure.PORT_CLOSED)
        case echo.NoAnswer():
            return EchoCall(address=address, failure=Failure.NO_ANSWER)
        case echo.NoHandshake():
            return EchoCall(address=address, failure=Failure.NO_HANDSHAKE)
        case echo.WrongCertificate():
            return EchoCall(address=address, failure=Failure.WRONG_CERTIFICATE)
        case echo.NoMedia():
            return EchoCall(address=address, failure=Failure.NO_MEDIA)
        case _:
            assert_never(outcome)
