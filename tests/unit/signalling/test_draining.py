"""A drain lets nobody in, is over with the last call or at its deadline, and can be called off until then."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from conftest import Bench
from hypothesis import given
from hypothesis import strategies as st

from signalling import draining
from signalling.domain.drain import Drain, begun
from signalling.http.parts import State

NOW, NONE = timedelta(days=3), timedelta(0)
spans = st.timedeltas(min_value=NONE, max_value=timedelta(days=1))
HANG_S = 10.0


@given(deadline=spans, later=spans, calls=st.integers(min_value=0, max_value=3))
def test_a_drain_is_over_with_the_last_call_or_at_its_deadline_and_not_before(
    deadline: timedelta, later: timedelta, calls: int
) -> None:
    drain = begun(deadline, final=False, under_way=None, now=NOW)
    assert drain.is_over(NOW + later, calls=calls) is (calls == 0 or later >= deadline)
    assert drain.left(NOW + later) == max(NONE, deadline - later)


@given(first=spans, second=spans, later=spans, finals=st.tuples(st.booleans(), st.booleans()))
def test_a_new_deadline_counts_unless_a_signal_began_the_drain_which_nobody_makes_longer(
    first: timedelta, second: timedelta, later: timedelta, finals: tuple[bool, bool]
) -> None:
    before = begun(first, final=finals[0], under_way=None, now=NOW)
    after = begun(second, final=finals[1], under_way=before, now=NOW + later)
    wanted = NOW + later + second
    assert after == Drain(until=min(wanted, before.until) if any(finals) else wanted, final=any(finals))


async def test_a_drain_is_begun_looked_at_and_called_off_by_an_administrator(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        assert (await http.get("/drain")).json() == {"draining": False, "seconds_left": None, "calls_left": 1}
        assert (await http.post("/drain", json={"deadline_s": 600})).json()["draining"] is True
        shown = (await http.get("/drain")).json()
        assert 590 < shown["seconds_left"] <= 600
        assert (await http.get("/ready")).json()["detail"] == "the state is draining"
        assert (await http.get("/live")).status_code == 200
        assert (await bench.publish(room, alice)).json()["code"] == "closing"
        assert (await http.post("/rooms")).json()["code"] == "closing"
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
    monkeypatch.setattr(draining, "LOOK_S", 0)
    room = await bench.room()
    over = asyncio.ensure_future(bench.parts.draining.over())
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        location = (await bench.publish(room, alice)).headers["location"]
        await http.post("/drain", json={"deadline_s": 600})
        await http.delete("/drain")
        await http.post("/drain", json={"deadline_s": 600})
        await bench.settle()
        assert not over.done()
        assert (await alice.delete(location)).status_code == 200
        await asyncio.wait_for(over, HANG_S)
        assert (await http.delete("/drain")).json()["code"] == "drain_final"


async def test_a_server_that_stops_begins_no_drain(bench: Bench) -> None:
    bench.parts.enter(State.STOPPING)
    async with bench.admin() as http:
        assert (await http.post("/drain", json={"deadline_s": 1})).json()["code"] == "closing"
