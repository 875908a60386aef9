"""What the media process says, as the end hears it that controls it."""

from __future__ import annotations

import socket
from datetime import timedelta

import msgspec
import pytest

from pysfu import Config, _remote, messages
from pysfu._remote import EngineLostError, RemoteCore
from pysfu.errors import StartError

WELCOME = messages.Welcome(
    resumed=False,
    as_configured=True,
    instance=1,
    first_request=1,
    addresses=[["127.0.0.1:7882"]],
    warnings=[],
    dropped=messages.Dropped(user=False, files=False),
    counters=[],
    notes=0,
)


MAX_PEERS, MAX_SUBSCRIPTIONS_PER_PEER, MAX_TRACKS, MAX_EDGES = 16_384, 50, 32_768, 1 << 20
"""What an engine holds at most: the table of caps in `sfu_core/README.md`, which a test compares with the code."""


def frame(kind: int, payload: bytes) -> bytes:
    return _remote._HEADER.pack(len(payload), kind, 0) + payload


async def test_a_frame_that_cannot_be_read_takes_nothing_with_it(caplog: pytest.LogCaptureFixture) -> None:
    media, ours = socket.socketpair()
    with media:
        ours.setblocking(False)
        core = RemoteCore(ours, WELCOME, [], _remote._Frames())
        fault = messages.Fault(kind="request", text="there is no such worker", request=7)
        for said in (
            frame(_remote._OUTGOING, b"first"),
            frame(_remote._COUNTERS, b"\xc1"),
            frame(_remote._FAULT, b"\xc1"),
            frame(_remote._FAULT, msgspec.msgpack.encode(fault)),
            frame(_remote._OUTGOING, b"last"),
        ):
            media.sendall(said)
        first, refused, last = core.drain()
        core.detach()
    assert (first, last) == ((0, b"first"), (0, b"last"))
    assert msgspec.msgpack.decode(refused[1], type=messages.Outgoing) == messages.Refused(id=7, refusal="unavailable")
    assert caplog.text.count("cannot be read") == 2


async def test_a_media_process_that_announces_more_than_a_snapshot_is_lost() -> None:
    media, ours = socket.socketpair()
    with media:
        ours.setblocking(False)
        core = RemoteCore(ours, WELCOME, [], _remote._Frames())
        media.sendall(_remote._HEADER.pack(_remote.MAX_FRAME + 1, _remote._OUTGOING, 0))
        with pytest.raises(EngineLostError, match="announces"):
            core.drain()
        core.detach()


async def test_who_announces_more_than_a_snapshot_instead_of_a_welcome_is_refused() -> None:
    media, ours = socket.socketpair()
    with media:
        ours.setblocking(False)
        media.sendall(_remote._HEADER.pack(_remote.MAX_FRAME + 1, _remote._WELCOME, 0))
        with pytest.raises(StartError, match="no media process"):
            await _remote.connect(ours, Config().to_message(), orphan_limit=timedelta(seconds=1))
    assert ours.fileno() == -1


def test_the_snapshot_of_a_full_engine_fits_into_a_frame() -> None:
    number, name = 2**32 - 1, "x" * 16
    playing = messages.PlayingState(mid=name, track=number, stalled="nothing_arrives")
    peer = messages.PeerState(
        peer=number, room=number, participant=2**64 - 1, state="disconnected", playing=[], relay=2**64 - 1
    )
    track = messages.TrackState(
        track=number,
        peer=number,
        mid=name,
        kind="video",
        source="screen_audio",
        muted=True,
        holds_encodings=True,
        stalled=True,
        allowed=[],
    )
    right = messages.DataState(publisher=number, subscriber=number)
    most = (
        (playing, MAX_PEERS * MAX_SUBSCRIPTIONS_PER_PEER),
        (peer, MAX_PEERS),
        (track, MAX_TRACKS),
        (right, MAX_EDGES),  # longer than a right to a track, which is a number in a list
        (number, MAX_PEERS),  # rosters
    )
    assert sum(len(msgspec.msgpack.encode(each)) * count for each, count in most) < _remote.MAX_FRAME


async def test_a_media_process_that_reads_nothing_is_lost_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote, "MAX_UNSENT", 1 << 20)
    media, ours = socket.socketpair()
    with media:
        ours.setblocking(False)
        core = RemoteCore(ours, WELCOME, [], _remote._Frames())
        note = messages.Note(subject=messages.RoomSubject(room=1), note=b"x" * 1000)
        for _ in range(3_000):  # three times what may wait
            core.note(0, note)
        assert len(core._unsent) < 2 * _remote.MAX_UNSENT
        with pytest.raises(EngineLostError):
            core.drain()
        core.detach()
