"""Hidden participants, recorders and agents: only where the room's policy names them, and seen by everybody."""

from __future__ import annotations

import httpx
import pytest
from conftest import Bench
from jwts import CLAIMS, signed

ROLES = ["hidden", "recorder", "agent"]


def bearer(bench: Bench, room: str, *roles: str) -> httpx.AsyncClient:
    """Somebody with a token that claims these roles."""
    video = {"roomJoin": True, "room": room} | dict.fromkeys(roles, True)
    return bench.http(Authorization=f"Bearer {signed(CLAIMS | {'video': video})}")


@pytest.mark.parametrize("role", ROLES)
async def test_a_room_takes_in_nobody_who_is_more_than_one_of_those_who_meet(bench: Bench, role: str) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        await bench.publish(room, alice)
    async with bearer(bench, room, role) as somebody:
        refused = [
            await bench.publish(room, somebody),
            await bench.play(room, somebody, "alice"),
            await somebody.get(f"/rooms/{room}"),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, f"{role}_not_allowed")] * 3
    assert [seat["participant"] for seat in await bench.roster(room)] == ["alice"]


@pytest.mark.parametrize("role", ROLES)
async def test_whom_the_policy_names_is_taken_in_and_shown_to_everybody(bench: Bench, role: str) -> None:
    room = await bench.room(allowed_roles=[role])
    async with bearer(bench, room, role) as somebody, await bench.participant(room, "alice") as alice:
        assert (await bench.publish(room, somebody)).status_code == 201
        (seat,) = (await alice.get(f"/rooms/{room}")).json()["roster"]
    assert seat["participant"] == CLAIMS["sub"]


async def test_one_role_is_not_another(bench: Bench) -> None:
    room = await bench.room(allowed_roles=["recorder"])
    async with bearer(bench, room, "recorder", "hidden") as somebody:
        assert (await bench.publish(room, somebody)).json()["code"] == "hidden_not_allowed"


async def test_what_a_room_allows_is_shown_and_a_role_nobody_knows_is_refused(bench: Bench) -> None:
    room = await bench.room(allowed_roles=["recorder", "agent"])
    async with bench.admin() as http:
        assert (await http.get(f"/rooms/{room}")).json()["allowed_roles"] == ["agent", "recorder"]
        refused = await http.post("/rooms", json={"allowed_roles": ["jester"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert len(bench.engine.rooms) == 1
