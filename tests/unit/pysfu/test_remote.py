"""What the media process says, as the end hears it that controls it."""

from __future__ import annotations

import socket

import msgspec
import pytest

from pysfu import _remote, messages
from pysfu._remote import RemoteCore

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
