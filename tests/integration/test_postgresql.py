"""The SQL of the store is PostgreSQL's, too: on a real server, which is there for as long as these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from callers import HANG_S
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from signalling.domain.grants import Source
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import Rights
from signalling.domain.room import Room, RoomPolicy
from signalling.faults import RefusedError
from signalling.store import opening, seen
from signalling.store.db import Database
from signalling.store.migrating import migrate
from signalling.store.rooms import SqlRooms
from signalling.store.tables import metadata

AT = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
NOBODY = 65_534
ANNA, BELA, EVE = (ParticipantId(name) for name in ("anna", "bela", "eve"))
MUTED = Rights(can_publish=False, can_subscribe=True, since=AT)


@pytest.fixture(scope="module")
def socket_folder() -> Iterator[Path]:
    """Where a server of PostgreSQL listens that has nothing in it. It refuses to run as root."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    as_other = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        as_other += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    made = ["--pgdata", folder / "data", "--username", "pysfu", "--auth", "trust", "--encoding", "UTF8", "--no-sync"]
    subprocess.run([*as_other, programs / "initdb", *made], check=True, cwd=folder, capture_output=True)
    serves = ["-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*as_other, programs / "postgres", *serves], cwd=folder, stderr=log)
    try:
        deadline = time.monotonic() + HANG_S
        while subprocess.run([programs / "pg_isready", "-q", "-h", folder, "-U", "pysfu"]).returncode != 0:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "it does not start"
        yield folder
    finally:
        server.terminate()
        server.wait(HANG_S)
        shutil.rmtree(folder)


@pytest.fixture
async def database(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """An empty one, brought to what the code needs."""
    host = {"host": str(socket_folder)}
    url = URL.create("postgresql+asyncpg", username="pysfu", database="postgres", query=host)

    async def open_engine(*_: object, **__: object) -> AsyncEngine:
        engine = create_async_engine(url, pool_size=1, max_overflow=0)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
            assert await connection.run_sync(migrate) is None
        return engine

    async def empty_log(_: AsyncEngine) -> None:
        """Does nothing: that is SQLite's."""

    monkeypatch.setattr(opening, "open_engine", open_engine)
    monkeypatch.setattr(opening, "empty_log", empty_log)
    async with Database(Path("unused")) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> SqlRooms:
    return SqlRooms(database)


def room_of(number: int, *, name: str | None = None) -> Room:
    policy = RoomPolicy(max_participants=3)
    return Room(room=RoomId(f"r_{number}"), name=name, created_at=AT + timedelta(seconds=number), policy=policy)


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async def work(connection: AsyncConnection) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await connection.execute(text(query))]

    return await database.change(work)


async def test_the_steps_make_there_the_tables_that_the_code_uses(database: Database) -> None:
    def differences(connection: AsyncConnection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})  # type: ignore[arg-type]
        return list(compare_metadata(context, metadata))

    async def work(connection: AsyncConnection) -> list[object]:
        return await connection.run_sync(differences)  # type: ignore[arg-type]

    assert await database.change(work) == []


async def test_rooms_are_read_there_as_they_were_written(store: SqlRooms) -> None:
    longest = replace(room_of(1, name="n" * MAX_ID_LENGTH), room=RoomId("r" * MAX_ID_LENGTH), metadata="å" * 1_000)
    assert (await store.load()).is_new
    await store.take_into_use()
    await store.take_into_use()
    await store.add(longest)
    await store.add(room_of(0))
    await store.describe(RoomId("r_0"), "bed 2")
    stored = await store.load()
    assert not stored.is_new
    assert list(stored.rooms) == [replace(room_of(0), metadata="bed 2"), longest]


async def test_who_was_removed_there_and_whose_rights_were_changed_is_read_in_order(store: SqlRooms) -> None:
    await store.add(room_of(1))
    for at, participant in enumerate((BELA, ANNA, EVE, BELA)):
        await store.remove(RoomId("r_1"), participant, at=AT + timedelta(at), forgotten=None)
    await store.remove(RoomId("r_1"), ANNA, at=AT + timedelta(5), forgotten=EVE)
    narrowed = replace(MUTED, can_publish=True, sources=frozenset(Source), since=AT + timedelta(1))
    for participant, rights in ((EVE, MUTED), (ANNA, MUTED), (ANNA, narrowed)):
        await store.grant(RoomId("r_1"), participant, rights, forgotten=())
    await store.grant(RoomId("r_1"), BELA, MUTED, forgotten=[EVE])
    (room,) = (await store.load()).rooms
    assert list(room.removed) == [BELA, ANNA]
    assert room.rights == {ANNA: narrowed, BELA: MUTED}


async def test_nothing_is_written_there_of_a_room_that_is_gone_and_all_goes_with_it(
    store: SqlRooms, database: Database
) -> None:
    await store.add(room_of(1))
    for _ in range(2):
        await store.remove(RoomId("r_1"), EVE, at=AT, forgotten=None)
        await store.grant(RoomId("r_1"), EVE, MUTED, forgotten=())
        store.see(RoomId("r_1"), ANNA, at=AT)
        await store.settle()
        await store.delete(RoomId("r_1"))
        for table in ("rooms", "participants", "grants"):
            assert await rows(database, f"SELECT * FROM {table}") == []


async def test_a_second_room_of_a_name_is_refused_there(store: SqlRooms) -> None:
    await store.add(room_of(1, name="ward-7"))
    with pytest.raises(RefusedError) as refused:
        await store.add(room_of(2, name="ward-7"))
    assert refused.value.refusal is Refusal.NAME_TAKEN
    assert [room.room for room in (await store.load()).rooms] == ["r_1"]


async def test_who_came_in_last_is_kept_there(
    store: SqlRooms, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.add(room_of(1))
    await store.remove(RoomId("r_1"), EVE, at=AT, forgotten=None)
    for number in range(seen.MAX_KEPT + 2):
        store.see(RoomId("r_1"), ParticipantId(f"p{number}"), at=AT + timedelta(seconds=number))
    await store.settle()
    store.see(RoomId("r_1"), EVE, at=AT + timedelta(1))
    await store.settle()
    kept = {identity for (identity,) in await rows(database, "SELECT identity FROM participants")}
    assert len(kept) == seen.MAX_KEPT + 1
    assert {"eve", "p2"} <= kept
    assert await rows(database, "SELECT last_seen_at, removed_at FROM participants WHERE identity = 'eve'") == [
        (AT + timedelta(1), AT)
    ]
