"""Programs meet through LiveKit's Python SDK: libwebrtc at both ends, a real server between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from attendee import Attendee
from cable import Cable
from callers import HANG_S, Caller, Meeting, until
from footage import Camera, Tone
from livekit import rtc
from servers import Server

MESSAGES = 50
KEY, OTHER_KEY = b"the words of those who meet", b"the words of somebody else"
SETTLED_S = 2.0  # in this time more would have come than what is asked for
AGAIN_S = 0.1  # how often that is said again which may be lost
LOUD_HZ = 10.0  # how far a frequency may be off


@pytest.fixture
async def cable(server: Server) -> AsyncIterator[Cable]:
    """Over which everybody calls the server."""
    port = urlsplit(server.base_url).port
    assert port is not None
    async with Cable(port) as running:
        yield running


async def attendee(room: Meeting, cable: Cable, identity: str, *, shared_key: bytes | None = None) -> Attendee:
    url = f"ws://127.0.0.1:{cable.port}"
    return Attendee(url, await room.token(identity, can_publish_data=True), shared_key=shared_key)


async def test_two_programs_see_and_hear_each_other(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna, await attendee(room, cable, "bela") as bela:
        for number, (who, frequency_hz) in enumerate(((anna, 440), (bela, 660)), 1):
            await who.film(number)
            await who.hum(frequency_hz)
        assert {camera for camera, _ in await anna.sees("bela")} == {2}
        assert {camera for camera, _ in await bela.sees("anna")} == {1}
        assert await anna.hears("bela") == pytest.approx(660, abs=LOUD_HZ)
        assert await bela.hears("anna") == pytest.approx(440, abs=LOUD_HZ)
        assert set(await room.roster()) == {"anna", "bela"}
    await until_empty(room)


async def test_a_program_that_mutes_unpublishes_and_leaves_is_not_heard_or_seen(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna:
        async with await attendee(room, cable, "bela") as bela:
            sound, picture = await bela.hum(440), await bela.film(2)
            await anna.sees("bela")
            await anna.hears("bela")
            there = anna.room.remote_participants["bela"]
            assert sound.track is not None
            sound.track.mute()
            await until(lambda: there.track_publications[sound.sid].muted, "that the microphone is muted")
            sound.track.unmute()
            await until(lambda: not there.track_publications[sound.sid].muted, "that it is not muted any more")
            await anna.hears("bela")
            await bela.room.local_participant.unpublish_track(picture.sid)
            await until(lambda: picture.sid not in there.track_publications, "that the camera is gone")
            await bela.film(3)
            await until(lambda: anna.pictures["bela"][-1][0] == 3, "the camera that was published anew")
        await until(lambda: "bela" not in anna.room.remote_participants, "that bela is gone")


async def test_data_reaches_whom_it_is_for_in_order(room: Meeting, cable: Cable) -> None:
    async with (
        await attendee(room, cable, "anna") as anna,
        await attendee(room, cable, "bela") as bela,
        await attendee(room, cable, "cleo") as cleo,
    ):
        send = anna.room.local_participant.publish_data
        for number in range(MESSAGES):
            await send(str(number), topic="numbers")
        await send(b"for one", destination_identities=["bela"])
        numbers = [("anna", "numbers", True, str(number).encode()) for number in range(MESSAGES)]
        lossy = ("anna", "", False, b"may be lost")

        def reliable(to: Attendee) -> list[tuple[str, str, bool, bytes]]:
            return [each for each in to.messages if each != lossy]

        await until(lambda: len(reliable(bela)) == MESSAGES + 1, "all that is for bela")
        await until(lambda: len(reliable(cleo)) == MESSAGES, "all that is for cleo")
        async with asyncio.timeout(HANG_S):
            while not (lossy in bela.messages and lossy in cleo.messages):
                await send(lossy[-1], reliable=False)
                await asyncio.sleep(AGAIN_S)
        assert reliable(bela) == [*numbers, ("anna", "", True, b"for one")]
        assert reliable(cleo) == numbers
        assert anna.messages == []


async def test_programs_call_each_other(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna, await attendee(room, cable, "bela") as bela:

        async def greet(call: rtc.RpcInvocationData) -> str:
            return f"{call.caller_identity} said {call.payload}"

        bela.room.local_participant.register_rpc_method("greet", greet)
        ask = anna.room.local_participant.perform_rpc
        assert await ask(destination_identity="bela", method="greet", payload="hello") == "anna said hello"
        long = "ö" * 5_000
        assert await ask(destination_identity="bela", method="greet", payload=long) == f"anna said {long}"
        with pytest.raises(rtc.RpcError) as unknown:
            await ask(destination_identity="bela", method="bow", payload="")
        assert unknown.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD


async def test_what_is_encrypted_end_to_end_is_seen_and_heard_with_the_key_and_not_without(
    room: Meeting, cable: Cable
) -> None:
    async with (
        await attendee(room, cable, "anna", shared_key=KEY) as anna,
        await attendee(room, cable, "bela", shared_key=KEY) as bela,
        await attendee(room, cable, "cleo", shared_key=OTHER_KEY) as cleo,
    ):
        await anna.film(1)
        await anna.hum(440)
        assert {camera for camera, _ in await bela.sees("anna", 30)} == {1}
        assert await bela.hears("anna") == pytest.approx(440, abs=LOUD_HZ)
        await until(lambda: len(cleo.room.remote_participants["anna"].track_publications) == 2, "that cleo knows them")
        await asyncio.sleep(SETTLED_S)
        assert cleo.pictures.get("anna", []) == []
        sent = anna.room.local_participant.track_publications.values()
        there = bela.room.remote_participants["anna"].track_publications
        for publication in sent:
            assert there[publication.sid].encryption_type == rtc.EncryptionType.GCM


async def test_media_goes_on_without_a_gap_while_the_websocket_is_cut(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna, await attendee(room, cable, "bela") as bela:
        await anna.film(1)
        await bela.hum(440)
        await bela.sees("anna")
        cable.cut()
        for who in (anna, bela):
            await until(lambda who=who: "reconnected" in who.told, "a return")
        pictures = await bela.sees("anna", 30)
        assert {camera for camera, _ in pictures} == {1}
        assert await anna.hears("bela") == pytest.approx(440, abs=LOUD_HZ)
        await anna.room.local_participant.publish_data("still there")
        await until(lambda: bela.messages == [("anna", "", True, b"still there")], "a message")
        await bela.film(2)
        assert {camera for camera, _ in await anna.sees("bela")} == {2}


async def test_a_program_that_leaves_comes_back(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna:
        for camera in (2, 3):
            async with await attendee(room, cable, "bela") as bela:
                await bela.film(camera)
                await until(lambda c=camera: c in {seen for seen, _ in anna.pictures.get("bela", [])}, "bela")
            await until(lambda: "bela" not in anna.room.remote_participants, "that bela is gone")


async def test_a_removed_program_is_told_and_does_not_come_back(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna:
        await anna.film(1)
        await room.remove("anna")
        await until(lambda: "disconnected" in anna.told, "the end")
        assert "reconnected" not in anna.told
        with pytest.raises(rtc.ConnectError):
            await (await attendee(room, cable, "anna")).__aenter__()
    assert await room.roster() == {}


async def test_a_program_meets_who_comes_by_whip_and_whep(room: Meeting, cable: Cable) -> None:
    async with await attendee(room, cable, "anna") as anna, Caller() as whip, Caller() as whep:
        await anna.film(1)
        await anna.hum(440)
        await room.publish(whip.send(Camera(2), Tone(660)), "whip")
        assert {camera for camera, _ in await anna.sees("whip")} == {2}
        assert await anna.hears("whip") == pytest.approx(660, abs=LOUD_HZ)
        await room.play(whep.take("video", "audio"), "anna", "whep")
        assert {camera for camera, _ in await whep.watched(10)} == {1}
        assert await whep.heard() == pytest.approx(440, abs=LOUD_HZ)


async def until_empty(room: Meeting) -> None:
    """Waits until nobody is there any more."""
    async with asyncio.timeout(60):
        while await room.roster():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.1)
