"""Which encryption of media is taken from whom (`reliability.md` A2: T-DOWNGRADE)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiortc.rtcdtlstransport
import pytest
from callers import Caller, until
from footage import Tone

import pysfu
from pysfu import TransportState

ANY = pysfu.Config(bind=("127.0.0.1",))
AEAD_ONLY = pysfu.Config(bind=("127.0.0.1",), aead_only=True)


@pytest.fixture
def no_aead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has aiortc offer nothing that has an AEAD, as clients of ten years ago did."""
    old = [aiortc.rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    monkeypatch.setattr(aiortc.rtcdtlstransport, "SRTP_PROFILES", old)


@contextlib.asynccontextmanager
async def calling(config: pysfu.Config) -> AsyncIterator[tuple[Caller, pysfu.Transport]]:
    """Has aiortc call an engine that runs like this."""
    async with pysfu.Sfu(config) as sfu, await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        transport = await participant.answer(await caller.send(Tone(440)).offer())
        await caller.accept(transport.sdp)
        yield caller, transport


async def are_connected(caller: Caller, transport: pysfu.Transport) -> None:
    """Waits until both ends say so."""
    await caller.connected()
    await until(lambda: transport.state is TransportState.CONNECTED, "a connection")


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_speaks_where_the_policy_lets_it() -> None:
    async with calling(ANY) as (caller, transport):
        await are_connected(caller, transport)


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_fails_and_is_told_of_where_only_aead_is_taken() -> None:
    async with calling(AEAD_ONLY) as (_, transport):
        await until(lambda: transport.state is TransportState.FAILED, "a refusal")


async def test_clients_of_today_agree_on_an_aead_by_themselves() -> None:
    async with calling(AEAD_ONLY) as (caller, transport):
        await are_connected(caller, transport)
