"""A drain lets nobody in, is over with the last call or at its deadline, and can be called off until then."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from conftest import Bench
from hypothesis import given
from hypothesis import strategies as st

from signalling import draining
from signalling.domain.drain import LINGER, Drain, begun
from signalling.http.parts import State
from signalling.media_events import PeerGone

NOW, NONE = timedelta(days=3), timedelta(0)
spans = st.timedeltas(min_value=NONE, max_value=timedelta(days=1))
HANG_S = 10.0


@given(deadline=spans, later=spans, empty=st.none() | st.timedeltas(min_value=NONE, max_value=2 * LINGER))
def test_a_drain_is_over_a_moment_after_the_last_call_or_at_its_deadline_and_not_before(
    deadline: timedelta, later: timedelta, empty: timedelta | None
) -> None:
    begun_then, now = begun(deadline, final=False, under_way=None, now=NOW), NOW + later
    last_call = None if empty is None else now - empty
    assert begun_then.is_over(now, last_call=last_call) is (empty is None or empty >= LINGER or later >= deadline)
    assert begun_then.left(NOW + later) == max(NONE, deadline - later)


@given(first=spans, second=spans, later=spans, finals=st.tuples(st.booleans(), st.booleans()))
def test_a_new_deadline_counts_unless_a_signal_began_the_drain_which_nobody_makes_longer(
    first: timedelta, second: timedelta, later: timedelta, finals: tuple[bool, bool]
) -> None:
    before = begun(first, final=finals[0], under_way=None, now=NOW)
    after = begun(second, final=finals[1], under_way=before, now=NOW + later)
    wanted = NOW + later + second
    assert after == Drain(until=min(wanted, before.until) if any(finals) else wanted, final=any(finals))


async def test_a_drain_is_begun_looked_at_and_called_off_by_an_administrator(bench: Bench) -> None:
    room, other = await bench.room(), await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        tokens = [await bench.token(room, participant="bob"), await bench.token(other, participant="alice")]
        assert (await http.get("/drain")).json() == {"draining": False, "seconds_left": None, "calls_left": 1}
        assert (await http.post("/drain", json={"deadline_s": 600})).json()["draining"] is True
        shown = (await http.get("/drain")).json()
        assert 590 < shown["seconds_left"] <= 600
        assert (await http.get("/ready")).json()["detail"] == "the state is draining"
        assert (await http.get("/live")).status_code == 200
        async with bench.http(Authorization=f"Bearer {tokens[0]}") as bob:
            assert (await bench.publish(room, bob)).json()["code"] == "closing"
        async with bench.http(Authorization=f"Bearer {tokens[1]}") as alice_elsewhere:
            assert (await bench.publish(other, alice_elsewhere)).json()["code"] == "closing"
        assert (await bench.publish("nowhere", alice)).json()["code"] == "token_for_other_room"
        assert (await http.post("/rooms")).json()["code"] == "closing"
        await bench.parts.rooms.on_event(PeerGone(peer=bench.engine.peers()[0].id, reason="ice"))
        assert await bench.roster(room) == []
        assert (await bench.publish(room, alice)).status_code == 201, "who was in it comes back"
        assert len(await bench.roster(room)) == 1, "calls go on"
        for _ in range(2):
            assert (await http.delete("/drain")).json() == {"draining": False, "seconds_left": None, "calls_left": 1}
        assert (await http.get("/ready")).status_code == 200
        assert (await bench.publish(room, alice)).status_code == 201


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nobody_but_an_administrator_drains(bench: Bench, method: str) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        refused = await alice.request(method, "/drain", json={"deadline_s": 1})
    assert (refused.status_code, refused.json()["code"]) == (401, "admin_bearer_wrong")
    assert bench.parts.state is State.SERVING


@pytest.mark.parametrize("body", [{}, {"deadline_s": -1}, {"deadline_s": 1e9}, {"deadline": 3}])
async def test_a_deadline_is_named_and_within_a_day(bench: Bench, body: dict[str, float]) -> None:
    async with bench.admin() as http:
        assert (await http.post("/drain", json=body)).json()["code"] == "request_invalid"
    assert not bench.parts.rooms.draining


async def test_a_drain_waits_for_the_last_call_and_is_then_over_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    monkeypatch.setattr(draining, "LOOK_S", 0)
    monkeypatch.setattr(draining, "steady", lambda: now)
    room = await bench.room()
    over = asyncio.ensure_future(bench.parts.draining.over())
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        location = (await bench.publish(room, alice)).headers["location"]
        await http.post("/drain", json={"deadline_s": 600})
        await http.delete("/drain")
        await http.post("/drain", json={"deadline_s": 600})
        now += 2 * LINGER
        await bench.settle()
        assert not over.done(), "there is a call"
        assert (await alice.delete(location)).status_code == 200
        await bench.settle()
        assert not over.done(), "who was in it may come back"
        now += LINGER
        await asyncio.wait_for(over, HANG_S)
        assert (await http.delete("/drain")).json()["code"] == "drain_final"


async def test_a_server_that_stops_begins_no_drain(bench: Bench) -> None:
    bench.parts.enter(State.STOPPING)
    async with bench.admin() as http:
        assert (await http.post("/drain", json={"deadline_s": 1})).json()["code"] == "closing"
