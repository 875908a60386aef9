"""What a server leaves for the one after it, and how that one takes it up."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from conftest import Bench
from hypothesis import given
from hypothesis import strategies as st
from restarts import next_server, taken_up

from pysfu import _notes
from signalling import notes
from signalling.connections import OpenConnection
from signalling.domain.grants import Role
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, PublicationId, ResourceId, RoomId, TrackId
from signalling.domain.notices import Reason
from signalling.domain.room import MAX_REMOVED, Connection, Publication, PublishedTrack, Room, RoomPolicy

NEVER = datetime(9_999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


async def connected(bench: Bench, room: str, publisher: str, *subscribers: str) -> list[OpenConnection]:
    """Has somebody publish, and others receive it."""
    async with await bench.participant(room, publisher) as sends:
        made = [await bench.publish(room, sends)]
    for subscriber in subscribers:
        async with await bench.participant(room, subscriber) as receives:
            made.append(await bench.play(room, receives, publisher))
    assert {answer.status_code for answer in made} == {201}
    resources = [ResourceId(answer.headers["location"].rpartition("/")[2]) for answer in made]
    return [bench.parts.rooms.connection(RoomId(room), resource) for resource in resources]


def who_is_in(after: Bench, room: str) -> dict[str, tuple[str, ...]]:
    return {seat.participant: seat.receives_from for seat in after.parts.rooms.roster(RoomId(room))}


async def test_the_next_server_has_the_rooms_and_connections_as_the_one_before_left_them(
    bench: Bench, logged: io.StringIO
) -> None:
    room = await bench.room(name="ward-7", max_participants=3)
    before = await connected(bench, room, "anna", "bela")
    await bench.parts.rooms.remove(RoomId(room), ParticipantId("eve"))
    after = next_server(bench)
    await taken_up(after)
    (found,) = after.parts.rooms.all()
    assert found == bench.parts.rooms.room(RoomId(room))
    for was in before:
        now = after.parts.rooms.connection(RoomId(room), was.resource)
        same = ("connection", "peer", "offer", "ice_tag", "plays")
        assert [getattr(now, name) for name in same] == [getattr(was, name) for name in same]
        assert now.transport.tracks == was.transport.tracks
    assert who_is_in(after, room) == {"anna": (), "bela": ("anna",)}
    (line,) = [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == "rooms taken up"]
    assert (line["count"], line["lost"], line["gone"]) == (1, 0, 0)


async def test_the_next_server_ends_whoever_was_removed_and_did_not_end_any_more(bench: Bench) -> None:
    room = await bench.room()
    await connected(bench, room, "anna", "eve")
    await connected(bench, room, "eve")
    bench.engine.held = asyncio.Event()  # the server is killed before the engine has done it
    removing = asyncio.ensure_future(bench.parts.rooms.remove(RoomId(room), ParticipantId("eve")))
    await bench.settle()
    after = next_server(bench)
    await taken_up(after)
    assert who_is_in(after, room) == {"anna": ()}
    assert len(after.engine.peers()) == 1
    async with await after.participant(room, "eve") as eve:
        assert (await after.publish(room, eve)).json()["code"] == "participant_removed"
    bench.engine.held.set()
    removing.cancel()


async def test_who_is_to_end_is_shown_until_it_has(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.endings.RETRY_S", 0)
    room = await bench.room()
    await connected(bench, room, "eve")
    bench.parts.rooms.room(RoomId(room)).remove(ParticipantId("eve"))
    bench.parts.rooms._rooms[RoomId(room)].leave_note()
    after = next_server(bench)
    after.engine.unavailable = True
    taking_up = asyncio.ensure_future(taken_up(after))
    await after.settle()
    assert who_is_in(after, room) == {"eve": ()}
    after.engine.unavailable = False
    await taking_up
    assert who_is_in(after, room) == {}


async def test_a_connection_whose_transport_has_ended_meanwhile_ends_with_those_it_leaves_alone(bench: Bench) -> None:
    room = await bench.room()
    publishing, playing = await connected(bench, room, "anna", "bela")
    after = next_server(bench, has_ended=[publishing.peer.id])
    waiting = after.parts.rooms.resume(await after.store.load())
    watches = [
        after.parts.rooms.connection(RoomId(room), connection.resource).watch for connection in (publishing, playing)
    ]
    await waiting
    assert who_is_in(after, room) == {}
    assert after.engine.peers() == []
    told = [watch.notice.reason for watch in watches if watch.notice is not None]
    assert told == [Reason.TRANSPORT_LOST, Reason.SOURCE_LEFT]


async def test_who_plays_only_what_went_with_the_server_before_is_ended(bench: Bench) -> None:
    room = await bench.room()
    publishing, _ = await connected(bench, room, "anna", "bela")
    await connected(bench, room, "carl")
    publishing.peer.keep(b"")  # nobody can name it
    after = next_server(bench)
    await taken_up(after)
    assert who_is_in(after, room) == {"carl": ()}
    assert len(after.engine.peers()) == 1


async def test_what_nobody_can_name_is_ended_and_its_room_is_there_without_media(bench: Bench) -> None:
    unreadable = (b"", b"{}", b'{"room": 3}', b"\xff\xfe", b"[" * 50_000)
    rooms = [await bench.room() for _ in unreadable]
    for note, media in zip(unreadable, bench.engine.rooms, strict=True):
        media.keep(note)
    named = await bench.room()
    for note in unreadable:
        (peer,) = [made.peer for made in await connected(bench, named, "anna")]
        peer.keep(note)
    after = next_server(bench)
    after.engine.lost = list(unreadable)
    await taken_up(after)
    assert {each.room for each in after.parts.rooms.all()} == {*rooms, named}
    assert [room.closed for room in after.engine.rooms] == [True] * len(unreadable) + [False]
    assert after.engine.peers() == []


async def test_a_room_whose_media_ended_meanwhile_has_other_media_and_nothing_is_held_against_it(bench: Bench) -> None:
    room = await bench.room()
    await bench.parts.rooms.remove(RoomId(room), ParticipantId("eve"))
    bench.engine.break_room(bench.engine.rooms[0])
    after = next_server(bench)
    await taken_up(after)
    assert len(after.engine.rooms) == 1, "before anybody asks for it"
    async with await after.participant(room, "anna") as anna, await after.participant(room, "eve") as eve:
        assert (await after.publish(room, anna)).status_code == 201
        assert (await after.publish(room, eve)).json()["code"] == "participant_removed"
    assert after.parts.rooms._rooms[RoomId(room)].standing.failures == 0


async def test_a_room_that_rests_is_still_there_for_the_next_server_with_who_was_removed(bench: Bench) -> None:
    room = await bench.room(name="ward-7")
    for _ in range(2):
        await bench.parts.rooms.on_event(bench.engine.break_room(bench.engine.rooms[-1]))
        await bench.settle()
    assert bench.parts.rooms.census.resting() == 1
    await bench.parts.rooms.remove(RoomId(room), ParticipantId("eve"))
    for failed in bench.engine.rooms[:-1]:
        failed.note = b""  # as pysfu does at once
    after = next_server(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == bench.parts.rooms.all()
    async with await after.participant(room, "eve") as eve:
        assert (await after.publish(room, eve)).json()["code"] == "participant_removed"


async def test_a_room_that_goes_on_is_not_hidden_by_an_older_note_on_it_and_keeps_who_was_removed(bench: Bench) -> None:
    room = await bench.room()
    await connected(bench, room, "anna", "eve")
    after = next_server(bench)
    stale = replace_removed(bench.parts.rooms.room(RoomId(room)), "eve")
    after.engine.lost = [notes.of_room(stale)]
    await taken_up(after)
    assert who_is_in(after, room) == {"anna": ()}, "those who are in it can be removed, and this one was"
    assert len(after.engine.rooms) == 1, "it needs no other media"
    noted = notes.read_room(after.engine.rooms[0].note)
    assert noted is not None
    assert list(noted.removed) == ["eve"]


def replace_removed(room: Room, *removed: str) -> Room:
    return replace(room, removed=dict.fromkeys(map(ParticipantId, removed)))


async def test_of_two_rooms_that_have_one_name_only_one_goes_on(bench: Bench) -> None:
    room = await bench.room()
    await connected(bench, room, "anna")
    other = await bench.room()
    await connected(bench, other, "bela")
    bench.engine.rooms[1].note = bench.engine.rooms[0].note
    after = next_server(bench)
    await taken_up(after)
    assert [each.room for each in after.parts.rooms.all()] == [room, other]
    assert [each.closed for each in after.engine.rooms] == [False, True]
    assert who_is_in(after, other) == {}


async def test_rooms_are_listed_oldest_first_in_whatever_order_the_engine_has_them(bench: Bench) -> None:
    made = []
    for _ in range(3):
        made.append(await bench.room())
        bench.clock.go(seconds=1)
    bench.engine.break_room(bench.engine.rooms[1])
    after = next_server(bench)
    after.engine.found.reverse()
    await taken_up(after)
    assert [each.room for each in after.parts.rooms.all()] == made


async def test_a_removal_from_a_room_that_is_being_deleted_leaves_no_note_that_brings_the_room_back(
    bench: Bench,
) -> None:
    room = await bench.room()
    await connected(bench, room, "anna")
    (media,) = bench.engine.rooms
    bench.engine.held = asyncio.Event()
    deleting = asyncio.ensure_future(bench.parts.rooms.delete(RoomId(room)))
    await bench.settle()
    media.note = b""  # as pysfu does at once
    removing = asyncio.ensure_future(bench.parts.rooms.remove(RoomId(room), ParticipantId("anna")))
    await bench.settle()
    bench.engine.held.set()
    await asyncio.gather(deleting, removing)
    assert media.note == b""


async def test_a_room_forgets_whoever_was_removed_longest_ago_and_says_so(bench: Bench, logged: io.StringIO) -> None:
    room = RoomId(await bench.room())
    for number in (*range(MAX_REMOVED), 0):  # who is removed again counts as removed just now
        await bench.parts.rooms.remove(room, ParticipantId(f"p{number}"))
    assert "may come back" not in logged.getvalue()
    await bench.parts.rooms.remove(room, ParticipantId("one-more"))
    (line,) = [line for line in map(json.loads, logged.getvalue().splitlines()) if "may come back" in line["event"]]
    assert (line["level"], line["room"], line["count"]) == ("warning", room, MAX_REMOVED)
    removed = bench.parts.rooms.room(room).removed
    assert len(removed) == MAX_REMOVED
    assert "p1" not in removed
    assert [*removed][-2:] == ["p0", "one-more"]
    noted = notes.read_room(bench.engine.rooms[0].note)
    assert noted is not None
    assert [*noted.removed] == [*removed]


async def test_what_is_nobodys_id_is_not_remembered_as_removed(bench: Bench) -> None:
    room = RoomId(await bench.room())
    await bench.parts.rooms.remove(room, ParticipantId("\x00" * MAX_ID_LENGTH))
    assert not bench.parts.rooms.room(room).removed


def test_the_longest_note_on_a_room_is_kept() -> None:
    longest = Room(
        room=RoomId("r_" + "f" * 24),
        name="n" * MAX_ID_LENGTH,
        created_at=NEVER,
        policy=RoomPolicy(max_participants=1_000, allowed_roles=frozenset(Role)),
    )
    for number in range(MAX_REMOVED):
        longest.remove(ParticipantId(f"{number:0{MAX_ID_LENGTH}}"))
    assert len(longest.removed) == MAX_REMOVED
    _notes.checked(notes.of_room(longest))


ids = st.text("abcXYZ019_-", min_size=1, max_size=40)
times = st.datetimes(min_value=datetime(2020, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(
    ids=st.lists(ids, min_size=2, unique=True),
    at=times,
    name=st.none() | ids,
    policy=st.builds(
        RoomPolicy, max_participants=st.integers(1, 1_000), allowed_roles=st.frozensets(st.sampled_from(Role))
    ),
)
def test_a_room_is_read_as_it_was_noted(ids: Sequence[str], at: datetime, name: str | None, policy: RoomPolicy) -> None:
    room = Room(room=RoomId(ids[0]), name=name, created_at=at, policy=policy)
    noted = replace_removed(room, *ids[1:])
    read = notes.read_room(notes.of_room(noted))
    assert read == noted
    assert read is not None
    assert [*read.removed] == ids[1:]


@given(ids=st.lists(ids, min_size=5, max_size=5), at=times, publishes=st.booleans(), offer=st.text())
def test_a_connection_is_read_as_it_was_noted(ids: Sequence[str], at: datetime, publishes: bool, offer: str) -> None:
    tracks = (PublishedTrack(track=TrackId(ids[2]), kind="audio"), PublishedTrack(track=TrackId(ids[3]), kind="video"))
    connection = Connection(
        participant=ParticipantId(ids[0]),
        opened_at=at,
        publication=Publication(publication=PublicationId(ids[1]), tracks=tracks) if publishes else None,
        sources=() if publishes else (ParticipantId(ids[4]),),
    )
    note = notes.of_connection(ResourceId(ids[1]), connection, plays=("a", "b"), offer=offer, ice_tag='"t"')
    read = notes.read_connection(note)
    assert read is not None
    assert read.connection() == connection
    assert (read.resource, read.plays, read.offer, read.ice_tag) == (ids[1], ["a", "b"], offer, '"t"')


@given(st.binary() | st.text().map(str.encode))
def test_a_note_that_cannot_be_read_is_as_good_as_none(note: bytes) -> None:
    assert notes.read_room(note) is None
    assert notes.read_connection(note) is None


def test_what_a_later_server_adds_to_a_note_is_passed_over() -> None:
    room = Room(room=RoomId("r_1"), name=None, created_at=NEVER, policy=RoomPolicy(max_participants=2))
    later = json.loads(notes.of_room(room)) | {"colour": "blue", "allowed_roles": ["jester"]}
    assert notes.read_room(json.dumps(later).encode()) == room


def test_a_note_of_an_earlier_server_allows_no_role() -> None:
    room = Room(room=RoomId("r_1"), name=None, created_at=NEVER, policy=RoomPolicy(max_participants=2))
    earlier = json.loads(notes.of_room(room))
    del earlier["allowed_roles"]
    assert notes.read_room(json.dumps(earlier).encode()) == room


async def test_a_server_that_finds_nothing_has_no_rooms(bench: Bench) -> None:
    await taken_up(bench)
    assert bench.parts.rooms.all() == []


async def test_a_room_that_has_lost_its_media_and_has_no_other_yet_is_there_for_the_next_server(bench: Bench) -> None:
    room = await bench.room(name="ward-7")
    bench.engine.unavailable = True
    await bench.parts.rooms.on_event(bench.engine.break_room(bench.engine.rooms[0]))
    async with bench.admin() as http:
        assert (await http.delete(f"/rooms/{room}/participants/eve")).status_code == 204
    after = next_server(bench)
    await taken_up(after)
    (found,) = after.parts.rooms.all()
    assert (found.room, found.name, list(found.removed)) == (room, "ward-7", ["eve"])


async def test_of_a_room_that_has_other_media_nothing_is_left_with_what_it_had_before(bench: Bench) -> None:
    room = await bench.room()
    await bench.parts.rooms.on_event(bench.engine.break_room(bench.engine.rooms[0]))
    await bench.settle()
    before, now = bench.engine.rooms
    assert (before.note, notes.read_room(now.note)) == (b"", bench.parts.rooms.room(RoomId(room)))


async def test_a_room_that_was_deleted_while_it_had_no_media_is_not_there_for_the_next_server(bench: Bench) -> None:
    room = await bench.room()
    bench.engine.creating = asyncio.Event()  # no other is made
    await bench.parts.rooms.on_event(bench.engine.break_room(bench.engine.rooms[0]))
    async with bench.admin() as http:
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
    after = next_server(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == []
