"""Rights that are changed: what flows by lost ones ends, and no older token has them back, restarts or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from conftest import Bench
from restarts import after_both_died, next_server, taken_up

from signalling.domain import room as rooms
from signalling.domain.grants import Grant, Source
from signalling.domain.ids import ResourceId, RoomId
from signalling.domain.notices import Reason, notice_of
from signalling.domain.refusals import Refusal
from signalling.domain.rights import BINDS_FOR
from signalling.faults import NotFoundError, RefusedError
from signalling.media import ReplacedError
from signalling.media_events import EngineTakenOver
from signalling.store.base import StoreUnavailableError


async def grant_of(bench: Bench, room: str, participant: str) -> Grant:
    """What a participant's token says that is issued now."""
    token = await bench.token(room, participant=participant)
    return bench.parts.tokens.read(token, now=bench.clock())


async def changed(bench: Bench, room: str, participant: str, **rights: object) -> None:
    grant = await grant_of(bench, room, participant)
    await bench.parts.rooms.change_rights(RoomId(room), replace(grant, **rights))  # type: ignore[arg-type]


async def test_whoever_may_send_no_more_is_not_let_in_by_the_token_that_they_had(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, await bench.participant(room, "bela") as bela:
        await changed(bench, room, "anna", can_publish=False)
        refused = await bench.publish(room, anna)
        assert (refused.status_code, refused.json()["code"]) == (403, "publish_not_granted")
        assert (await bench.publish(room, bela)).status_code == 201, "others have theirs"
        assert (await bench.play(room, anna, "bela")).status_code == 201


async def test_whoever_may_receive_no_more_is_not_let_in_by_the_token_that_they_had(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna:
        await changed(bench, room, "anna", can_subscribe=False)
        assert (await bench.publish(room, anna)).status_code == 201
        assert (await bench.play(room, anna, "anna")).json()["code"] == "subscribe_not_granted"


async def test_what_may_be_sent_is_narrowed_to_what_the_change_says(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna:
        await changed(bench, room, "anna", sources=frozenset({Source.MICROPHONE}))
        assert (await bench.publish(room, anna)).json()["code"] == "source_not_granted"


async def test_a_right_that_is_given_holds_for_the_token_that_lacks_it(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna", can_publish=False) as anna:
        assert (await bench.publish(room, anna)).json()["code"] == "publish_not_granted"
        await changed(bench, room, "anna", can_publish=True)
        assert (await bench.publish(room, anna)).status_code == 201


async def test_a_newer_token_lets_in_and_the_older_one_does_not_even_then(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as older:
        await changed(bench, room, "anna", can_publish=False)
        bench.clock.go(seconds=1)
        async with await bench.participant(room, "anna") as newer:
            assert (await bench.publish(room, newer)).status_code == 201
        assert (await bench.publish(room, older)).json()["code"] == "publish_not_granted"


async def test_what_is_sent_by_a_lost_right_has_ended_when_the_change_is_answered(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, await bench.participant(room, "bela") as bela:
        location = (await bench.publish(room, anna)).headers["location"]
        await bench.publish(room, bela)
        await bench.play(room, anna, "bela")
        watch = bench.parts.rooms.connection(RoomId(room), ResourceId(location.rpartition("/")[2])).watch
        await changed(bench, room, "anna", can_publish=False)
        assert watch.notice == notice_of(Reason.RIGHTS_CHANGED)
        assert not watch.notice.welcome, "the same would be refused"
    seats = {str(seat["participant"]): seat for seat in await bench.roster(room)}
    assert seats["anna"]["publishes"] == []
    assert seats["anna"]["receives_from"] == ["bela"], "what is left goes on"
    assert len(bench.engine.peers()) == 2


async def test_whoever_receives_by_a_lost_right_receives_no_more(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, await bench.participant(room, "bela") as bela:
        await bench.publish(room, anna)
        await bench.play(room, bela, "anna")
        await changed(bench, room, "bela", can_subscribe=False)
    assert [seat["participant"] for seat in await bench.roster(room)] == ["anna"]
    assert [peer.edges for peer in bench.engine.peers()] == [[]]


@pytest.mark.parametrize("plays", [False, True])
async def test_a_right_that_is_lost_while_somebody_comes_in_lets_them_in_no_more(bench: Bench, plays: bool) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, await bench.participant(room, "bela") as bela:
        await bench.publish(room, anna)
        bench.engine.held = asyncio.Event()
        coming = bench.play(room, bela, "anna") if plays else bench.publish(room, bela)
        joining = asyncio.ensure_future(coming)
        await bench.settle()
        await changed(bench, room, "bela", can_publish=False, can_subscribe=False)
        bench.engine.held.set()
        refused = await joining
        assert refused.json()["code"] == ("subscribe_not_granted" if plays else "publish_not_granted")
        await bench.settle()
    assert [seat["participant"] for seat in await bench.roster(room)] == ["anna"]
    assert len(bench.engine.peers()) == 1


async def test_a_lost_right_is_lost_after_both_processes_died(bench: Bench) -> None:
    room = await bench.room()
    token = await bench.token(room, participant="anna")
    await changed(bench, room, "anna", can_publish=False)
    after = after_both_died(bench)
    await taken_up(after)
    async with after.http(Authorization=f"Bearer {token}") as anna:
        assert (await after.publish(room, anna)).json()["code"] == "publish_not_granted"
    assert after.parts.rooms.all() == bench.parts.rooms.all()


async def test_a_lost_right_of_which_the_engine_had_not_heard_yet_ends_what_it_carried_at_the_next_server(
    bench: Bench,
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, await bench.participant(room, "bela") as bela:
        await bench.publish(room, anna)
        await bench.publish(room, bela)
    grant = replace(await grant_of(bench, room, "anna"), can_publish=False)
    bench.engine.held = asyncio.Event()
    changing = asyncio.ensure_future(bench.parts.rooms.change_rights(RoomId(room), grant))
    await bench.settle()
    after = next_server(bench)  # the server is killed here
    await taken_up(after)
    assert [seat["participant"] for seat in await after.roster(room)] == ["bela"]
    assert len(after.engine.peers()) == 1
    changing.cancel()


async def test_a_right_that_is_taken_away_waits_for_no_disk_and_says_so_when_it_is_not_written_down(
    bench: Bench,
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna:
        await bench.publish(room, anna)
        muted = replace(await grant_of(bench, room, "anna"), can_publish=False)
        bench.store.held = asyncio.Event()
        changing = asyncio.ensure_future(bench.parts.rooms.change_rights(RoomId(room), muted))
        await bench.settle()
        assert not changing.done()
        assert bench.engine.peers() == []
        assert (await bench.publish(room, anna)).json()["code"] == "publish_not_granted"
        bench.store.unavailable = True
        bench.store.held.set()
        with pytest.raises(StoreUnavailableError):
            await changing
        bench.store.unavailable = False
        await bench.parts.rooms.change_rights(RoomId(room), muted)
    assert not bench.store.rooms[RoomId(room)].rights[muted.participant].can_publish


async def test_one_change_too_many_is_refused_and_nothing_is_different(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MAX_CHANGED_RIGHTS", 1)
    room = await bench.room()
    async with await bench.participant(room, "bela") as bela:
        await bench.publish(room, bela)
        await changed(bench, room, "anna", can_publish=False)
        with pytest.raises(RefusedError) as refused:
            await changed(bench, room, "bela", can_publish=False)
        assert refused.value.refusal is Refusal.TOO_MANY_CHANGED_RIGHTS
        assert [seat["participant"] for seat in await bench.roster(room)] == ["bela"]
    assert list(bench.store.rooms[RoomId(room)].rights) == ["anna"]
    bench.clock.go(seconds=BINDS_FOR.total_seconds())
    await changed(bench, room, "bela", can_publish=False)
    assert list(bench.store.rooms[RoomId(room)].rights) == ["bela"], "no token is left that would have let anna"


async def test_a_room_that_is_not_there_and_a_server_that_was_replaced_change_nothing(bench: Bench) -> None:
    room = await bench.room()
    grant = await grant_of(bench, room, "anna")
    with pytest.raises(NotFoundError):
        bench.parts.rooms.change_rights(RoomId("r_none"), grant)
    await bench.parts.rooms.on_event(EngineTakenOver())
    with pytest.raises(ReplacedError):
        bench.parts.rooms.change_rights(RoomId(room), grant)
    assert bench.store.rooms[RoomId(room)].rights == {}
