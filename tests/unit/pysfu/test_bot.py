"""RTP as bots write and read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysfu.rtp import packet as rtp


def test_a_packet_is_read_as_it_was_written() -> None:
    packet = rtp.Packet(65_535, 2**32 - 1, True, 111, 7, b"payload")
    assert rtp.parse(rtp.write(packet)) == packet


def test_extensions_sources_and_padding_are_taken_off() -> None:
    header = bytes([0x80 | 0x20 | 0x10 | 1, 96]) + bytes(10) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4)
    packet = rtp.parse(header + b"payload" + b"\x00\x00\x03")
    assert packet is not None
    assert packet.payload == b"payload"


@pytest.mark.parametrize(
    "data", [b"", b"\x80" * 11, b"\x40" + bytes(20), b"\x9f" + bytes(11), b"\xa0" + bytes(10) + b"\xff"]
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    assert rtp.parse(data) is None


def test_a_keyframe_is_asked_for_by_pli_alone_or_in_a_compound() -> None:
    report = bytes([0x80, 201, 0, 1, 0, 0, 0, 1])
    pli = bytes([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9])
    remb = bytes([0x8F, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8])
    assert rtp.is_rtcp(report)
    assert not rtp.is_rtcp(rtp.write(rtp.Packet(1, 2, True, 96, 3, b"")))
    assert list(rtp.keyframes_asked_for(report + remb + pli)) == [9]


@given(st.binary(max_size=64))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    rtp.parse(data)
    list(rtp.keyframes_asked_for(b"\x81\xce" + data))


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=20), st.integers(0, 2**32 - 1))
def test_a_clock_counts_on_where_timestamps_wrap(steps: list[int], start: int) -> None:
    clock = rtp.Clock()
    assert clock.ticks(start) == 0
    at = 0
    for step in steps:
        at += step
        assert clock.ticks((start + at) & 0xFFFFFFFF) == at
