"""LiveKit's own server SDK changes those who are in a meeting, over real HTTP; the meeting is in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import uvicorn
from conftest import SECRET, Bench, Clock, settings
from fake_administered import FakeAdministered
from livekit import api

KEY, ROOM = "k1", "ward-7"


@pytest.fixture
def meetings() -> FakeAdministered:
    return FakeAdministered()


@contextlib.asynccontextmanager
async def listening(bench: Bench) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(bench.app, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def livekit(meetings: FakeAdministered) -> AsyncIterator[api.LiveKitAPI]:
    bench = Bench(settings(), clock=Clock(datetime.now(UTC)))
    bench.parts.administered = meetings
    async with listening(bench) as url, api.LiveKitAPI(url, KEY, SECRET) as client:
        await client.room.create_room(api.CreateRoomRequest(name=ROOM))
        yield client


async def test_a_participant_is_listed_found_and_changed(livekit: api.LiveKitAPI, meetings: FakeAdministered) -> None:
    (anna,) = (await livekit.room.list_participants(api.ListParticipantsRequest(room=ROOM))).participants
    assert await livekit.room.get_participant(api.RoomParticipantIdentity(room=ROOM, identity="anna")) == anna
    may = api.ParticipantPermission(can_subscribe=True)
    wanted = api.UpdateParticipantRequest(
        room=ROOM, identity="anna", name="A", metadata="m", attributes={"seat": "2"}, permission=may
    )
    changed = await livekit.room.update_participant(wanted)
    assert (changed.name, changed.metadata, dict(changed.attributes)) == ("A", "m", {"seat": "2"})
    assert changed.permission == may


async def test_a_track_is_muted_and_not_unmuted(livekit: api.LiveKitAPI, meetings: FakeAdministered) -> None:
    wanted = api.MuteRoomTrackRequest(room=ROOM, identity="anna", track_sid="TR_1", muted=True)
    assert (await livekit.room.mute_published_track(wanted)).track.muted
    wanted.muted = False
    with pytest.raises(api.TwirpError) as refused:
        await livekit.room.mute_published_track(wanted)
    assert (refused.value.code, refused.value.status) == ("failed_precondition", 412)
    assert meetings.people[0].tracks[0].muted


async def test_subscriptions_are_changed_a_message_is_sent_and_the_room_is_written_on(
    livekit: api.LiveKitAPI, meetings: FakeAdministered
) -> None:
    subscribe = api.UpdateSubscriptionsRequest(room=ROOM, identity="anna", track_sids=["TR_2"], subscribe=True)
    await livekit.room.update_subscriptions(subscribe)
    await livekit.room.send_data(api.SendDataRequest(room=ROOM, data=b"hello", topic="t"))
    await livekit.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=ROOM, metadata="bed 3"))
    assert [(name, *more) for name, _, *more in meetings.asked] == [
        ("subscribe", "anna", ["TR_2"], True),
        ("send", b"hello", True, [], [], "t"),
        ("metadata", "bed 3"),
    ]


async def test_who_is_not_there_is_not_found(livekit: api.LiveKitAPI) -> None:
    with pytest.raises(api.TwirpError) as missing:
        await livekit.room.update_participant(api.UpdateParticipantRequest(room=ROOM, identity="bela", name="B"))
    assert (missing.value.code, missing.value.status) == ("not_found", 404)
