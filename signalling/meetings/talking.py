"""What clients say to each other on data channels: one message after another, each to all whom it is for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog
from livekit.protocol.models import DataPacket, UserPacket

from signalling.endings import in_time
from signalling.media import EngineLateError, MediaError
from signalling.meetings.downlink import LOSSY, RELIABLE
from signalling.meetings.waiting import Waiting
from signalling.rtc import data

if TYPE_CHECKING:
    from signalling.meetings.client import Client
    from signalling.meetings.conference import Conference

log = structlog.get_logger(__name__)

FLOW_TOPIC = "pysfu.media"
"""Of the data packets by which the server tells a client what of its media does not flow, as JSON: kind and cause."""

MAX_WAITING_MESSAGES = 4_096
"""Most messages of one client that wait to be passed on: so many the engine takes at once."""
MAX_WAITING_BYTES = 1 << 20
"""Their bytes: as many as the largest messages of a moment have."""


class Talking:
    """Passes on what is said in one room."""

    def __init__(self, conference: Conference) -> None:
        self._conference = conference
        self._waiting: dict[Client, Waiting[tuple[str, bytes]]] = {}
        self._recent = data.Recent()
        self._passing: asyncio.Task[None] | None = None
        self._lost = 0

    def close(self) -> None:
        """Passes nothing on any more."""
        if self._passing is not None:
            self._passing.cancel()

    def on_said(self, client: Client, label: str, payload: bytes) -> None:
        """Takes a message. Nothing waits for it here."""
        if label not in (RELIABLE, LOSSY):
            return
        if client not in self._waiting:
            self._waiting[client] = Waiting(most=MAX_WAITING_MESSAGES, most_bytes=MAX_WAITING_BYTES)
        self._lost += self._waiting[client].put((label, payload), size=len(payload))
        if self._passing is None or self._passing.done():
            self._passing = asyncio.create_task(self._pass_all(), name="talking")

    async def catch_up(self, client: Client, heard: Mapping[str, int]) -> None:
        """Sends a client that is back what it has missed; `heard`: the number of the last that it has, by sid."""
        person = self._conference.meeting.people.get(client.sid)
        if person is None or person.member is None or not person.member.grant.can_subscribe:
            return
        now = self._conference.now()
        for packet in self._recent.missed(sid=person.sid, identity=person.identity, heard=heard, now=now):
            await self._send(client, RELIABLE, packet.payload, sender=None)

    async def let_hear(self, client: Client) -> None:
        """Sends a client what it could not hear when it was said; once all is done for it that is to be done."""
        async with client.hearing:
            while self._can_hear(client) and not client.unheard.is_empty:
                sender, payload = client.unheard.take()
                await self._hand_over(client, RELIABLE, payload, sender=sender)

    async def say(self, client: Client, *, topic: str, payload: bytes, label: str = RELIABLE) -> None:
        """Tells a client something as the server: no participant is the sender of that."""
        packet = DataPacket(user=UserPacket(payload=payload, topic=topic))
        await self._send(client, label, packet.SerializeToString(), sender=None)

    async def say_stalled(self, client: Client, stalled: Mapping[str, str]) -> None:
        """Tells a client what of its media does not flow: the cause by kind."""
        await self.say(client, topic=FLOW_TOPIC, payload=json.dumps(dict(stalled)).encode())

    async def _pass_all(self) -> None:
        while self._waiting:
            # One message of each in turn, so that nobody who says much keeps others from being heard.
            for client in tuple(self._waiting):
                label, payload = self._waiting[client].take()
                if self._waiting[client].is_empty:
                    del self._waiting[client]
                # A worker that hangs keeps a room's talk for so long, and no longer.
                with contextlib.suppress(EngineLateError):
                    async with in_time():
                        await self._pass(client, label, payload)
        if self._lost:
            log.warning(
                "somebody said too much at once: the first of it is lost", component="meetings", count=self._lost
            )
            self._lost = 0

    async def _pass(self, sender: Client, label: str, payload: bytes) -> None:
        meeting = self._conference.meeting
        person = meeting.people.get(sender.sid)
        if person is None or person.member is None or not person.member.grant.can_publish_data:
            return
        called = data.Sender(sid=person.sid, identity=person.identity)
        try:
            packet = data.passing(payload, called)
        except data.PacketFaultError as error:
            log.info("a message is not passed on", component="meetings", error=str(error))
            return
        if label == RELIABLE:
            if not person.member.received.is_new(packet):
                return
            self._conference.note(sender)
            self._recent.keep(called, packet, now=self._conference.now())
        receivers = [client for client in self._conference.clients.values() if self._is_for(packet, client, sender)]
        await asyncio.gather(*(self._send(client, label, packet.payload, sender=sender) for client in receivers))

    def _is_for(self, packet: data.Passing, client: Client, sender: Client) -> bool:
        person, grant = self._conference.meeting.people[client.sid], self._conference.meeting.client(client.sid).grant
        is_other = client is not sender and grant.can_subscribe
        return is_other and packet.is_for(sid=person.sid, identity=person.identity)

    async def _send(self, client: Client, label: str, payload: bytes, *, sender: Client | None) -> None:
        async with client.hearing:  # so that nothing overtakes what has waited
            if label == RELIABLE and not self._hears(client, sender):
                self._lost += client.unheard.put((sender, payload), size=len(payload))
            else:
                await self._hand_over(client, label, payload, sender=sender)

    def _hears(self, client: Client, sender: Client | None) -> bool:
        """Whether what is said arrives: the channels are open, and the right is given. Both take a moment at a join."""
        state = self._conference.meeting.client(client.sid).receiving
        is_allowed = sender is None or sender.sid in state.data_from
        return self._can_hear(client) and is_allowed and client.unheard.is_empty

    def _can_hear(self, client: Client) -> bool:
        return client.can_hear and self._conference.now() >= client.hears_at

    async def _hand_over(self, client: Client, label: str, payload: bytes, *, sender: Client | None) -> None:
        if client.receiving is None or (sender is not None and sender.sending is None):
            return
        try:
            publisher = sender.sending if sender is not None else None
            await client.receiving.send(label, payload, publisher=publisher)
        except MediaError as error:
            # Not allowed any more, gone, or so far behind that more would only make it worse.
            log.debug("a message does not arrive", component="meetings", error=type(error).__name__)
