"""WHIP (RFC 9725) and WHEP."""

from __future__ import annotations

import asyncio

import pytest
from conftest import SDP, Bench, settings
from fake_engine import FakePeer
from jwts import CLAIMS, signed
from offers import fragment, offer

from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.refusals import Refusal
from signalling.media_events import PeerGone, Resynced, RoomGone

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


def lost(bench: Bench, *, left: list[FakePeer]) -> Resynced:
    """Events were lost, and meanwhile everybody went but these."""
    rooms = frozenset(room.id for room in bench.engine.rooms)
    return Resynced(media_rooms=rooms, peers=frozenset(peer.id for peer in left))


async def test_an_offer_is_answered_with_201_location_etag_and_sdp(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/sdp"
    assert made.text.startswith("v=0\r\n")
    assert made.headers["etag"].startswith('"')
    assert made.headers["location"].startswith(f"/whip/{room}/resources/")
    assert made.headers["accept-patch"] == FRAGMENT["Content-Type"]
    assert "ice-server" not in made.headers["link"]


async def test_a_subscriber_gets_edges_to_what_it_plays_and_to_nothing_else(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "carol") as carol:
        await bench.publish(room, alice)
        await bench.publish(room, carol)
        async with await bench.participant(room, "bob", can_publish=False) as bob:
            assert (await bench.play(room, bob, "alice")).status_code == 201
    first, second, third = bench.engine.peers()
    assert third.edges == [track.id for track in first.tracks]
    assert first.edges == second.edges == []


async def test_one_publication_can_be_played_by_its_own_name(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        first = await bench.publish(room, alice)
        await bench.publish(room, alice)
        path = first.headers["link"].partition(">")[0].removeprefix("<")
        assert (await bob.post(path, content=offer("recvonly"), headers=SDP)).status_code == 201
    assert bench.engine.peers()[-1].edges == [track.id for track in bench.engine.peers()[0].tracks]


async def test_everyone_who_receives_is_in_the_roster(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        bench.clock.go(seconds=1)
        await bench.play(room, bob, "alice")
    sender, listener = await bench.roster(room)
    assert (sender["participant"], listener["participant"]) == ("alice", "bob")
    assert (listener["publishes"], listener["receives_from"]) == ([], ["alice"])


async def test_the_roster_shows_a_listener_before_anything_can_flow_to_it(bench: Bench) -> None:
    room = await bench.room()
    seen: list[bool] = []

    def look() -> None:
        edges = any(peer.edges for peer in bench.engine.peers())
        seen.append(not edges or any(seat.participant == "bob" for seat in bench.parts.rooms.roster(RoomId(room))))

    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        bench.engine.at_pause = look
        await bench.play(room, bob, "alice")
    assert len(seen) == 3
    assert all(seen)


@pytest.mark.parametrize(
    ("wanted", "path", "refusal"),
    [
        ({"can_publish": False}, "/whip/{room}", Refusal.PUBLISH_NOT_GRANTED),
        ({"can_subscribe": False}, "/whep/{room}/alice", Refusal.SUBSCRIBE_NOT_GRANTED),
    ],
)
async def test_a_token_opens_only_what_it_grants(
    bench: Bench, wanted: dict[str, object], path: str, refusal: Refusal
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "bob", **wanted) as bob:
        direction = "recvonly" if "whep" in path else "sendonly"
        refused = await bob.post(path.format(room=room), content=offer(direction), headers=SDP)
    assert (refused.status_code, refused.json()["code"]) == (403, refusal)
    assert bench.engine.peers() == []


@pytest.mark.parametrize(
    ("sources", "kinds", "status"),
    [
        (["microphone"], ("audio", "video"), 403),
        (["microphone"], ("audio",), 201),
        (["camera"], ("audio",), 403),
        (["screen_share"], ("video",), 201),
        (["microphone", "camera"], ("audio", "video"), 201),
    ],
)
async def test_a_token_with_sources_opens_only_media_that_they_cover(
    bench: Bench, sources: list[str], kinds: tuple[str, ...], status: int
) -> None:
    room = await bench.room()
    token = signed(CLAIMS | {"video": {"roomJoin": True, "room": room, "canPublishSources": sources}})
    async with bench.http(Authorization=f"Bearer {token}") as alice:
        answer = await alice.post(f"/whip/{room}", content=offer(kinds=kinds), headers=SDP)
    assert answer.status_code == status
    assert len(bench.engine.peers()) == (1 if status == 201 else 0)
    if status == 403:
        assert answer.json()["code"] == Refusal.SOURCE_NOT_GRANTED
        assert "canPublishSources" in answer.json()["title"]


async def test_an_expired_token_opens_nothing_but_still_ends_what_it_opened(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice", life_s=60) as alice:
        made = await bench.publish(room, alice)
        bench.clock.go(hours=1)
        assert (await bench.publish(room, alice)).json()["code"] == Refusal.TOKEN_EXPIRED
        assert (await alice.delete(made.headers["location"])).status_code == 200
    assert bench.engine.peers() == []


async def test_another_participant_can_neither_patch_nor_end_a_connection(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        path = (await bench.publish(room, alice)).headers["location"]
        assert (await bob.delete(path)).json()["code"] == "not_yours"
        patched = await bob.patch(path, content=fragment(), headers={**FRAGMENT, "If-Match": "*"})
        assert patched.json()["code"] == "not_yours"
        async with bench.http() as nobody:
            assert (await nobody.delete(path)).json()["code"] == "token_missing"
        async with bench.admin() as admin:
            assert (await admin.delete(path)).status_code == 200


async def test_ending_a_publication_ends_those_who_played_nothing_else(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        made = await bench.publish(room, alice)
        await bench.play(room, bob, "alice")
        await alice.delete(made.headers["location"])
    assert bench.engine.peers() == []
    assert await bench.roster(room) == []


async def test_those_whose_transport_or_room_failed_leave_the_roster(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        await bench.publish(room, bob)
        await bench.parts.rooms.on_event(PeerGone(peer=bench.engine.peers()[0].id, reason="ice"))
        assert [seat["participant"] for seat in await bench.roster(room)] == ["bob"]
        await bench.parts.rooms.on_event(RoomGone(media_room=bench.engine.rooms[0].id))
    assert await bench.roster(room) == []


async def test_after_lost_events_only_those_who_still_exist_stay_in_the_roster(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        await bench.publish(room, bob)
        await bench.parts.rooms.on_event(lost(bench, left=bench.engine.peers()[1:]))
    assert [seat["participant"] for seat in await bench.roster(room)] == ["bob"]


async def test_after_lost_events_a_room_whose_media_is_gone_has_other_media(bench: Bench) -> None:
    failed, lives = await bench.room(), await bench.room()
    async with await bench.participant(failed, "alice") as alice:
        await bench.publish(failed, alice)
    await bench.parts.rooms.on_event(
        Resynced(media_rooms=frozenset({bench.engine.rooms[1].id}), peers=frozenset({bench.engine.peers()[0].id}))
    )
    await bench.settle()
    assert [room.room for room in bench.parts.rooms.all()] == [failed, lives]
    async with await bench.participant(failed, "bob") as bob:
        await bench.publish(failed, bob)
    assert [len(room.peers) for room in bench.engine.rooms] == [1, 0, 1]


async def test_who_joins_while_lost_connections_are_cleared_away_stays(bench: Bench) -> None:
    first, second = await bench.room(), await bench.room()
    async with await bench.participant(first, "alice") as alice, await bench.participant(second, "bob") as bob:
        await bench.publish(first, alice)
        bench.engine.peers()[0].held = held = asyncio.Event()
        clearing = asyncio.ensure_future(bench.parts.rooms.on_event(lost(bench, left=[])))
        await asyncio.sleep(0)
        assert (await bench.publish(second, bob)).status_code == 201
        held.set()
        await clearing
    assert [seat["participant"] for seat in await bench.roster(second)] == ["bob"]
    assert await bench.roster(first) == []


async def test_a_participant_removed_while_it_joins_gets_no_edge(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        bench.engine.at_pause = lambda: bench.parts.rooms.room(RoomId(room)).remove(ParticipantId("bob")) and None
        refused = await bench.play(room, bob, "alice")
    assert refused.json()["code"] == Refusal.PARTICIPANT_REMOVED
    await bench.settle()
    assert len(bench.engine.peers()) == 1


async def test_a_room_takes_no_more_participants_than_its_policy_says(bench: Bench) -> None:
    room = await bench.room(max_participants=1)
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        assert (await bench.publish(room, alice)).status_code == 201
        assert (await bench.publish(room, bob)).json()["code"] == Refusal.ROOM_FULL


async def test_playing_someone_who_publishes_nothing_is_not_found(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "bob") as bob:
        refused = await bench.play(room, bob, "alice")
    assert (refused.status_code, refused.json()["code"]) == (404, "publication_unknown")


async def test_publishing_into_a_room_that_has_just_failed_is_told_to_come_again(bench: Bench) -> None:
    room = await bench.room()
    bench.engine.rooms[0].closed = True
    async with await bench.participant(room, "alice") as alice:
        refused = await bench.publish(room, alice)
        assert (refused.status_code, refused.json()["code"]) == (503, "room_failed")
        assert refused.headers["retry-after"] == "1"
        assert (await bench.publish(room, alice)).status_code == 201


async def test_candidates_are_taken_with_204_when_they_belong_to_the_current_ice_session(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
        path, tag = made.headers["location"], made.headers["etag"]
        more = fragment(
            more=("a=candidate:1 1 UDP 2130706431 192.0.2.7 50001 typ host generation 0", "a=end-of-candidates")
        )
        taken = await alice.patch(path, content=more, headers={**FRAGMENT, "If-Match": tag})
        assert (taken.status_code, taken.headers["etag"]) == (204, tag)
        for match, status in ((None, 428), ('"other"', 412)):
            headers = FRAGMENT | ({"If-Match": match} if match else {})
            assert (await alice.patch(path, content=more, headers=headers)).status_code == status
        new = fragment(ufrag="nEw1", password="n" * 24)
        assert (await alice.patch(path, content=new, headers={**FRAGMENT, "If-Match": tag})).status_code == 412


async def test_new_credentials_restart_ice_and_get_ours_and_a_new_etag(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
        new = fragment(ufrag="nEw1", password="n" * 24)
        restarted = await alice.patch(made.headers["location"], content=new, headers={**FRAGMENT, "If-Match": "*"})
    assert restarted.status_code == 200
    assert restarted.headers["content-type"] == FRAGMENT["Content-Type"]
    assert restarted.headers["etag"] != made.headers["etag"]
    assert restarted.text.startswith("a=ice-ufrag:fake2\r\na=ice-pwd:")
    assert "a=candidate:" in restarted.text
    connection = bench.parts.rooms.connection(RoomId(room), ResourceId(made.headers["location"].rpartition("/")[2]))
    assert "a=ice-ufrag:nEw1" in connection.offer
    assert "a=candidate:" not in connection.offer


async def test_a_call_that_outlived_its_token_restarts_ice_and_an_administrator_restarts_nothing(bench: Bench) -> None:
    room = await bench.room()
    new = fragment(ufrag="nEw1", password="n" * 24)
    async with (
        await bench.participant(room, "alice", life_s=60) as alice,
        await bench.participant(room, "eve", life_s=60) as eve,
        bench.admin() as admin,
    ):
        path = (await bench.publish(room, alice)).headers["location"]
        bench.clock.go(hours=1)
        connection = bench.parts.rooms.connection(RoomId(room), ResourceId(path.rpartition("/")[2]))
        before = (connection.offer, connection.ice_tag)
        for http, status, code in ((eve, 403, "not_yours"), (admin, 401, "token_invalid")):
            for content, match in ((new, "*"), (fragment(), connection.ice_tag)):
                refused = await http.patch(path, content=content, headers={**FRAGMENT, "If-Match": match})
                assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (connection.offer, connection.ice_tag) == before
        restarted = await alice.patch(path, content=new, headers={**FRAGMENT, "If-Match": "*"})
        assert restarted.status_code == 200


async def test_options_tells_what_can_be_posted_and_to_whom_pages_may_call() -> None:
    bench = Bench(settings(http={"allowed_origins": ["https://care.example.org"]}))
    async with bench.http() as http:
        plain = await http.options("/whip/any")
        assert (plain.status_code, plain.headers["accept-post"]) == (204, "application/sdp")
        for origin, allowed in (("https://care.example.org", True), ("https://evil.example.org", False)):
            asked = await http.options("/whip/any", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert asked.status_code == 204
            assert ("access-control-allow-origin" in asked.headers) is allowed
            assert ("access-control-allow-headers" in asked.headers) is allowed


async def test_a_join_that_breaks_leaves_nobody_behind_in_the_engine(bench: Bench) -> None:
    room = await bench.room()
    bench.engine.at_pause = lambda: (_ for _ in ()).throw(RuntimeError("stop"))
    async with await bench.participant(room, "alice") as alice:
        failed = await bench.publish(room, alice)
    assert (failed.status_code, failed.json()["code"]) == (500, "internal")
    await bench.settle()
    assert bench.engine.peers() == []


async def test_a_join_cancelled_at_any_point_leaves_nobody_behind(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        await bench.publish(room, alice)
    grant = bench.parts.tokens.read(await bench.token(room, participant="bob"), now=bench.clock())
    for steps in range(12):
        joining = asyncio.ensure_future(bench.parts.rooms.play(RoomId(room), grant, "alice", offer("recvonly")))
        for _ in range(steps):
            await asyncio.sleep(0)
        joining.cancel()
        (outcome,) = await asyncio.gather(joining, return_exceptions=True)
        if isinstance(outcome, BaseException):
            await bench.settle()
            assert len(bench.engine.peers()) == 1, f"after {steps} steps"
            assert len(bench.parts.rooms.roster(RoomId(room))) == 1
        else:
            await bench.parts.rooms.close(RoomId(room), outcome.resource)
