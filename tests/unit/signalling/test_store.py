"""The store on real files: what is written down is there for the next one, and what cannot be says so."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from files import names_in
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from signalling.domain.grants import Role, Source
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import Rights
from signalling.domain.room import MAX_METADATA_LENGTH, Room, RoomPolicy
from signalling.faults import RefusedError
from signalling.store import db, seen
from signalling.store.base import StoreUnavailableError, StoreUnusableError
from signalling.store.db import Database
from signalling.store.opening import examine
from signalling.store.rooms import POLICY, SqlRooms, opened
from signalling.store.tables import UtcDateTime, grants

AT = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
MUTED = Rights(can_publish=False, can_subscribe=True, since=AT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pysfu.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlRooms]:
    async with opened(path) as found:
        yield found


def room_of(number: int, *, name: str | None = None) -> Room:
    policy = RoomPolicy(max_participants=3)
    return Room(room=RoomId(f"r_{number}"), name=name, created_at=AT + timedelta(seconds=number), policy=policy)


async def reopened(path: Path) -> list[Room]:
    async with opened(path) as store:
        return list((await store.load()).rooms)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_room_is_there_for_the_next_one_with_everything_that_was_said_of_it(path: Path) -> None:
    longest = replace(
        room_of(1, name="n" * MAX_ID_LENGTH),
        room=RoomId("r" * MAX_ID_LENGTH),
        metadata="å" * MAX_METADATA_LENGTH,
        policy=RoomPolicy(max_participants=1_000, allowed_roles=frozenset(Role)),
    )
    async with opened(path) as store:
        assert (await store.load()).is_new
        await store.add(longest)
        await store.add(room_of(0))
        for at, participant in enumerate(("bela", "anna", "bela")):
            await store.remove(longest.room, ParticipantId(participant), at=AT + timedelta(at), forgotten=None)
    async with opened(path) as store:
        stored = await store.load()
    assert list(stored.rooms) == [room_of(0), replace(longest, removed={"anna": None, "bela": None})]
    assert list(stored.rooms[1].removed) == ["anna", "bela"], "the latest last"


async def test_a_store_is_new_until_a_server_has_gone_on_from_it(path: Path) -> None:
    async with opened(path) as store:
        await store.add(room_of(1))
    async with opened(path) as store:
        assert (await store.load()).is_new, "the start before may have failed"
        await store.take_into_use()
        await store.take_into_use()
        assert not (await store.load()).is_new
    async with opened(path) as store:
        assert not (await store.load()).is_new


def test_everything_that_is_known_of_a_room_has_its_place_on_disk() -> None:
    known = {each.name for each in fields(Room)} - {"removed", "rights"}
    assert known == {"room", "name", "created_at", "policy", "metadata"}, "a new one needs a column, and a step"
    assert {each.name for each in fields(Rights)} == set(grants.c.keys()) - {"room_id", "identity"}


@given(st.from_type(RoomPolicy))
def test_a_policy_is_read_as_it_was_written(policy: RoomPolicy) -> None:
    assert POLICY.validate_json(POLICY.dump_json(policy)) == policy


async def test_a_deleted_room_is_gone_with_everybody_in_it(store: SqlRooms, path: Path) -> None:
    for number in (1, 2):
        await store.add(room_of(number))
        await store.remove(RoomId(f"r_{number}"), ParticipantId("eve"), at=AT, forgotten=None)
        await store.grant(RoomId(f"r_{number}"), ParticipantId("eve"), MUTED, forgotten=())
        store.see(RoomId(f"r_{number}"), ParticipantId("anna"), at=AT)
    await store.settle()
    await store.delete(RoomId("r_1"))
    await store.delete(RoomId("r_1"))
    assert [room.room for room in (await store.load()).rooms] == ["r_2"]
    assert {room for (room,) in rows(path, "SELECT room_id FROM participants")} == {"r_2"}
    assert rows(path, "SELECT room_id FROM grants") == [("r_2",)]


async def test_what_was_erased_is_in_none_of_the_files(store: SqlRooms, path: Path) -> None:
    await store.add(replace(room_of(1, name="kanariefagel"), metadata="kanariefagel" * 1_000))
    await store.remove(RoomId("r_1"), ParticipantId("kanariefagel"), at=AT, forgotten=None)
    await store.grant(RoomId("r_1"), ParticipantId("kanariefagel"), MUTED, forgotten=())
    files = list(path.parent.glob("pysfu.db*"))
    assert any(b"kanariefagel" in file.read_bytes() for file in files)
    await store.delete(RoomId("r_1"))
    for file in files:
        assert b"kanariefagel" not in file.read_bytes(), file.name


async def test_who_may_come_back_as_others_were_removed_may_come_back_after_a_restart(path: Path) -> None:
    async with opened(path) as store:
        await store.add(room_of(1))
        await store.remove(RoomId("r_1"), ParticipantId("anna"), at=AT, forgotten=None)
        await store.remove(RoomId("r_1"), ParticipantId("bela"), at=AT, forgotten=ParticipantId("anna"))
    assert list((await reopened(path))[0].removed) == ["bela"]


@pytest.mark.parametrize("sources", [None, frozenset[Source](), frozenset(Source)])
async def test_changed_rights_are_there_for_the_next_one_as_they_were_changed_last(
    path: Path, sources: frozenset[Source] | None
) -> None:
    last = replace(MUTED, can_publish=True, sources=sources, can_publish_data=True, since=AT + timedelta(1))
    anna, bela = ParticipantId("anna"), ParticipantId("bela")
    async with opened(path) as store:
        for number in (1, 2):
            await store.add(room_of(number))
        for rights in (MUTED, last):
            await store.grant(RoomId("r_1"), anna, rights, forgotten=())
        await store.grant(RoomId("r_1"), bela, MUTED, forgotten=())
        await store.grant(RoomId("r_2"), anna, MUTED, forgotten=())
    assert [room.rights for room in await reopened(path)] == [{anna: last, bela: MUTED}, {anna: MUTED}]
    async with opened(path) as store:
        await store.grant(RoomId("r_1"), bela, last, forgotten=[anna])
    assert [room.rights for room in await reopened(path)] == [{bela: last}, {anna: MUTED}]


async def test_a_source_that_only_another_version_knows_is_none_that_may_be_sent(store: SqlRooms, path: Path) -> None:
    await store.add(room_of(1))
    await store.grant(RoomId("r_1"), ParticipantId("anna"), replace(MUTED, can_publish=True), forgotten=())
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE grants SET sources = 'microphone hologram'")
    (room,) = (await store.load()).rooms
    assert room.rights[ParticipantId("anna")].sources == {Source.MICROPHONE}


async def test_who_is_removed_or_changed_in_a_room_that_is_gone_leaves_nothing(store: SqlRooms, path: Path) -> None:
    await store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None)
    await store.grant(RoomId("r_1"), ParticipantId("eve"), MUTED, forgotten=())
    store.see(RoomId("r_1"), ParticipantId("anna"), at=AT)
    await store.settle()
    assert rows(path, "SELECT * FROM participants") == []
    assert rows(path, "SELECT * FROM grants") == []


async def test_a_second_room_of_a_name_is_refused_and_the_first_is_as_it_was(store: SqlRooms) -> None:
    await store.add(room_of(1, name="ward-7"))
    await store.add(room_of(3))
    await store.add(room_of(4))
    with pytest.raises(RefusedError) as refused:
        await store.add(room_of(2, name="ward-7"))
    assert refused.value.refusal is Refusal.NAME_TAKEN
    assert [room.room for room in (await store.load()).rooms] == ["r_1", "r_3", "r_4"]
    await store.delete(RoomId("r_1"))
    await store.add(room_of(2, name="ward-7"))


async def test_when_somebody_was_seen_first_and_last_is_kept(store: SqlRooms, path: Path) -> None:
    await store.add(room_of(1))
    await store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None)
    for participant, days in (("anna", 0), ("anna", 2), ("eve", 1)):
        store.see(RoomId("r_1"), ParticipantId(participant), at=AT + timedelta(days))
        await store.settle()
    found = rows(path, "SELECT identity, first_seen_at, last_seen_at, removed_at FROM participants ORDER BY identity")
    anna, eve = ((who, *(str(at)[:10] for at in at)) for who, *at in found)
    assert anna == ("anna", "2026-11-22", "2026-11-24", "None")
    assert eve == ("eve", "2026-11-23", "2026-11-23", "2026-11-22")


async def test_a_room_keeps_those_who_came_last_and_all_who_were_removed(
    store: SqlRooms, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.add(room_of(1))
    await store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None)
    for number in range(seen.MAX_KEPT + 2):
        store.see(RoomId("r_1"), ParticipantId(f"p{number}"), at=AT + timedelta(seconds=number))
    await store.settle()
    kept = {identity for (identity,) in rows(path, "SELECT identity FROM participants")}
    assert len(kept) == seen.MAX_KEPT + 1
    assert {"eve", "p2", f"p{seen.MAX_KEPT + 1}"} <= kept
    assert not {"p0", "p1"} & kept


async def test_who_came_in_while_the_disk_took_nothing_is_written_down_later_and_the_oldest_are_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "MAX_UNWRITTEN", 2)
    async with Database(path, lock_limit_s=0) as database:
        store = SqlRooms(database)
        await store.add(room_of(1))
        with locked(path):
            for participant in ("anna", "bela", "carl"):
                store.see(RoomId("r_1"), ParticipantId(participant), at=AT)
            await store.settle()
        assert rows(path, "SELECT * FROM participants") == []
        store.see(RoomId("r_1"), ParticipantId("dora"), at=AT)
        await store.settle()
    assert rows(path, "SELECT identity FROM participants ORDER BY identity") == [("carl",), ("dora",)]


async def test_what_a_locked_database_does_not_take_says_so_and_the_next_is_taken(
    path: Path, logged: io.StringIO
) -> None:
    async with Database(path, lock_limit_s=0) as database:
        store = SqlRooms(database)
        with locked(path):
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="another program keeps it locked"):
                    await store.add(room_of(1))
        await store.add(room_of(2))
    assert [room.room for room in await reopened(path)] == ["r_2"]
    told = [line for line in map(json.loads, logged.getvalue().splitlines()) if line.get("component") == "store"]
    assert [(line["level"], line.get("code")) for line in told] == [("error", "SQLITE_BUSY"), ("info", None)]


async def test_a_full_disk_says_so_and_what_was_there_stays(path: Path) -> None:
    async with Database(path) as database:
        store = SqlRooms(database)
        await store.add(room_of(1))

        async def fill(connection: AsyncConnection) -> None:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        await database.change(fill)
        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await store.add(replace(room_of(2), metadata="m" * MAX_METADATA_LENGTH))
        await store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None)
    assert await reopened(path) == [replace(room_of(1), removed={"eve": None})]


async def test_what_was_not_written_in_time_is_not_done_but_for_what_takes_rights_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(path) as database:
        store = SqlRooms(database)
        await store.add(room_of(1))
        go_on = asyncio.Event()

        async def hang(_: AsyncConnection) -> None:
            await go_on.wait()

        hanging = database.begin(hang)
        monkeypatch.setattr(db, "ANSWER_LIMIT_S", 0)
        with pytest.raises(StoreUnavailableError, match="not answered in time"):
            await store.add(room_of(2))
        with pytest.raises(StoreUnavailableError, match="not answered in time"):
            await store.delete(RoomId("r_1"))
        with pytest.raises(StoreUnavailableError, match="not answered in time"):
            await store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None)
        with pytest.raises(StoreUnavailableError, match="not answered in time"):
            await store.grant(RoomId("r_1"), ParticipantId("bob"), MUTED, forgotten=())
        monkeypatch.undo()
        go_on.set()
        await hanging
    assert await reopened(path) == [replace(room_of(1), removed={"eve": None}, rights={"bob": MUTED})]


async def test_no_more_waits_for_the_disk_than_it_can_do_in_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "MAX_WAITING", 2)
    async with Database(path) as database:
        store, go_on = SqlRooms(database), asyncio.Event()

        async def hang(_: AsyncConnection) -> None:
            await go_on.wait()

        hanging = [database.begin(hang), database.begin(hang)]
        with pytest.raises(StoreUnavailableError, match="too slow"):
            await store.delete(RoomId("r_1"))
        go_on.set()
        await asyncio.gather(*hanging)
        await store.delete(RoomId("r_1"))


async def test_whoever_asks_and_is_cancelled_does_not_break_what_others_ask(path: Path) -> None:
    async with Database(path) as database:
        store = SqlRooms(database)
        await store.add(room_of(1))
        asking = asyncio.ensure_future(store.remove(RoomId("r_1"), ParticipantId("eve"), at=AT, forgotten=None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await store.remove(RoomId("r_1"), ParticipantId("bob"), at=AT + timedelta(1), forgotten=None)
    assert list((await reopened(path))[0].removed) == ["eve", "bob"], "a removal that was begun is carried out"


async def test_the_file_and_those_beside_it_are_their_owners_alone(store: SqlRooms, path: Path) -> None:
    await store.add(room_of(1))
    files = list(path.parent.glob("pysfu.db*"))
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_commit_is_on_the_disk_when_it_is_answered_and_what_is_erased_is_written_over(path: Path) -> None:
    async with Database(path) as database:

        async def look(connection: AsyncConnection) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            return [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in names]

        assert await database.change(look) == ["wal", 2, 1, 1]


def test_a_moment_without_a_time_zone_is_refused_and_others_are_kept_as_utc() -> None:
    kept = UtcDateTime()
    with pytest.raises(ValueError, match="time zone"):
        kept.process_bind_param(AT.replace(tzinfo=None), None)
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    assert kept.process_bind_param(elsewhere, None).isoformat() == AT.isoformat()
    assert kept.process_result_value(AT.replace(tzinfo=None), None) == AT


UNUSABLE = [
    ("nowhere/pysfu.db", "there is no folder"),
    ("folder", "is a folder: name a file in it"),
    ("text", "is not a database"),
]


@pytest.mark.parametrize(("name", "line"), UNUSABLE, ids=[name for name, _ in UNUSABLE])
async def test_a_place_that_cannot_be_used_says_so_in_one_line(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a database, but long enough to be one " * 100)
    before = names_in(tmp_path)
    for use in (opened(tmp_path / name).__aenter__, lambda: examine(tmp_path / name)):
        with pytest.raises(StoreUnusableError) as refused:
            await use()
        assert line in str(refused.value)
        assert str(tmp_path / name) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert names_in(tmp_path) == before


async def test_a_database_that_is_locked_for_long_does_not_open_and_says_so(path: Path) -> None:
    await reopened(path)
    with locked(path), pytest.raises(StoreUnusableError, match="another program keeps it locked"):
        await Database(path, lock_limit_s=0).__aenter__()
