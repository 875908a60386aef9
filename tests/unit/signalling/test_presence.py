"""Whoever has no right learns nothing of what exists: the answer is the same for what is there and what is not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from conftest import SDP, Bench
from fastapi.routing import APIRoute
from jwts import AT, CLAIMS, signed
from offers import fragment, offer

from signalling.http.app import ROUTERS

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
UNKNOWN = {"room": "r_" + "0" * 24, "resource": "0" * 48, "source": "nobody", "participant": "nobody", "track": "none"}


def requests() -> Iterator[tuple[str, str]]:
    """Lists every request that names something; what says that nothing is there names nothing."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and "{" in route.path and not route.path.endswith("{path:path}"):
                yield from ((method, route.path) for method in sorted(route.methods - {"OPTIONS"}))


def bearers(room: str) -> dict[str, str]:
    """Tokens that prove nothing, or nothing about that room."""
    claims = CLAIMS | {"video": {"roomJoin": True, "room": room}}
    other = CLAIMS | {"video": {"roomJoin": True, "room": "r_other"}}
    return {
        "none": "",
        "of another scheme": "Basic YTpi",
        "no token": "Bearer nonsense",
        "of a stranger's key": f"Bearer {signed(claims, key='w' * 32)}",
        "without algorithm": f"Bearer {signed(claims, alg='none')}",
        "not valid yet": f"Bearer {signed(claims | {'nbf': AT + 3_600})}",
        "for that room, but not to join it": f"Bearer {signed(CLAIMS | {'video': {'room': room}})}",
        "for another room": f"Bearer {signed(other)}",
        "for another room and expired": f"Bearer {signed(other | {'exp': AT - 600})}",
    }


async def ask(http: httpx.AsyncClient, method: str, path: str, bearer: str) -> tuple[int, str]:
    content, headers = {
        "POST": (offer("recvonly" if "whep" in path else "sendonly"), SDP),
        "PATCH": (fragment(), FRAGMENT),
    }.get(method, (None, {}))
    answer = await http.request(method, path, content=content, headers={**headers, "Authorization": bearer})
    return answer.status_code, answer.text


@pytest.mark.parametrize(("method", "path"), [*requests()])
async def test_without_a_right_the_answer_does_not_tell_what_exists(bench: Bench, method: str, path: str) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        published = await bench.publish(room, alice)
        played = await bench.play(room, bob, "alice")
    resource = (played if path.startswith("/whep") else published).headers["location"].rpartition("/")[2]
    known = {"room": room, "resource": resource, "source": "alice", "participant": "alice", "track": "TR_1"}
    async with bench.http() as http:
        for kind, bearer in bearers(room).items():
            status, told = await ask(http, method, path.format(**known), bearer)
            assert status in (401, 403), kind
            for unknown in ("room", *(name for name in UNKNOWN if f"{{{name}}}" in path)):
                named = path.format(**known | {unknown: UNKNOWN[unknown]})
                assert await ask(http, method, named, bearer) == (status, told), f"{kind}, {unknown} unknown"
    assert len(bench.engine.peers()) == 2
    assert len(await bench.roster(room)) == 2


@pytest.mark.parametrize(("method", "path"), [*requests()])
async def test_who_was_removed_learns_nothing_of_the_room_any_more(bench: Bench, method: str, path: str) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        published = await bench.publish(room, alice)
        await http.delete(f"/rooms/{room}/participants/carol")
    carol = f"Bearer {await bench.token(room, participant='carol')}"
    known = {"room": room, "source": "alice", "participant": "alice", "track": "TR_1"}
    known["resource"] = published.headers["location"].rpartition("/")[2]
    async with bench.http() as http:
        status, told = await ask(http, method, path.format(**known), carol)
        assert (status, '"participant_removed"' in told) in ((401, False), (403, True))
        for unknown in (name for name in UNKNOWN if name != "room" and f"{{{name}}}" in path):
            named = path.format(**known | {unknown: UNKNOWN[unknown]})
            assert await ask(http, method, named, carol) == (status, told), f"{unknown} unknown"


async def test_a_token_of_another_room_is_told_so_by_every_address_of_a_connection(bench: Bench) -> None:
    room, other = await bench.room(), await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(other, "bob") as bob:
        location = (await bench.publish(room, alice)).headers["location"]
        for refused in (await bob.delete(location), await bob.patch(location, content=fragment(), headers=FRAGMENT)):
            assert (refused.status_code, refused.json()["code"]) == (403, "token_for_other_room")


def test_requests_of_all_kinds_are_tried() -> None:
    assert {path.split("/")[1] for _, path in requests()} == {"rooms", "whip", "whep"}
    assert {method for method, _ in requests()} == {"GET", "POST", "PATCH", "DELETE"}
