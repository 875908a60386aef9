"""What does not flow is told to whoever holds the connection, counted, and written of nobody."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator

from conftest import SDP, Bench
from fake_engine import FakePeer
from offers import offer

from signalling.domain.flow import LOOK_EVERY, Cause, Still
from signalling.domain.ids import ResourceId, RoomId, TrackId
from signalling.http import events
from signalling.http.parts import Parts
from signalling.notices import Watch


def lacks(peer: FakePeer, *kinds: str, of: FakePeer | None = None, cause: Cause = Cause.NOTHING_ARRIVES) -> None:
    """Has the engine say that these kinds of a peer's tracks, or of those of another that it plays, do not flow."""
    lacking = [track for track in (of or peer).tracks if track.kind in kinds]
    peer.still = [Still(track=TrackId(track.id), kind=track.kind, cause=cause, is_own=of is None) for track in lacking]


async def look(bench: Bench) -> None:
    bench.clock.go(seconds=LOOK_EVERY.total_seconds())
    bench.parts.metrics.on_look(bench.parts.rooms.flowing.look())


def watch(bench: Bench, room: str, location: str) -> Watch:
    return bench.parts.rooms.connection(RoomId(room), ResourceId(location.rsplit("/", 1)[1])).watch


async def shown(bench: Bench, name: str) -> Iterator[str]:
    async with bench.http(peer="127.0.0.1") as http:
        text = (await http.get("/metrics")).text
    return (line for line in text.splitlines() if line.startswith(name) and not line.endswith(" 0.0"))


async def test_both_ends_are_told_what_does_not_come_and_it_is_counted_once(bench: Bench, logged: io.StringIO) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        published = watch(bench, room, (await bench.publish(room, alice)).headers["location"])
        played = watch(bench, room, (await bench.play(room, bob, "alice")).headers["location"])
    source, viewer = bench.engine.peers()
    lacks(source, "video")
    lacks(viewer, "video", of=source)
    for _ in range(3):
        await look(bench)
    assert published.stalled == played.stalled == {"video": Cause.NOTHING_ARRIVES}
    assert list(await shown(bench, "sfu_media_")) == [
        'sfu_media_stalled{cause="nothing_arrives",kind="video"} 1.0',
        'sfu_media_stalls_total{cause="nothing_arrives",kind="video"} 1.0',
    ]
    source.still = viewer.still = []
    await look(bench)
    assert published.stalled == played.stalled == {}
    assert 'sfu_media_interruption_seconds_count{cause="nothing_arrives"} 1.0' in list(await shown(bench, "sfu_media_"))
    assert "stall" not in logged.getvalue(), "what a remote or its network does is no line of the log"


async def test_what_comes_and_is_not_forwarded_is_our_fault_and_in_the_log(bench: Bench, logged: io.StringIO) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        await bench.play(room, bob, "alice")
    source, viewer = bench.engine.peers()
    lacks(viewer, "audio", "video", of=source, cause=Cause.NOT_FORWARDED)
    for _ in range(3):
        await look(bench)
    said = [json.loads(line) for line in logged.getvalue().splitlines()]
    (line,) = [line for line in said if line["event"] == "media arrives and is not forwarded: please report it"]
    assert (line["level"], line["count"]) == ("error", 2)


async def test_what_has_ended_is_not_told_anything_and_stands_no_more(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        await bench.publish(room, alice)
    lacks(bench.engine.peers()[0], "audio")
    await look(bench)
    await bench.parts.rooms.delete(RoomId(room))
    assert bench.parts.rooms.flowing.look().standing == {}


async def told_by(parts: Parts, seen: Watch, wanted: list[str]) -> list[str]:
    """Returns what is told until the connection ends."""
    return [part.decode() async for part in events._stream(parts, seen, wanted) if part != b":\n\n"]


async def test_only_the_latest_is_told_and_only_to_whom_chose_it(bench: Bench) -> None:
    seen = Watch()
    listening = asyncio.ensure_future(told_by(bench.parts, seen, ["media"]))
    await bench.settle()
    seen.stall({"video": Cause.PAUSED})
    await bench.settle()
    seen.stall({"video": Cause.NOTHING_ARRIVES, "audio": Cause.NOTHING_ARRIVES})
    seen.stall({})
    await bench.settle()
    seen.end(None)
    assert await listening == [
        'event: media\ndata: {"stalled": {"video": "paused"}}\n\n',
        'event: media\ndata: {"stalled": {}}\n\n',
    ]
    other = Watch()
    deaf = asyncio.ensure_future(told_by(bench.parts, other, ["ended", "reconnect"]))
    await bench.settle()
    other.stall({"audio": Cause.NOTHING_ARRIVES})
    await bench.settle()
    other.end(None)
    assert await deaf == []


async def test_who_begins_to_listen_late_hears_what_stalls_then(bench: Bench) -> None:
    seen = Watch()
    seen.stall({"audio": Cause.NOT_FORWARDED})
    listening = asyncio.ensure_future(told_by(bench.parts, seen, ["media"]))
    await bench.settle()
    seen.end(None)
    assert await listening == ['event: media\ndata: {"stalled": {"audio": "not_forwarded"}}\n\n']


async def test_how_often_tracks_are_played_counts_by_kind(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        await alice.post(f"/whip/{room}", content=offer(), headers=SDP)
        for name in ("bob", "eve"):
            async with await bench.participant(room, name) as http:
                assert (await bench.play(room, http, "alice")).status_code == 201
    census = bench.parts.rooms.census
    assert [(census.tracks(kind), census.played(kind)) for kind in ("audio", "video")] == [(1, 2), (1, 2)]
