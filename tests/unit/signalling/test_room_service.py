"""Rooms as programs manage them with LiveKit's server SDKs."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping

import httpx
import pytest
from conftest import Bench, settings
from google.protobuf.message import Message
from jwts import AT, CLAIMS, signed
from livekit.protocol import models
from livekit.protocol import room as service

from signalling.domain.refusals import Refusal
from signalling.http.errors import PROBLEMS
from signalling.http.room_service import METHODS, PREFIX

PROTOBUF = "application/protobuf"


def bearer(**video: object) -> dict[str, str]:
    """The headers of a program with these grants, as LiveKit's SDKs sign them: for nobody."""
    token = signed({"iss": "k1", "sub": "", "nbf": AT, "exp": AT + 21_600, "video": video})
    return {"Authorization": f"Bearer {token}"}


MANAGER = bearer(roomCreate=True, roomList=True)


async def call(
    bench: Bench, method: str, wanted: Message, headers: Mapping[str, str] = MANAGER, kind: str = PROTOBUF
) -> httpx.Response:
    async with bench.http(**headers) as http:
        return await http.post(PREFIX + method, content=wanted.SerializeToString(), headers={"Content-Type": kind})


async def made(bench: Bench, name: str, **wanted: int) -> models.Room:
    answer = await call(bench, "CreateRoom", service.CreateRoomRequest(name=name, **wanted))
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF), answer.text
    return models.Room.FromString(answer.content)


async def listed(bench: Bench, *names: str) -> list[models.Room]:
    answer = await call(bench, "ListRooms", service.ListRoomsRequest(names=names))
    return list(service.ListRoomsResponse.FromString(answer.content).rooms)


async def participants(bench: Bench, name: str) -> list[models.ParticipantInfo]:
    admin = bearer(roomAdmin=True, room=name)
    answer = await call(bench, "ListParticipants", service.ListParticipantsRequest(room=name), admin)
    assert answer.status_code == 200, answer.text
    return list(service.ListParticipantsResponse.FromString(answer.content).participants)


async def joined(bench: Bench, name: str, *who: str) -> str:
    """Has people publish in a room, and returns its id."""
    room = bench.parts.rooms.names.find(name).room
    for participant in who:
        async with await bench.participant(room, participant) as http:
            assert (await bench.publish(room, http)).status_code == 201
    return room


