"""A test call over UDP: a participant who gets back what it says, with ICE, DTLS and SRTP as in a meeting."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pysfu import _compiled, messages
from pysfu.messages import (
    Echoed,
    EchoOutcome,
    NoAnswer,
    NoHandshake,
    NoMedia,
    PortClosed,
    Unreachable,
    WrongCertificate,
)

if TYPE_CHECKING:
    from pysfu.room import Room

__all__ = [
    "MAX_ECHO_CALL",
    "EchoOutcome",
    "Echoed",
    "NoAnswer",
    "NoHandshake",
    "NoMedia",
    "PortClosed",
    "Unreachable",
    "WrongCertificate",
    "call",
]

MAX_ECHO_CALL = timedelta(seconds=5)
"""Longest call; a shorter limit may be asked for."""

_POLICY = messages.MediaPolicy(audio=["opus"], video=[], data=False)


async def call(room: Room, address: str, *, limit: timedelta = MAX_ECHO_CALL) -> EchoOutcome:
    """Calls the engine of a room at one of its addresses, as a participant of that room who may hear only itself.

    Args:
        room: where; nobody else should be in it.
        address: `host:port`, usually one of `Sfu.addresses` of the room's worker.
        limit: how long to wait for the sound to come back.
    """
    caller = _compiled.EchoCaller(max_dtls_version=room.sfu.config.max_dtls_version)
    voice = messages.SendPlan(kind="audio", publisher=0, stream="echo", track="voice")
    section = messages.Media(kind="audio", send=voice, receive=True)
    plan = messages.OfferPlan(local=caller.local, policy=_POLICY, sections=[section], version=1)
    offer, pending = _compiled.offer(plan)
    async with await room.add_participant() as participant:
        transport = await participant.answer(offer)
        (track,) = transport.tracks
        await transport.play(track)
        await participant.allow(track, echo=True)
        session = _compiled.accept(pending, transport.sdp)
        return await caller.call(address, session, limit=limit)
