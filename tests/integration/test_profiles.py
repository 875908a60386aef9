"""Which encryption of media is taken from whom (`reliability.md` A2: T-DOWNGRADE)."""

from __future__ import annotations

import aiortc.rtcdtlstransport
import pytest
from callers import Caller, until
from footage import Tone

import pysfu
from pysfu import TransportState

AEAD_ONLY = pysfu.Config(bind=("127.0.0.1",), aead_only=True)


@pytest.fixture
def no_aead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has aiortc offer nothing that has an AEAD, as clients of ten years ago did."""
    old = [aiortc.rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    monkeypatch.setattr(aiortc.rtcdtlstransport, "SRTP_PROFILES", old)


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_speaks_where_the_policy_lets_it(sfu: pysfu.Sfu) -> None:
    async with await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        caller.send(Tone(440))
        transport = await participant.answer(await caller.offer())
        await caller.accept(transport.sdp)
        await caller.connected()
        await until(lambda: transport.state is TransportState.CONNECTED, "a connection")


@pytest.mark.usefixtures("no_aead")
async def test_a_client_without_aead_fails_and_is_told_of_where_only_aead_is_taken() -> None:
    async with pysfu.Sfu(AEAD_ONLY) as sfu, await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        caller.send(Tone(440))
        transport = await participant.answer(await caller.offer())
        await caller.accept(transport.sdp)
        await until(lambda: transport.state is TransportState.FAILED, "a refusal")


async def test_clients_of_today_agree_on_an_aead_by_themselves() -> None:
    async with pysfu.Sfu(AEAD_ONLY) as sfu, await sfu.create_room() as room, Caller() as caller:
        participant = await room.add_participant()
        caller.send(Tone(440))
        transport = await participant.answer(await caller.offer())
        await caller.accept(transport.sdp)
        await caller.connected()
        await until(lambda: transport.state is TransportState.CONNECTED, "a connection")
