"""What comes in frames of a signal connection."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.rtc import JoinResponse, Ping, SignalRequest, SignalResponse, TrickleRequest

from signalling.rtc.signal import MAX_FRAME_BYTES, SignalFaultError, read, written


def test_a_request_is_read_as_it_was_written() -> None:
    request = SignalRequest(ping_req=Ping(timestamp=7, rtt=20))
    assert read(request.SerializeToString()) == request


@pytest.mark.parametrize(
    ("frame", "code"),
    [("{}", 1003), (b"\xff" * 20, 1007), (bytes(MAX_FRAME_BYTES + 1), 1009)],
    ids=["text", "noise", "too long"],
)
def test_what_is_no_request_ends_the_connection_with_the_code_for_it(frame: str | bytes, code: int) -> None:
    with pytest.raises(SignalFaultError) as refused:
        read(frame)
    assert refused.value.close_code == code


@pytest.mark.parametrize("frame", [b"", b"\x82\x7d\x00"], ids=["nothing", "a message of a newer client"])
def test_what_a_newer_client_may_say_is_no_fault(frame: bytes) -> None:
    assert read(frame) is None


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_they_are_a_request_or_refused(frame: bytes) -> None:
    with contextlib.suppress(SignalFaultError):
        request = read(frame)
        assert request is None or request.WhichOneof("message") is not None


def test_a_fault_quotes_nothing_of_the_frame() -> None:
    told = SignalRequest(trickle=TrickleRequest(candidateInit="192.0.2.77")).SerializeToString()
    with pytest.raises(SignalFaultError) as refused:
        read(told[:-3])
    assert "192.0.2.77" not in str(refused.value)


def test_what_a_client_is_told_is_one_message() -> None:
    response = SignalResponse(join=JoinResponse(server_version="1.9.0"))
    assert SignalResponse.FromString(written(response)) == response
