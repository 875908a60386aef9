"""Messages that the server sends, on whose behalf, and in which order."""

from __future__ import annotations

import asyncio

import pytest
from fake_core import FakeCore, offer, settle

from pysfu import Config, Participant, Room, Sfu, Transport, errors, events, messages

pytestmark = pytest.mark.asyncio


async def talking(room: Room) -> tuple[Participant, Transport]:
    """Lets somebody in with an open channel."""
    participant = await room.add_participant()
    transport = await participant.answer(offer(("data", "")), data=True)
    await transport.channels.open("chat")
    return participant, transport


async def test_what_somebody_says_is_sent_on_only_to_those_who_may_hear_it(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        (alice, mouth), (bob, ear), (_, other) = [await talking(room) for _ in range(3)]
        await bob.allow_data(alice)
        await ear.channels.send("chat", b"hello", publisher=mouth)
        with pytest.raises(errors.NotAllowedError):
            await other.channels.send("chat", b"hello", publisher=mouth)
        await bob.revoke_data(alice)
        with pytest.raises(errors.NotAllowedError):
            await ear.channels.send("chat", b"too late", publisher=mouth)
        assert [(sent.peer, sent.payload) for sent in cores[0].said] == [(ear.number, b"hello")]


async def test_messages_leave_in_the_order_in_which_the_calls_began(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        _, transport = await talking(await sfu.create_room())
        cores[0].held = True
        sending = [asyncio.create_task(transport.channels.send("chat", bytes([number]))) for number in range(50)]
        await settle()
        cores[0].release()
        await asyncio.gather(*sending)
        assert [sent.payload[0] for sent in cores[0].said] == list(range(50))


@pytest.mark.parametrize("spread", [True, False], ids=["on_another_worker", "in_another_room"])
async def test_nothing_is_sent_on_behalf_of_whoever_has_the_same_number_elsewhere(
    cores: list[FakeCore], spread: bool
) -> None:
    async with Sfu(Config(workers=2, room_spread_over=1)) as sfu:
        room = await sfu.create_room()
        elsewhere = room if spread else await sfu.create_room()
        _, ear = await talking(room)
        _, stranger = await talking(elsewhere)
        assert ear.worker != stranger.worker
        refusal = errors.OnlyRelaysError if spread else errors.OtherRoomError
        with pytest.raises(refusal):
            await ear.channels.send("chat", b"hello", publisher=stranger)
        assert cores[0].said == []


async def test_a_flood_of_messages_hides_nothing_else_that_happens(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        (_, loud), (_, quiet) = [await talking(room) for _ in range(2)]
        with sfu.subscription() as queue:
            for number in range(3):
                for _ in range(events.MAX_WAITING_EVENTS):
                    said = messages.DataReceived(peer=loud.number, label="chat", payload=b"", binary=True)
                    cores[0].tell(said)
                if number == 1:
                    cores[0].tell(messages.PeerFailed(peer=quiet.number, reason="ice"))
            await settle()
            queue.close()
            told = [event async for event in queue if not isinstance(event, events.DataReceived)]
        assert told == [events.TransportFailed(quiet, "ice")]
