"""Restarts of ICE that do not come to their end, against a stand-in for the engine."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from fake_core import SENDS_BOTH, FakeCore, settle

from pysfu import Sfu, Transport, errors, messages

pytestmark = pytest.mark.asyncio
NEW = SENDS_BOTH.replace("ice-ufrag:remo", "ice-ufrag:other")


def asked(core: FakeCore, *kinds: type[messages.Command]) -> list[messages.Command]:
    return [command for _, command in core.log if isinstance(command, kinds)]


def known(transport: Transport) -> tuple[object, ...]:
    return transport.session, transport.sdp, transport.negotiation.local, transport.negotiation.terms


async def test_a_restart_with_an_offer_that_cannot_be_answered_asks_the_engine_nothing(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        transport = await (await (await sfu.create_room()).add_participant()).answer(SENDS_BOTH)
        before = known(transport)
        with pytest.raises(errors.InvalidSdpError):
            await transport.restart("nonsense")
        assert not asked(cores[0], messages.RestartIce)
        assert known(transport) == before


async def test_a_restart_that_is_refused_leaves_what_was_agreed(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        transport = await (await (await sfu.create_room()).add_participant()).answer(SENDS_BOTH)
        before = known(transport)
        cores[0].refuse[messages.Connect] = "bad_session"
        with pytest.raises(errors.BadSessionError):
            await transport.restart(NEW)
        assert known(transport) == before


@pytest.mark.parametrize("turns", range(1, 12))
async def test_after_a_cancelled_restart_we_know_what_the_engine_has(cores: list[FakeCore], turns: int) -> None:
    async with Sfu() as sfu:
        transport = await (await (await sfu.create_room()).add_participant()).answer(SENDS_BOTH)
        fresh = msgspec.structs.replace(transport.negotiation.local, ufrag="fresh")
        cores[0].restarted = fresh
        restarting = asyncio.create_task(transport.restart(NEW))
        for _ in range(turns):
            await asyncio.sleep(0)
        restarting.cancel()
        await asyncio.gather(restarting, return_exceptions=True)
        await settle()
        last = asked(cores[0], messages.Connect)[-1]
        assert isinstance(last, messages.Connect)
        assert transport.session == last.session
        assert ("fresh" in transport.sdp) == (last.session.remote.ufrag == "other")