def said(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["code"]


# --- what it does ---


async def test_a_room_is_made_listed_and_ended(bench: Bench) -> None:
    room = await made(bench, "ward-7", max_participants=3, empty_timeout=300)
    assert (room.name, room.max_participants, room.num_participants) == ("ward-7", 3, 0)
    assert (room.sid[:3], room.empty_timeout) == ("RM_", 0)
    await made(bench, "ward-8")
    assert [r.name for r in await listed(bench)] == ["ward-7", "ward-8"]
    assert await listed(bench, "ward-7", "ward-9") == [room]
    assert (await call(bench, "DeleteRoom", service.DeleteRoomRequest(room="ward-7"))).status_code == 200
    assert [r.name for r in await listed(bench)] == ["ward-8"]
    assert [r.closed for r in bench.engine.rooms] == [True, False]


async def test_what_is_written_on_a_room_is_kept_and_told(bench: Bench) -> None:
    answer = await call(bench, "CreateRoom", service.CreateRoomRequest(name="ward-7", metadata="bed 2"))
    assert models.Room.FromString(answer.content).metadata == "bed 2"
    assert [room.metadata for room in await listed(bench)] == ["bed 2"]


async def test_a_room_that_is_there_is_returned_as_it_is_when_it_is_made_again(bench: Bench) -> None:
    first = await made(bench, "ward-7", max_participants=3)
    await joined(bench, "ward-7", "alice")
    again = await made(bench, "ward-7", max_participants=9)
    assert (again.sid, again.max_participants, again.num_participants) == (first.sid, 3, 1)
    assert len(bench.engine.rooms) == 1


async def test_two_that_make_the_same_room_at_once_get_the_same(bench: Bench) -> None:
    bench.engine.creating = held = asyncio.Event()
    making = [asyncio.ensure_future(made(bench, "ward-7")) for _ in range(3)]
    await bench.settle()
    held.set()
    assert len({room.sid for room in await asyncio.gather(*making)}) == 1
    assert len(bench.engine.rooms) == 1


async def test_who_waits_for_a_room_that_could_not_be_made_makes_it(bench: Bench) -> None:
    bench.engine.creating = held = asyncio.Event()
    first = asyncio.ensure_future(bench.parts.rooms.create(name="ward-7"))
    await bench.settle()
    second = asyncio.ensure_future(made(bench, "ward-7"))
    await bench.settle()
    bench.engine.creating = None
    first.cancel()
    assert (await second).name == "ward-7"
    held.set()


async def test_a_room_that_is_about_to_end_is_not_returned_as_one_that_is_there(bench: Bench) -> None:
    await made(bench, "ward-7")
    await joined(bench, "ward-7", "alice")
    bench.engine.held = held = asyncio.Event()
    ending = asyncio.ensure_future(call(bench, "DeleteRoom", service.DeleteRoomRequest(room="ward-7")))
    await bench.settle()
    refused = await call(bench, "CreateRoom", service.CreateRoomRequest(name="ward-7"))
    assert said(refused) == (409, "already_exists")
    held.set()
    assert (await ending).status_code == 200


async def test_participants_are_listed_found_and_removed(bench: Bench) -> None:
    await made(bench, "ward-7")
    room = await joined(bench, "ward-7", "alice", "bob")
    alice, bob = await participants(bench, "ward-7")
    assert (alice.identity, bob.identity, alice.is_publisher) == ("alice", "bob", True)
    assert [track.type for track in alice.tracks] == [models.TrackType.AUDIO, models.TrackType.VIDEO]
    who, admin = service.RoomParticipantIdentity(room="ward-7", identity="alice"), bearer(roomAdmin=True, room="ward-7")
    got = await call(bench, "GetParticipant", who, admin)
    assert models.ParticipantInfo.FromString(got.content) == alice
    assert (await call(bench, "RemoveParticipant", who, admin)).status_code == 200
    assert [info.identity for info in await participants(bench, "ward-7")] == ["bob"]
    async with await bench.participant(room, "alice") as http:
        assert (await bench.publish(room, http)).json()["code"] == Refusal.PARTICIPANT_REMOVED
    for method in ("GetParticipant", "RemoveParticipant"):
        assert said(await call(bench, method, who, admin)) == (404, "not_found")


async def test_removing_somebody_who_is_not_there_keeps_nobody_out(bench: Bench) -> None:
    await made(bench, "ward-7")
    who = service.RoomParticipantIdentity(room="ward-7", identity="alice")
    missing = await call(bench, "RemoveParticipant", who, bearer(roomAdmin=True, room="ward-7"))
    assert missing.json()["meta"] == {"code": "participant_unknown"}
    await joined(bench, "ward-7", "alice")


async def test_a_room_without_a_name_is_managed_by_its_id(bench: Bench) -> None:
    room = await bench.room()
    assert [r.name for r in await listed(bench)] == [room]
    await joined(bench, room, "alice")
    assert [info.identity for info in await participants(bench, room)] == ["alice"]


async def test_a_removal_is_counted_as_one_over_rest_is(bench: Bench) -> None:
    await made(bench, "ward-7")
    await joined(bench, "ward-7", "alice")
    who = service.RoomParticipantIdentity(room="ward-7", identity="alice")
    await call(bench, "RemoveParticipant", who, bearer(roomAdmin=True, room="ward-7"))
    assert bench.parts.metrics.registry.get_sample_value("sfu_removals_total") == 1


# --- its form ---


async def test_json_is_answered_with_json(bench: Bench) -> None:
    async with bench.http(**MANAGER) as http:
        answer = await http.post(PREFIX + "CreateRoom", json={"name": "ward-7", "maxParticipants": 3})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert (answer.json()["name"], answer.json()["max_participants"]) == ("ward-7", 3)
        assert len((await http.post(PREFIX + "ListRooms", json={})).json()["rooms"]) == 1


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        (PREFIX + "ListRooms", "text/plain", (404, "bad_route")),
        (PREFIX + "MakeTea", PROTOBUF, (404, "bad_route")),
        ("/twirp/livekit.TeaService/Make", PROTOBUF, (404, "bad_route")),
        ("/twirp/", PROTOBUF, (404, "bad_route")),
        ("/twirp/livekit.Egress/ListEgress", PROTOBUF, (501, "unimplemented")),
        (PREFIX + "MoveParticipant", PROTOBUF, (501, "unimplemented")),
        (PREFIX + "PerformRpc", "application/json", (501, "unimplemented")),
    ],
)
async def test_what_is_no_method_of_this_server_is_said_as_twirp_says_it(
    bench: Bench, path: str, kind: str, told: tuple[int, str]
) -> None:
    async with bench.http(**MANAGER) as http:
        assert said(await http.post(path, headers={"Content-Type": kind})) == told
        assert said(await http.get(path)) == ((501, "unimplemented") if "Egress" in path else (404, "bad_route"))


