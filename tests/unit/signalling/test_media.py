"""What the server asks of pysfu, and how it takes the answers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import fake_pysfu
import pytest

from pysfu.messages import PeerFigures, ReceiveFigures, SendFigures
from signalling.domain.flow import Cause, Still
from signalling.domain.heartbeat import Beat
from signalling.domain.ids import TrackId
from signalling.domain.link import Link
from signalling.figures import DROPS, HISTOGRAMS, Histogram, MediaWarning, WorkerFailed, link_of
from signalling.media import EngineFullError, EngineUnavailableError, InvalidOfferError, MediaError, MediaGoneError
from signalling.media_events import (
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    PeerSaid,
    PictureChosen,
    Resynced,
    RoomGone,
    Speaking,
)
from signalling.pysfu_engine import ProcessSettings, PysfuEngine
from signalling.pysfu_transport import PysfuTransport


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PysfuEngine]:
    monkeypatch.setitem(sys.modules, "pysfu", fake_pysfu)
    async with PysfuEngine(
        host="127.0.0.1",
        port=7882,
        workers=2,
        announced_addresses=["192.0.2.1"],
        room_spread_over=30,
        pin_workers=True,
        max_dtls_version="1.3",
        aead_only=True,
    ) as engine:
        yield engine


def sfu() -> fake_pysfu.Sfu:
    return fake_pysfu.Sfu.made[-1]


async def test_the_configuration_reaches_the_engine(engine: PysfuEngine) -> None:
    assert sfu().config == fake_pysfu.Config(
        bind=("127.0.0.1",),
        port=7882,
        workers=2,
        room_spread_over=30,
        pin=True,
        announce=("192.0.2.1",),
        max_dtls_version="1.3",
        aead_only=True,
    )


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_all_addresses_of_one_family_mean_those_of_the_other_too_for_media(everywhere: str) -> None:
    engine = PysfuEngine(host=everywhere, port=7882, workers=1, announced_addresses=[])
    assert engine._bind == ("0.0.0.0", "::")


async def test_what_clients_are_told_is_what_every_worker_announces(engine: PysfuEngine) -> None:
    assert engine.addresses == ["192.0.2.1:7882", "192.0.2.1:7883"]


async def test_tracks_go_from_publisher_to_subscriber_as_the_engine_gave_them(engine: PysfuEngine) -> None:
    room = await engine.create_room(avoid=())
    alice, bob = await room.add_participant(avoid=()), await room.add_participant(avoid=[1])
    assert sfu().rooms[0].avoided == {1}
    published = await alice.answer("v=0", publish=("audio", "video"), play=())
    assert [(track.id, track.kind) for track in published.tracks] == [("track-7", "audio"), ("track-8", "video")]
    played = await bob.answer("v=0", publish=(), play=published.tracks)
    for track in published.tracks:
        await bob.allow(track)
    assert (published.sdp, played.sdp) == ("answer to v=0, from 1200000", "answer to v=0, from None")
    assert [track.id for track in sfu().rooms[0].participants[1].allowed] == ["track-7", "track-8"]
    assert await played.restart("v=0 again") == "restarted v=0 again"
    assert [track.kind for track in (await bob.answer("v=0", publish=("video",), play=())).tracks] == ["video"]


async def test_events_that_concern_the_server_are_translated(engine: PysfuEngine) -> None:
    states = {
        "participant-4": [],
        "participant-5": ["connected", "new"],
        "participant-6": ["failed"],
        "participant-7": ["connected", "closed"],
    }
    people = [
        fake_pysfu.Participant(name, [SimpleNamespace(state=state) for state in theirs])
        for name, theirs in states.items()
    ]
    sfu().rooms.append(fake_pysfu.Room("room-0", people))
    assert [event async for event in engine.events()] == [
        PeerConnected(peer="participant-1", srtp_profile="AEAD_AES_256_GCM", dtls_version="1.2"),
        PeerGone(peer="participant-2", reason="ice"),
        PeerGone(peer="participant-3", reason="closed"),
        Speaking(media_room="room-4", peers=(("participant-1", 30),)),
        PictureChosen(peer="participant-7", track="track-8", encoding=None),
        PeerSaid(peer="participant-8", label="l", payload=b"p"),
        RoomGone(media_room="room-4"),
        PeerReconnected(peer="participant-5"),
        WorkerFailed(worker=1),
        MediaWarning(code="receive_failed", worker=1, figures={"errno": 5}),
        Resynced(media_rooms=frozenset({"room-0"}), peers=frozenset({"participant-4", "participant-5"})),
        EngineLost(reason="it has ended", pause=timedelta(0)),
        EngineNotStarted(reason="no", pause=timedelta(seconds=1)),
        EngineRestarted(cause="was ended by signal 9"),
        EngineTakenOver(),
    ]
    every_kind = set(get_args(fake_pysfu.events.Event))
    assert {type(event) for event in fake_pysfu.EVENTS} == every_kind


async def test_figures_are_those_of_the_engine(engine: PysfuEngine) -> None:
    figures = await engine.figures()
    assert (figures.rooms, figures.connected_peers, figures.counters["panics"]) == (3, 3, 3)
    assert figures.drops == dict.fromkeys(DROPS, 18)
    handed_over = {"forward_s": Histogram(bounds=(0.1,), counts=(8, 0), sum=0.5)}
    assert (
        figures.histograms == dict.fromkeys(HISTOGRAMS, Histogram(bounds=(0.1,), counts=(3, 2), sum=1.0)) | handed_over
    )
    assert (len(figures.rims), figures.silent) == (2, ())


def test_a_connection_tells_how_well_packets_of_all_encodings_got_through() -> None:
    def received(mid: str, encoding: int, packets: int, lost: int) -> ReceiveFigures:
        return ReceiveFigures(
            mid=mid, encoding=encoding, packets=packets, bytes=0, lost=lost, jitter_s=0.0, bitrate_bps=0
        )

    def sent(mid: str, packets: int, retransmitted: int, encoding: int | None, loss: float = 0.0) -> SendFigures:
        return SendFigures(mid=mid, packets=packets, bytes=0, retransmitted=retransmitted, loss=loss, encoding=encoding)

    counted = PeerFigures(
        connected=True,
        rtt_s=0.25,
        estimate_bps=0,
        send_queue_s=0.0,
        receive=[received("1", 0, 5, -1), received("1", 1, 7, 2)],
        send=[sent("2", 9, 4, None, 0.25), sent("3", 1, 0, 0, 0.5), sent("4", 0, 0, None)],
    )
    assert link_of(counted) == Link(came=12, lost=2, loss_out=0.5, rtt=timedelta(seconds=0.25))


def test_a_connection_tells_what_does_not_come_and_what_does_not_go_on() -> None:
    sound, picture = fake_pysfu.PUBLISHED
    inner = fake_pysfu.Transport("", [replace(sound, stalled=True), picture])
    inner.playing = {"2": replace(picture, stalled_at={inner: "paused"}), "3": sound}
    assert PysfuTransport(inner).still == [
        Still(track=TrackId("track-7"), kind="audio", cause=Cause.NOTHING_ARRIVES, is_own=True),
        Still(track=TrackId("track-8"), kind="video", cause=Cause.PAUSED),
    ]


async def test_a_connection_that_has_gone_tells_nothing_any_more(engine: PysfuEngine) -> None:
    room = await engine.create_room(avoid=())
    alice = await room.add_participant(avoid=())
    transport = await alice.answer("v=0", publish=("audio",), play=())
    with pytest.raises(MediaGoneError):
        await transport.link()


async def test_what_is_there_because_rooms_are_on_several_workers_counts_as_nobody(engine: PysfuEngine) -> None:
    before = await engine.figures()
    sfu().further_rooms = sfu().relays = 1
    figures = await engine.figures()
    assert (figures.rooms, figures.peers, figures.edges) == (before.rooms - 1, before.peers - 2, before.edges - 1)
    assert figures.connected_peers == before.connected_peers - 2


async def test_what_a_worker_has_counted_stays_counted_when_it_no_longer_answers(engine: PysfuEngine) -> None:
    await engine.figures()
    sfu().answers[1] = None
    figures = await engine.figures()
    assert (figures.rooms, figures.counters["panics"], figures.silent) == (1, 3, (1,))
    assert len(figures.rims) == 2


async def test_the_workers_beats_and_the_first_warnings_are_values(engine: PysfuEngine) -> None:
    assert engine.beats() == [Beat(turns=6), Beat(turns=7, failed=True)]
    assert engine.warnings == [MediaWarning(code="no_segmentation")]


async def test_refusals_of_the_engine_are_told_apart(engine: PysfuEngine) -> None:
    room = await engine.create_room(avoid=())
    alice = await room.add_participant(avoid=())
    with pytest.raises(InvalidOfferError, match="line 1 is not v=0"):
        await alice.answer("nonsense", publish=("audio",), play=())
    sfu().rooms[0].full = True
    with pytest.raises(EngineFullError):
        await room.add_participant(avoid=())
    sfu().open = False
    with pytest.raises(EngineUnavailableError):
        await engine.create_room(avoid=())


async def test_a_code_nobody_expected_is_still_an_error_of_the_engine(
    engine: PysfuEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(_: object, **__: object) -> None:
        raise fake_pysfu.PysfuError("odd")

    monkeypatch.setattr(fake_pysfu.Sfu, "stats", odd)
    with pytest.raises(MediaError):
        await engine.figures()


def in_a_process(*, spawn: bool, control_socket: Path | None = None) -> PysfuEngine:
    process = ProcessSettings(
        control_socket=control_socket, spawn=spawn, orphan_limit=timedelta(minutes=3), user="nobody"
    )
    return PysfuEngine(host="127.0.0.1", port=7882, workers=1, announced_addresses=[], process=process)


@pytest.mark.parametrize("spawn", [True, False], ids=["own", "external"])
async def test_a_media_process_that_is_not_ours_to_end_goes_on_when_the_engine_is_closed(
    monkeypatch: pytest.MonkeyPatch, spawn: bool
) -> None:
    monkeypatch.setitem(sys.modules, "pysfu", fake_pysfu)
    async with in_a_process(spawn=spawn, control_socket=Path("/run/media.sock")) as engine:
        assert engine.goes_on is not spawn
        asked = fake_pysfu.MediaProcess(
            socket=Path("/run/media.sock"), spawn=spawn, orphan_limit=timedelta(minutes=3), user="nobody"
        )
        assert sfu().process == asked
    assert (sfu().detached, sfu().open) == (not spawn, False)


async def test_an_engine_in_this_process_ends_with_it(engine: PysfuEngine) -> None:
    assert not engine.goes_on
    assert sfu().process is None
    assert (engine.resumed_rooms(), engine.ended_rooms()) == ([], ())


async def test_the_usual_place_of_a_media_process_depends_on_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysfu", fake_pysfu)
    async with in_a_process(spawn=True):
        assert sfu().process is not None
        assert sfu().process.socket.name == "media-7882.sock"


async def test_what_was_there_before_this_server_is_told_with_its_notes(engine: PysfuEngine) -> None:
    def transport(state: str) -> SimpleNamespace:
        return SimpleNamespace(sdp=f"answer of {state}", tracks=list(fake_pysfu.PUBLISHED), state=state)

    states = ("connecting", "connected", "disconnected", "failed", "closed")
    people = [
        fake_pysfu.Participant(f"participant-{state}", [transport(state)], note=state.encode()) for state in states
    ]
    people.append(fake_pysfu.Participant("participant-two", [transport("connected"), transport("failed")], note=b"two"))
    sfu().rooms.append(fake_pysfu.Room("room-7", people, worker=1, note=b"room"))
    sfu().ended_rooms = (b"gone",)
    (room,) = engine.resumed_rooms()
    assert (room.room.id, room.room.worker, room.note) == ("room-7", 1, b"room")
    *one_each, two = room.peers
    assert [(peer.peer.id, peer.note.decode(), [each.sdp for each in peer.transports]) for peer in one_each] == [
        (f"participant-{state}", state, [f"answer of {state}"]) for state in states
    ]
    assert [peer.has_ended for peer in one_each] == [False, False, False, True, True]
    assert [each.sdp for each in two.transports] == ["answer of connected", "answer of failed"]
    assert two.has_ended, "what is told of one is told of all"
    assert [track.id for track in room.peers[0].transports[0].tracks] == ["track-7", "track-8"]
    assert engine.ended_rooms() == (b"gone",)


async def test_a_note_that_is_too_long_leaves_none_rather_than_an_older_one(
    engine: PysfuEngine, logged: io.StringIO
) -> None:
    room = await engine.create_room(avoid=())
    alice = await room.add_participant(avoid=())
    for kept, asked in ((room, sfu().rooms[0]), (alice, sfu().rooms[0].participants[0])):
        kept.keep(b"short")
        assert asked.note == b"short"
        kept.keep(b"too long to be kept")
        assert asked.note == b""
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["event"], line["error"]) for line in lines] == [
        ("does not outlive this server", "a note has at most 9 bytes")
    ] * 2
