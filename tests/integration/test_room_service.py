"""LiveKit's own server SDK manages rooms of a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from callers import Caller, Meeting, meeting, until
from footage import Camera, Tone
from livekit import api
from servers import Server

KEY, SECRET = "tests", "k" * 32
PICTURE, SOUND = api.TrackType.VIDEO, api.TrackType.AUDIO


@pytest.fixture
async def livekit(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(server.base_url, KEY, SECRET) as client:
        yield client


async def participants(livekit: api.LiveKitAPI, room: str) -> dict[str, api.ParticipantInfo]:
    answer = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return {info.identity: info for info in answer.participants}


async def id_of(server: Server, name: str) -> str:
    """Looks up the id of a room, by which WHIP names it."""
    async with httpx.AsyncClient(base_url=server.base_url) as http:
        rooms = (await http.get("/rooms", headers={"Authorization": f"Bearer {server.admin_bearer}"})).json()
    return next(room["room"] for room in rooms if room["name"] == name)


async def test_a_room_is_made_listed_and_deleted_by_livekits_server_sdk(livekit: api.LiveKitAPI) -> None:
    wanted = api.CreateRoomRequest(name="ward-7", empty_timeout=300, max_participants=4)
    room = await livekit.room.create_room(wanted)
    assert (room.name, room.max_participants, room.num_participants) == ("ward-7", 4, 0)
    assert room.sid.startswith("RM_")
    assert await livekit.room.create_room(wanted) == room, "the same call twice is no mistake"
    assert list((await livekit.room.list_rooms(api.ListRoomsRequest(names=["ward-7"]))).rooms) == [room]
    await livekit.room.delete_room(api.DeleteRoomRequest(room="ward-7"))
    assert list((await livekit.room.list_rooms(api.ListRoomsRequest(names=["ward-7"]))).rooms) == []
    with pytest.raises(api.TwirpError) as missing:
        await livekit.room.delete_room(api.DeleteRoomRequest(room="ward-7"))
    assert (missing.value.code, missing.value.status) == ("not_found", 404)


async def test_who_sends_by_whip_is_listed_and_removed_by_livekits_server_sdk(
    server: Server, livekit: api.LiveKitAPI
) -> None:
    made = await livekit.room.create_room(api.CreateRoomRequest(name="ward-8"))
    bearer = {"Authorization": f"Bearer {server.admin_bearer}"}
    async with httpx.AsyncClient(base_url=server.base_url, timeout=60) as http, Caller() as anna, Caller() as bela:
        room = Meeting(http, await id_of(server, "ward-8"), bearer)
        await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
        await room.play(bela.take("video", "audio"), "anna", "bela")
        await bela.watched(5)
        there = await participants(livekit, "ward-8")
        assert {track.type for track in there["anna"].tracks} == {PICTURE, SOUND}
        assert (there["anna"].is_publisher, there["bela"].is_publisher) == (True, False)
        assert there["anna"].sid.startswith("PA_")
        who = api.RoomParticipantIdentity(room="ward-8", identity="anna")
        assert await livekit.room.get_participant(who) == there["anna"]
        (room_now,) = (await livekit.room.list_rooms(api.ListRoomsRequest(names=["ward-8"]))).rooms
        assert (room_now.sid, room_now.num_participants, room_now.num_publishers) == (made.sid, 2, 1)
        await livekit.room.remove_participant(who)
        assert await participants(livekit, "ward-8") == {}, "who played only her has nothing left"
        await until(lambda: anna.connection.connectionState == "closed", "that her browser hears of it")
        with pytest.raises(api.TwirpError) as missing:
            await livekit.room.get_participant(who)
        assert missing.value.code == "not_found"
    await livekit.room.delete_room(api.DeleteRoomRequest(room="ward-8"))


async def test_what_the_server_does_not_do_is_told_to_livekits_server_sdk(livekit: api.LiveKitAPI) -> None:
    move = api.MoveParticipantRequest(room="ward-7", identity="anna", destination_room="ward-8")
    with pytest.raises(api.TwirpError) as undone:
        await livekit.room.move_participant(move)
    assert (undone.value.code, undone.value.status) == ("unimplemented", 501)
    with pytest.raises(api.TwirpError) as elsewhere:
        await livekit.egress.list_egress(api.ListEgressRequest())
    assert elsewhere.value.code == "unimplemented"


async def test_another_key_manages_nothing(server: Server) -> None:
    async with api.LiveKitAPI(server.base_url, KEY, "w" * 32) as stranger:
        with pytest.raises(api.TwirpError) as refused:
            await stranger.room.list_rooms(api.ListRoomsRequest())
    assert (refused.value.code, refused.value.status) == ("unauthenticated", 401)


async def test_a_token_of_livekits_library_lets_a_participant_in_by_whip(server: Server) -> None:
    async with meeting(server.base_url, server.admin_bearer) as room, Caller() as anna:
        grants = api.VideoGrants(room_join=True, room=room.room, can_subscribe=False)
        token = api.AccessToken(KEY, SECRET).with_identity("anna").with_grants(grants).with_ttl(timedelta(minutes=5))
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token.to_jwt()}"}
        offer = await anna.send(Tone(440)).offer()
        posted = await room.http.post(f"/whip/{room.room}", headers=headers, content=offer)
        assert posted.status_code == 201, posted.text
        await anna.accept(posted.text)
        await anna.connected()
        assert await room.roster() == {"anna": []}
