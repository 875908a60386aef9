"""The steps lead from nothing to the tables, and never back over what a newer version has made."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from files import names_in
from sqlalchemy import create_engine, insert, text

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.rights import Rights
from signalling.domain.room import Room, RoomPolicy
from signalling.store import migrating, tables
from signalling.store.base import StoreUnusableError
from signalling.store.db import Database
from signalling.store.opening import examine
from signalling.store.rooms import opened
from signalling.store.tables import metadata

ROOT = Path(__file__).parents[3]


def test_the_steps_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'pysfu.db'}")
    with engine.begin() as connection:
        assert migrating.migrate(connection) is None
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        assert migrating.migrate(connection) == migrating.REVISIONS[-1], "once is enough"
    engine.dispose()


def test_the_steps_are_those_that_are_known_by_name() -> None:
    steps = ScriptDirectory.from_config(migrating.configuration()).walk_revisions()
    assert [step.revision for step in steps] == list(reversed(migrating.REVISIONS))


def test_a_server_that_has_no_step_to_take_does_without_alembic() -> None:
    loaded = "import sys, signalling.cli; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT).returncode == 0


def test_a_difference_between_the_tables_and_the_steps_would_be_seen(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'pysfu.db'}")
    with engine.begin() as connection:
        migrating.migrate(connection)
        connection.execute(text("ALTER TABLE rooms ADD COLUMN more INTEGER"))
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []
    engine.dispose()


async def test_what_the_first_version_wrote_is_there_after_the_step_and_its_rights_can_be_changed(
    tmp_path: Path,
) -> None:
    at, policy = datetime(2026, 11, 22, tzinfo=UTC), RoomPolicy(max_participants=3)
    old = Room(room=RoomId("r_1"), name="ward-7", created_at=at, policy=policy, metadata="bed 2")
    engine = create_engine(f"sqlite:///{tmp_path / 'pysfu.db'}")
    with engine.begin() as connection:
        config = migrating.configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        row = {"id": old.room, "name": old.name, "created_at": at, "policy": '{"max_participants": 3}'}
        connection.execute(insert(tables.rooms), row | {"metadata": old.metadata})
        row = {"room_id": old.room, "identity": "eve", "removed_at": at}
        connection.execute(insert(tables.participants), row)
    engine.dispose()
    muted = Rights(can_publish=False, can_subscribe=True, since=at)
    async with opened(tmp_path / "pysfu.db") as store:
        await store.grant(old.room, ParticipantId("anna"), muted, forgotten=())
        assert list((await store.load()).rooms) == [replace(old, removed={"eve": None}, rights={"anna": muted})]


async def test_steps_that_break_off_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(connection: object) -> None:
        migrating.migrate(connection)  # type: ignore[arg-type]
        raise StoreUnusableError("broke off")

    monkeypatch.setattr("signalling.store.opening.migrate", break_off)
    with pytest.raises(StoreUnusableError):
        await Database(tmp_path / "pysfu.db").__aenter__()
    with contextlib.closing(sqlite3.connect(tmp_path / "pysfu.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


async def test_a_database_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pysfu.db"
    async with Database(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    for use in (Database(path).__aenter__, lambda: examine(path)):
        with pytest.raises(StoreUnusableError, match=r"newer version of pysfu \(revision 9999; this one knows up to"):
            await use()
    assert path.read_bytes() == before


async def test_the_database_of_another_program_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rooms (colour TEXT)")
    for use in (Database(path).__aenter__, lambda: examine(path)):
        with pytest.raises(StoreUnusableError, match="is the database of another program"):
            await use()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("rooms",)]


async def test_looking_makes_no_file(tmp_path: Path) -> None:
    await examine(tmp_path / "pysfu.db")
    assert names_in(tmp_path) == []