async def test_a_body_that_is_no_message_or_too_long_changes_nothing(bench: Bench) -> None:
    async with bench.http(**MANAGER) as http:
        for kind, body in ((PROTOBUF, b"\xff"), ("application/json", b"{")):
            refused = await http.post(PREFIX + "CreateRoom", content=body, headers={"Content-Type": kind})
            assert said(refused) == (400, "malformed")
        long = b'{"name": "' + b"n" * 70_000 + b'"}'
        assert (await http.post(PREFIX + "CreateRoom", content=long)).status_code == 413
    assert bench.engine.rooms == []


@pytest.mark.parametrize(
    ("wanted", "told", "words"),
    [
        (service.CreateRoomRequest(), "invalid_argument", "name"),
        (service.CreateRoomRequest(name="Anna Andersson"), "invalid_argument", "only letters"),
        (service.CreateRoomRequest(name="191212121212"), "invalid_argument", "must not look like"),
        (service.CreateRoomRequest(name="a", metadata="m" * 20_000), "invalid_argument", "metadata: at most 16384"),
        (service.CreateRoomRequest(name="a", node_id="n"), "unimplemented", "node_id: this server does not"),
        (service.CreateRoomRequest(name="a", sync_streams=True, node_id="n"), "unimplemented", "node_id, sync_streams"),
    ],
)
async def test_what_cannot_be_made_is_refused_and_said(
    bench: Bench, wanted: service.CreateRoomRequest, told: str, words: str
) -> None:
    refused = await call(bench, "CreateRoom", wanted)
    assert said(refused)[1] == told
    assert words in refused.json()["msg"]
    assert "Anna" not in refused.text
    assert bench.engine.rooms == []


async def test_no_more_rooms_are_made_than_configured() -> None:
    bench = Bench(settings(rooms={"max_rooms": 1}))
    await made(bench, "ward-7")
    refused = await call(bench, "CreateRoom", service.CreateRoomRequest(name="ward-8"))
    assert said(refused) == (429, "resource_exhausted")
    assert refused.json()["meta"] == {"code": Refusal.TOO_MANY_ROOMS}


async def test_a_server_that_was_replaced_or_stops_says_so(bench: Bench) -> None:
    bench.parts.rooms.drain()
    assert said(await call(bench, "CreateRoom", service.CreateRoomRequest(name="a"))) == (503, "unavailable")
    bench.parts.rooms.control.lost.set()
    for method, wanted in (
        ("CreateRoom", service.CreateRoomRequest(name="a")),
        ("ListRooms", service.ListRoomsRequest()),
        ("DeleteRoom", service.DeleteRoomRequest(room="a")),
    ):
        refused = await call(bench, method, wanted)
        assert (said(refused), refused.json()["meta"]) == ((503, "unavailable"), {"code": "replaced"})


