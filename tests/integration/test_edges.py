"""By every protocol people meet in the same way, and also by different ones: counted where media arrives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from callers import Meeting
from footage import Camera, Tone
from livekit_edge import LiveKitEdge
from meeting_edge import BOTH, NOTHING, Attendee, MeetingEdge, RefusedError, finds, sees
from relayed import ends, flows, nothing_comes, nothing_passed_unallowed
from whip_edge import WhipEdge

WHIP, LIVEKIT = WhipEdge(), LiveKitEdge()
FRAME_RATE = 30

each_edge = pytest.mark.parametrize("edge", [WHIP, LIVEKIT], ids=lambda edge: edge.name)
both_ways = pytest.mark.parametrize(("by", "to"), [(WHIP, LIVEKIT), (LIVEKIT, WHIP)], ids=lambda edge: edge.name)


@pytest.fixture(autouse=True)
async def _counted(room: Meeting) -> AsyncIterator[None]:
    yield
    await nothing_passed_unallowed(room)


@contextlib.asynccontextmanager
async def call(room: Meeting, edge: MeetingEdge, *receivers: str) -> AsyncIterator[list[Attendee]]:
    """Has anna send and others receive: yields her and them once packets come."""
    async with contextlib.AsyncExitStack() as stack:
        anna, *others = [await stack.enter_async_context(edge.join(room, name)) for name in ("anna", *receivers)]
        await anna.publish(*media(4))
        for attendee in others:
            await attendee.subscribe("anna")
        await flows(*(attendee.relay for attendee in others))
        yield [anna, *others]


def media(number: int) -> tuple[Camera, Tone]:
    """Returns pictures of that camera, and a tone of so many hundred hertz."""
    return Camera(number, frame_rate=FRAME_RATE), Tone(100 * number)


@each_edge
async def test_what_one_sends_another_sees_and_hears_and_both_are_in_the_roster(
    room: Meeting, edge: MeetingEdge
) -> None:
    async with call(room, edge, "bela") as (anna, bela):
        await sees(bela, 4)
        assert abs(await bela.heard() - 400) <= 2
        for attendee in (anna, bela):
            await finds(attendee, {"anna": BOTH, "bela": NOTHING})
        assert await room.roster() == {"anna": [], "bela": ["anna"]}


@each_edge
async def test_two_who_send_and_receive_see_and_hear_each_other(room: Meeting, edge: MeetingEdge) -> None:
    async with edge.join(room, "anna") as anna, edge.join(room, "bela") as bela:
        await anna.publish(*media(4))
        await bela.publish(*media(7))
        await anna.subscribe("bela")
        await bela.subscribe("anna")
        for attendee, number in ((anna, 7), (bela, 4)):
            await sees(attendee, number)
            assert {camera for camera, _ in attendee.pictures()} == {number}
            assert abs(await attendee.heard() - 100 * number) <= 2


@each_edge
async def test_who_may_not_send_or_receive_is_refused_and_nothing_flows(room: Meeting, edge: MeetingEdge) -> None:
    async with (
        edge.join(room, "anna") as anna,
        edge.join(room, "mute", can_publish=False) as mute,
        edge.join(room, "deaf", can_subscribe=False) as deaf,
    ):
        await anna.publish(*media(4))
        with pytest.raises(RefusedError):
            await mute.publish(*media(7))
        with pytest.raises(RefusedError):
            await deaf.subscribe("anna")
        await mute.subscribe("anna")
        await flows(mute.relay)
        await nothing_comes(deaf.relay)
        assert (await anna.roster()).get("mute") == NOTHING


@each_edge
async def test_who_is_in_another_room_finds_nobody_of_this_one(
    room: Meeting, other_room: Meeting, edge: MeetingEdge
) -> None:
    async with edge.join(room, "anna") as anna, edge.join(other_room, "eve") as eve:
        await eve.publish(*media(7))
        await anna.publish(*media(4))
        await nothing_comes(eve.relay, anna.relay)
        assert (await eve.roster(), await anna.roster()) == ({"eve": BOTH}, {"anna": BOTH})


@each_edge
async def test_after_the_right_to_receive_is_taken_away_no_packet_comes_and_others_see_on(
    room: Meeting, edge: MeetingEdge
) -> None:
    async with call(room, edge, "bela", "carl") as (_, bela, carl):
        await ends(lambda: edge.stop_receiving(room, bela), bela.relay)
        await sees(carl, 4)


@each_edge
async def test_after_the_right_to_send_is_taken_away_no_packet_comes_to_anybody(
    room: Meeting, edge: MeetingEdge
) -> None:
    async with call(room, edge, "bela", "carl") as (anna, bela, carl):
        await ends(lambda: edge.stop_sending(room, anna), bela.relay, carl.relay)
        assert (await bela.roster()).get("anna", NOTHING) == NOTHING


@each_edge
async def test_after_a_receiver_is_removed_no_packet_comes_and_others_see_on(room: Meeting, edge: MeetingEdge) -> None:
    async with call(room, edge, "bela", "carl") as (anna, bela, carl):
        await ends(lambda: room.remove("bela"), bela.relay)
        await sees(carl, 4)
        await finds(anna, {"anna": BOTH, "carl": NOTHING})


@each_edge
async def test_after_a_sender_is_removed_no_packet_comes_to_anybody_and_they_do_not_return(
    room: Meeting, edge: MeetingEdge
) -> None:
    async with call(room, edge, "bela") as (_, bela):
        await ends(lambda: room.remove("anna"), bela.relay)
        assert "anna" not in await bela.roster()
        with pytest.raises(RefusedError):
            async with edge.join(room, "anna") as again:
                await again.publish(*media(5))
        assert "anna" not in await bela.roster()


@each_edge
async def test_after_a_sender_has_left_no_packet_comes_and_they_may_return(room: Meeting, edge: MeetingEdge) -> None:
    async with call(room, edge, "bela") as (anna, bela):
        await ends(anna.leave, bela.relay)
        assert "anna" not in await bela.roster()
        async with edge.join(room, "anna") as again:
            await again.publish(*media(5))
            assert (await bela.roster())["anna"] == BOTH


@each_edge
@pytest.mark.parametrize("who", ["the one who sends", "the one who receives"])
async def test_who_is_back_from_another_network_goes_on_and_had_not_left_for_anybody(
    room: Meeting, edge: MeetingEdge, who: str
) -> None:
    async with call(room, edge, "bela") as (anna, bela):
        await sees(bela, 4)
        roster = {"anna": BOTH, "bela": NOTHING}
        lost = anna if who == "the one who sends" else bela
        await lost.lose_network()
        await finds(bela if lost is anna else anna, roster)
        await lost.resume()
        await sees(bela, 4)
        assert abs(await bela.heard() - 400) <= 2
        for attendee in (anna, bela):
            await finds(attendee, roster)


async def test_media_flows_on_while_a_signal_connection_is_lost(room: Meeting) -> None:
    async with LIVEKIT.join(room, "anna") as anna, LIVEKIT.join(room, "bela") as bela:
        await anna.publish(*media(4))
        await bela.subscribe("anna")
        await sees(bela, 4)
        for attendee in (anna, bela):
            attendee.line.cut()
        await sees(bela, 4, more=FRAME_RATE)
        for attendee in (anna, bela):
            await attendee.resume_line()
        await sees(bela, 4)
        assert (await bela.roster(), await anna.roster()) == ({"anna": BOTH, "bela": NOTHING},) * 2


async def test_a_right_that_is_taken_away_holds_for_every_protocol_and_every_token(room: Meeting) -> None:
    async with (
        LIVEKIT.join(room, "anna") as anna,
        LIVEKIT.join(room, "bela") as bela,
        WHIP.join(room, "bela") as screen_of_bela,
        WHIP.join(room, "anna") as camera_of_anna,
    ):
        await anna.publish(*media(4))
        for attendee in (bela, screen_of_bela):
            await attendee.subscribe("anna")
        await flows(bela.relay, screen_of_bela.relay)
        await ends(lambda: LIVEKIT.stop_receiving(room, bela), bela.relay, screen_of_bela.relay)
        await ends(lambda: LIVEKIT.stop_sending(room, anna), anna.relay)
        for refused in (screen_of_bela.subscribe("anna"), anna.publish(*media(5)), camera_of_anna.publish(*media(5))):
            with pytest.raises(RefusedError):
                await refused


# --- one by this protocol, the other by that ---


@both_ways
async def test_by_different_protocols_they_see_and_hear_each_other(
    room: Meeting, by: MeetingEdge, to: MeetingEdge
) -> None:
    async with by.join(room, "anna") as anna, to.join(room, "bela") as bela:
        await anna.publish(*media(4))
        await bela.subscribe("anna")
        await sees(bela, 4)
        assert abs(await bela.heard() - 400) <= 2
        for attendee in (anna, bela):
            await finds(attendee, {"anna": BOTH, "bela": NOTHING})
        await bela.publish(*media(7))
        await anna.subscribe("bela")
        await sees(anna, 7)
        assert abs(await anna.heard() - 700) <= 2
        for attendee in (anna, bela):
            await finds(attendee, {"anna": BOTH, "bela": BOTH})
        assert await room.roster() == {"anna": ["bela"], "bela": ["anna"]}


@both_ways
async def test_by_different_protocols_no_packet_comes_after_a_right_is_taken_away(
    room: Meeting, by: MeetingEdge, to: MeetingEdge
) -> None:
    async with by.join(room, "anna") as anna, contextlib.AsyncExitStack() as stack:
        await anna.publish(*media(4))
        receivers = [await stack.enter_async_context(to.join(room, name)) for name in ("bela", "carl", "dora")]
        for attendee in receivers:
            await attendee.subscribe("anna")
        bela, carl, dora = receivers
        await flows(*(attendee.relay for attendee in receivers))
        await ends(lambda: to.stop_receiving(room, bela), bela.relay)
        await ends(lambda: room.remove("carl"), carl.relay)
        await sees(dora, 4)
        await ends(lambda: by.stop_sending(room, anna), dora.relay)


@both_ways
async def test_by_different_protocols_no_packet_comes_after_a_sender_is_removed_or_has_left(
    room: Meeting, by: MeetingEdge, to: MeetingEdge
) -> None:
    async with to.join(room, "bela") as bela:
        for name, end in (("anna", None), ("amos", room.remove)):
            async with by.join(room, name) as sender:
                await sender.publish(*media(4))
                await bela.subscribe(name)
                await flows(bela.relay)
                await ends(sender.leave if end is None else lambda name=name: room.remove(name), bela.relay)
                assert name not in await bela.roster()
