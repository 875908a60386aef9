"""RTP as bots write and read it."""

from __future__ import annotations

import pytest

from pysfu import bot


def test_a_packet_is_read_as_it_was_written() -> None:
    packet = bot.Packet(65_535, 2**32 - 1, True, 111, 7, b"payload")
    assert bot.parse(bot._write(packet)) == packet


def test_extensions_sources_and_padding_are_taken_off() -> None:
    header = bytes([0x80 | 0x20 | 0x10 | 1, 96]) + bytes(10) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4)
    packet = bot.parse(header + b"payload" + b"\x00\x00\x03")
    assert packet is not None
    assert packet.payload == b"payload"


@pytest.mark.parametrize(
    "data", [b"", b"\x80" * 11, b"\x40" + bytes(20), b"\x9f" + bytes(11), b"\xa0" + bytes(10) + b"\xff"]
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    assert bot.parse(data) is None


def test_the_vp8_descriptor_is_taken_off() -> None:
    assert bot._strip_vp8(b"\x10frame") == b"frame"
    assert bot._strip_vp8(b"\x90\xe0\x80\x01\x02\x20frame") == b"frame"
    assert bot._strip_vp8(b"\x90\x80\x05frame") == b"frame"