async def test_what_nobody_foresaw_is_told_by_a_number_that_is_in_the_log(bench: Bench, logged: io.StringIO) -> None:
    bench.parts.rooms = None  # type: ignore[assignment]
    failed = await call(bench, "ListRooms", service.ListRoomsRequest())
    assert said(failed) == (500, "internal")
    (line,) = [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == "unexpected error"]
    assert line["reference"] in failed.json()["msg"]


# --- who may ---


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "token_missing"),
        ({"Authorization": "Bearer nonsense"}, "token_invalid"),
        ({"Authorization": f"Bearer {signed(CLAIMS, alg='none')}"}, "token_invalid"),
        ({"Authorization": f"Bearer {signed(CLAIMS, key='w' * 32)}"}, "token_invalid"),
        ({"Authorization": f"Bearer {signed(CLAIMS | {'exp': AT - 600})}"}, "token_expired"),
        ({"Authorization": f"Bearer {signed(CLAIMS | {'exp': AT + 90_000})}"}, "token_lives_too_long"),
        ({"Authorization": f"Bearer {signed(CLAIMS)}"}, None),
        (bearer(roomAdmin=True, room="ward-8"), None),
    ],
)
@pytest.mark.parametrize("method", list(METHODS))
async def test_who_was_not_granted_it_is_told_so_whatever_exists_and_changes_nothing(
    bench: Bench, method: str, headers: dict[str, str], code: str | None
) -> None:
    await made(bench, "ward-7")
    await joined(bench, "ward-7", "alice")
    answers = []
    for room in ("ward-7", "ward-9"):
        named = {"name": room, "room": room, "identity": "alice"}
        fields = METHODS[method].wanted.DESCRIPTOR.fields_by_name
        wanted = METHODS[method].wanted(**{name: value for name, value in named.items() if name in fields})
        answers.append(await call(bench, method, wanted, headers))
        assert said(answers[-1]) == (401, "unauthenticated")
        assert answers[-1].headers["www-authenticate"] == "Bearer"
        assert code is None or answers[-1].json()["meta"] == {"code": code}
    assert answers[0].text == answers[1].text
    assert [info.identity for info in await participants(bench, "ward-7")] == ["alice"]
    assert len(bench.engine.rooms) == 1


@pytest.mark.parametrize(
    ("method", "grants"),
    [
        ("CreateRoom", {"roomList": True, "roomAdmin": True, "room": "ward-7"}),
        ("DeleteRoom", {"roomList": True, "roomAdmin": True, "room": "ward-7"}),
        ("ListRooms", {"roomCreate": True, "roomAdmin": True, "room": "ward-7"}),
        ("ListParticipants", {"roomCreate": True, "roomList": True, "room": "ward-7"}),
        ("RemoveParticipant", {"roomAdmin": True, "room": "ward"}),
    ],
)
async def test_one_grant_is_not_another(bench: Bench, method: str, grants: dict[str, object]) -> None:
    await made(bench, "ward-7")
    wanted = METHODS[method].wanted()
    if hasattr(wanted, "room"):
        wanted.room = "ward-7"
    refused = await call(bench, method, wanted, bearer(**grants))
    assert said(refused) == (401, "unauthenticated")
    assert refused.json()["meta"]["code"] in PROBLEMS
    assert len(await listed(bench)) == 1


async def test_the_administrators_bearer_is_no_token(bench: Bench) -> None:
    async with bench.admin() as http:
        assert said(await http.post(PREFIX + "ListRooms", json={})) == (401, "unauthenticated")


async def test_the_log_tells_the_method_and_nobodys_name(bench: Bench, logged: io.StringIO) -> None:
    await made(bench, "kanariefagel")
    await joined(bench, "kanariefagel", "kanarie-anna")
    await participants(bench, "kanariefagel")
    who = service.RoomParticipantIdentity(room="kanariefagel", identity="kanarie-anna")
    await call(bench, "RemoveParticipant", who, bearer(roomAdmin=True, room="kanariefagel"))
    assert f'"route": "{PREFIX}RemoveParticipant"' in logged.getvalue()
    assert "kanarie" not in logged.getvalue()
