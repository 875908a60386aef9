"""How good everybody's link is, is asked of the engine for clients of meetings alone, and never waited for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import Bench
from fake_peers import FakePeer

from signalling import linking
from signalling.domain.ids import ResourceId, RoomId
from signalling.domain.link import Link

GOOD = Link(came=100, rtt=timedelta(milliseconds=20))


async def publisher(bench: Bench, *, note: str) -> tuple[linking.Linking, str, str, FakePeer]:
    """Has somebody publish; who leaves such a note is a client of a meeting."""
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        location = (await bench.publish(room, alice)).headers["location"]
    resource = location.rsplit("/", 1)[1]
    bench.parts.rooms.connection(RoomId(room), ResourceId(resource)).client = note
    (peer,) = bench.engine.peers()
    peer.link = GOOD
    return bench.parts.rooms.linking, room, resource, peer


async def test_clients_are_asked_and_who_comes_otherwise_is_not(bench: Bench) -> None:
    links, room, resource, peer = await publisher(bench, note="a client")
    connection = bench.parts.rooms.connection(RoomId(room), ResourceId(resource))
    await links.ask()
    assert (connection.link, peer.asked) == (GOOD, 1)
    connection.client = ""
    await links.ask()
    assert peer.asked == 1


async def test_an_engine_that_gives_no_answer_leaves_what_was_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, room, resource, peer = await publisher(bench, note="a client")
    connection = bench.parts.rooms.connection(RoomId(room), ResourceId(resource))
    await links.ask()
    peer.link, bench.engine.unavailable = Link(), True
    await links.ask()
    assert connection.link == GOOD
    bench.engine.unavailable = False
    monkeypatch.setattr(linking, "FIGURES_TIMEOUT", timedelta(0))
    await links.ask()
    assert connection.link == GOOD, "it was late"


async def test_rooms_on_a_worker_that_hangs_are_not_asked(bench: Bench) -> None:
    links, _, _, peer = await publisher(bench, note="a client")
    bench.parts.rooms._homes.on_worker_failed(0)
    await links.ask()
    assert peer.asked == 0
