"""Rooms and tokens over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import Bench, settings

from signalling.domain.grants import Source
from signalling.domain.refusals import Refusal


async def test_a_room_is_made_listed_shown_and_ended_by_an_administrator(bench: Bench) -> None:
    async with bench.admin() as http:
        made = await http.post("/rooms", json={"name": "ward-7", "max_participants": 3})
        room = made.json()["room"]
        assert made.headers["location"] == f"/rooms/{room}"
        assert [r["name"] for r in (await http.get("/rooms")).json()] == ["ward-7"]
        assert (await http.get(f"/rooms/{room}")).json()["roster"] == []
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
        assert (await http.get(f"/rooms/{room}")).json()["code"] == "room_unknown"
    assert bench.engine.rooms[0].closed


async def test_a_room_does_not_spring_into_being_by_being_named(bench: Bench) -> None:
    async with bench.admin() as http:
        assert (await http.get("/rooms/somewhere")).status_code == 404
        assert (await http.post("/rooms/somewhere/tokens", json={})).json()["code"] == "room_unknown"
    other = await bench.room()
    async with await bench.participant(other, "alice") as alice:
        assert (await bench.publish("somewhere", alice)).json()["code"] == Refusal.TOKEN_FOR_OTHER_ROOM
    assert len(bench.engine.rooms) == 1


@pytest.mark.parametrize(
    "name", ["19121212-1212", "8112289874", "0701234567", "anna@example.org", "Anna Andersson", ""]
)
async def test_a_room_is_not_given_a_name_that_is_or_holds_a_persons(bench: Bench, name: str) -> None:
    async with bench.admin() as http:
        refused = await http.post("/rooms", json={"name": name})
    assert refused.status_code == 422
    assert refused.json()["code"] in {Refusal.NAME_PERSONAL, Refusal.NAME_NOT_PLAIN}
    assert name == "" or name not in refused.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/rooms"), ("GET", "/rooms"), ("DELETE", "/rooms/x")])
async def test_without_the_administrators_bearer_rooms_are_out_of_reach(bench: Bench, method: str, path: str) -> None:
    async with bench.http() as nobody, bench.http(Authorization="Bearer wrong") as wrong:
        for http in (nobody, wrong):
            refused = await http.request(method, path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert refused.json()["code"] == "admin_bearer_wrong"


async def test_without_a_configured_bearer_there_is_no_administration() -> None:
    bench = Bench(settings(admin={}))
    async with bench.http(Authorization="Bearer ") as http:
        assert (await http.post("/rooms")).json()["code"] == "admin_disabled"


async def test_a_token_shows_its_bearer_the_roster_of_its_room_only(bench: Bench) -> None:
    room, other = await bench.room(), await bench.room()
    async with await bench.participant(room, "alice") as alice:
        assert (await alice.get(f"/rooms/{room}")).status_code == 200
        assert (await alice.get(f"/rooms/{other}")).json()["code"] == Refusal.TOKEN_FOR_OTHER_ROOM


async def test_a_token_lives_no_longer_than_the_server_allows(bench: Bench) -> None:
    room = await bench.room()
    async with bench.admin() as http:
        refused = await http.post(f"/rooms/{room}/tokens", json={"life_s": 604_800})
    assert refused.json()["code"] == Refusal.TOKEN_LIVES_TOO_LONG


async def test_a_token_allows_what_was_asked_for_and_messages_only_then(bench: Bench) -> None:
    room = await bench.room()
    tokens = bench.parts.tokens
    plain = tokens.read(await bench.token(room), now=bench.clock())
    assert (plain.sources, plain.can_publish, plain.can_publish_data) == (None, True, False)
    wanted = {"can_publish_sources": ["microphone"], "can_publish_data": True}
    narrow = tokens.read(await bench.token(room, **wanted), now=bench.clock())
    assert (narrow.sources, narrow.can_publish_data) == ({Source.MICROPHONE}, True)
    async with bench.admin() as http:
        for sources in ([], ["hologram"]):
            refused = await http.post(f"/rooms/{room}/tokens", json={"can_publish_sources": sources})
            assert refused.json()["code"] == "request_invalid", "an empty list would mean everything to LiveKit"


async def test_a_token_lives_for_ten_minutes_unless_it_is_said_otherwise(bench: Bench) -> None:
    room = await bench.room()
    grant = bench.parts.tokens.read(await bench.token(room), now=bench.clock())
    assert grant.expires_at - bench.clock() == timedelta(minutes=10)


async def test_no_more_rooms_are_made_than_configured() -> None:
    bench = Bench(settings(rooms={"max_rooms": 1}))
    await bench.room()
    async with bench.admin() as http:
        refused = await http.post("/rooms")
    assert (refused.status_code, refused.json()["code"]) == (503, Refusal.TOO_MANY_ROOMS)


async def test_a_removed_participant_is_gone_at_once_and_cannot_come_back(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        assert (await http.delete(f"/rooms/{room}/participants/alice")).status_code == 204
        assert bench.engine.peers() == []
        assert await bench.roster(room) == []
        assert (await bench.publish(room, alice)).json()["code"] == Refusal.PARTICIPANT_REMOVED


async def test_a_misspelt_member_of_a_request_is_named(bench: Bench) -> None:
    async with bench.admin() as http:
        refused = await http.post("/rooms", json={"nmae": "ward-7"})
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"][0]["at"] == "body.nmae"


async def test_an_engine_that_takes_no_requests_is_told_as_such(bench: Bench) -> None:
    bench.engine.unavailable = True
    async with bench.admin() as http:
        refused = await http.post("/rooms")
    assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
    assert refused.headers["retry-after"]
