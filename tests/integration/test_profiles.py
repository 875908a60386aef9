"""Which encryption of media is taken from whom (`reliability.md` A2: T-DOWNGRADE)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiortc.rtcdtlstransport
import pytest
from callers import HANG_S, Caller, until
from footage import Tone

import pysfu
from pysfu import TransportState, events, messages
from pysfu.events import EventQueue

ANY = pysfu.Config(bind=("127.0.0.1",))
AEAD_ONLY = pysfu.Config(bind=("127.0.0.1",), aead_only=True)


@pytest.fixture
def no_aead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has aiortc offer nothing that has an AEAD, as clients of ten years ago did."""
    old = [aiortc.rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    monkeypatch.setattr(aiortc.rtcdtlstransport, "SRTP_PROFILES", old)


class Call(NamedTuple):
    """One of aiortc to an engine."""

    sfu: pysfu.Sfu
    caller: Caller
    transport: pysfu.Transport
    told: EventQueue

    async def is_connected(self) -> None:
        """Waits until both ends say so."""
        await self.caller.connected()
        await until(lambda: self.transport.state is TransportState.CONNECTED, "a connection")


@contextlib.asynccontextmanager
async def calling(config: pysfu.Config) -> AsyncIterator[Call]:
    """Has aiortc call an engine that runs like this."""
    async with pysfu.Sfu(config) as sfu, await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        with sfu.subscription() as told:
            transport = await participant.answer(await caller.send(Tone(440)).offer())
            await caller.accept(transport.sdp)
            yield Call(sfu, caller, transport, told)


async def heard(sfu: pysfu.Sfu) -> messages.EngineFigures:
    """Returns what the only worker has counted."""
    (worker,) = (await sfu.stats()).workers
    assert worker.engine is not None
    return worker.engine


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_speaks_where_the_policy_lets_it() -> None:
    async with calling(ANY) as call:
        await call.is_connected()


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_fails_and_is_told_of_where_only_aead_is_taken() -> None:
    async with calling(AEAD_ONLY) as call, asyncio.timeout(HANG_S):
        assert await anext(call.told) == events.TransportFailed(call.transport, "dtls")
        assert call.transport.state is TransportState.FAILED
        # The client has done its handshake and speaks: it is the keys that are not taken, and nobody was out of time.
        (sender,) = call.caller.connection.getSenders()
        await until(lambda: sender.transport.state == "connected", "a handshake")
        while (figures := await heard(call.sfu)).drops.unauthenticated == 0:
            pass
        assert figures.rtp_packets_in == 0


async def test_clients_of_today_agree_on_an_aead_by_themselves() -> None:
    async with calling(AEAD_ONLY) as call:
        await call.is_connected()
