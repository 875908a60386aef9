"""Packets that were shuffled, repeated, lost and made up, put back into order and made into pictures and sounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysfu.rtp import h264, picture, vp8, vp9, window
from pysfu.rtp.fragment import Fragment
from pysfu.rtp.packet import Packet
from pysfu.rtp.picture import PictureAssembler
from pysfu.rtp.sound import Sound, SoundAssembler
from pysfu.rtp.window import Arrival, ReorderWindow

HOLD_S = 0.25
KEYFRAME_EVERY = 5
Cut = Callable[[int, bool], list[bytes]]


def body(number: int, head: bytes) -> bytes:
    """Pictures of different lengths, none of them alike, without start codes inside."""
    return head + b"%06d" % number * (1 + number % 7 * 100)


def cut_vp8(number: int, keyframe: bool) -> list[bytes]:
    return vp8.packetize(body(number, b"\x10" if keyframe else b"\x11"))


def cut_vp9(number: int, keyframe: bool) -> list[bytes]:
    return vp9.Packetizer(number).packetize(body(number, b"\x82"), keyframe=keyframe, width=64, height=64)


def cut_h264(number: int, keyframe: bool) -> list[bytes]:
    start = b"\0\0\0\1"
    parameters = start + b"\x67\x42\xc0\x1f" + start + b"\x68\xce" if keyframe else b""
    return h264.packetize(parameters + start + body(number, b"\x65\x88" if keyframe else b"\x41\x9a"))


FORMATS = [(cut_vp8, vp8.depacketize), (cut_vp9, vp9.depacketize), (cut_h264, h264.depacketize)]
each_format = pytest.mark.parametrize(("cut", "depacketize"), FORMATS)


def stream(cut: Cut, pictures: int, *, sequence: int, timestamp: int) -> list[tuple[int, Packet]]:
    """Packets, each with the number of its picture."""
    packets = []
    for number in range(pictures):
        payloads = cut(number, number % KEYFRAME_EVERY == 0)
        for index, payload in enumerate(payloads, 1):
            at = (timestamp + 3_000 * number) & 0xFFFFFFFF
            packets.append((number, Packet(sequence & 0xFFFF, at, index == len(payloads), 96, 7, payload)))
            sequence += 1
    return packets


def whole(cut: Cut, depacketize: Callable[[bytes], Fragment], number: int) -> bytes:
    return b"".join(depacketize(payload).data for payload in cut(number, number % KEYFRAME_EVERY == 0))


@each_format
@given(data=st.data(), sequence=st.integers(0, 65_535), timestamp=st.integers(0, 2**32 - 1))
def test_no_picture_is_shown_that_lacks_something_and_every_other_is(
    cut: Cut, depacketize: Callable[[bytes], Fragment], data: st.DataObject, sequence: int, timestamp: int
) -> None:
    sent = stream(cut, 12, sequence=sequence, timestamp=timestamp)
    lost = data.draw(st.sets(st.integers(1, len(sent) - 2), max_size=4))  # not the ends: nobody could know
    order = [index for index in range(len(sent)) if index not in lost]
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(1, len(order) - 2))
        order[at], order[at + 1] = order[at + 1], order[at]
    for _ in range(data.draw(st.integers(0, 3))):
        order.insert(data.draw(st.integers(1, len(order))), order[data.draw(st.integers(0, len(order) - 1))])

    reorder, assembler = ReorderWindow(HOLD_S), PictureAssembler(depacketize)
    arrivals = [arrival for index in order for arrival in reorder.push(sent[index][1], 0.0)] + reorder.expire(HOLD_S)
    seen = [each for arrival in arrivals for each in assembler.push(arrival)]

    damaged = {sent[index][0] for index in lost}
    decodable, expected = True, []
    for number in range(12):
        decodable = number not in damaged and (decodable or number % KEYFRAME_EVERY == 0)
        if decodable:
            expected.append((number, whole(cut, depacketize, number)))
    first = expected[0][0] if expected else 0  # its time is 0
    assert [(first + each.ticks // 3_000, b"".join(each.frames)) for each in seen] == expected
    assert assembler.waiting == (not decodable)


@each_format
@given(data=st.data())
def test_no_bytes_raise_or_grow(cut: Cut, depacketize: Callable[[bytes], Fragment], data: st.DataObject) -> None:
    packets = st.builds(
        Packet,
        sequence_number=st.integers(0, 65_535),
        timestamp=st.sampled_from([0, 3_000, 2**32 - 1]),
        marker=st.booleans(),
        payload_type=st.just(96),
        ssrc=st.just(7),
        payload=st.binary(max_size=40) | st.builds(lambda n, key: cut(n, key)[0], st.integers(0, 20), st.booleans()),
    )
    reorder, assembler = ReorderWindow(HOLD_S), PictureAssembler(depacketize)
    for index, packet in enumerate(data.draw(st.lists(packets, max_size=40))):
        for arrival in reorder.push(packet, 0.1 * index) + reorder.expire(0.1 * index):
            assembler.push(arrival)
        assert len(reorder._held) <= window.MAX_HELD
        assert len(assembler._frames) <= picture.MAX_LAYERS


def test_what_never_ends_is_dropped_at_the_cap() -> None:
    assembler = PictureAssembler(h264.depacketize)
    assembler.push(Arrival(Packet(0, 0, False, 102, 7, b"\x7c\x85\x88" + bytes(1_000)), after_loss=False))
    fragment = Packet(0, 0, False, 102, 7, b"\x7c\x05" + bytes(1_000))
    for _ in range(2_000):
        assert assembler.push(Arrival(fragment, after_loss=False)) == []
        assert sum(map(len, assembler._frames)) <= picture.MAX_PICTURE
    assert assembler.waiting


def test_more_layers_than_vp9_can_number_are_dropped() -> None:
    assembler = PictureAssembler(vp9.depacketize)
    for spatial in [0, *[1] * 9]:
        assembler.push(Arrival(Packet(0, 0, False, 98, 7, bytes([0x28, spatial << 1, 0, 0x82])), after_loss=False))
    assert (assembler.waiting, assembler._frames) == (True, [])


def test_the_frames_of_spatial_layers_are_one_picture() -> None:
    assembler = PictureAssembler(vp9.depacketize)
    lower, upper = Packet(0, 9, False, 98, 7, b"\x28\x00\x00low"), Packet(1, 9, True, 98, 7, b"\x68\x02\x00up")
    assert assembler.push(Arrival(lower, after_loss=False)) == []
    assert assembler.push(Arrival(upper, after_loss=False)) == [picture.Picture(0, (b"low", b"up"))]


def test_a_picture_without_a_marker_ends_where_the_next_begins() -> None:
    assembler = PictureAssembler(vp8.depacketize)
    assert assembler.push(Arrival(Packet(0, 0, False, 96, 7, b"\x10\x00one"), after_loss=False)) == []
    (ended,) = assembler.push(Arrival(Packet(1, 3_000, False, 96, 7, b"\x10\x01two"), after_loss=False))
    assert ended == picture.Picture(0, (b"\x00one",))


def packet(number: int, timestamp: int = 0, payload: bytes = b"x") -> Packet:
    return Packet(number & 0xFFFF, timestamp, False, 111, 7, payload)


def numbers(arrivals: list[Arrival]) -> list[tuple[int, bool]]:
    return [(arrival.packet.sequence_number, arrival.after_loss) for arrival in arrivals]


def test_an_early_packet_waits_but_not_long() -> None:
    reorder = ReorderWindow(HOLD_S)
    assert numbers(reorder.push(packet(65_534), 0.0)) == [(65_534, False)]
    assert reorder.due_s is None
    assert reorder.push(packet(0), 1.0) == []
    assert reorder.push(packet(2), 1.1) == []
    assert (reorder.due_s, reorder.expire(1.2)) == (1.25, [])
    assert numbers(reorder.expire(1.25)) == [(0, True)]
    assert reorder.push(packet(65_535), 1.26) == [], "too late"
    assert numbers(reorder.push(packet(1), 1.3)) == [(1, False), (2, False)]
    assert reorder.due_s is None


def test_what_is_held_can_be_dropped_and_what_comes_next_comes_after_a_loss() -> None:
    reorder = ReorderWindow(HOLD_S)
    reorder.push(packet(1), 0.0)
    reorder.push(packet(3), 0.0)
    reorder.discard()
    assert (reorder.due_s, reorder.expire(9.0)) == (None, [])
    assert numbers(reorder.push(packet(7), 9.0)) == [(7, True)]
    assert numbers(reorder.push(packet(8), 9.0)) == [(8, False)]


def test_no_more_packets_wait_than_the_cap() -> None:
    reorder = ReorderWindow(HOLD_S)
    reorder.push(packet(0), 0.0)
    arrivals = [each for number in range(2, 1_000) for each in reorder.push(packet(number), 0.0)]
    assert len(reorder._held) <= window.MAX_HELD
    assert numbers(arrivals)[0] == (2, True)


def test_a_numbering_that_jumps_back_goes_on_from_there() -> None:
    reorder = ReorderWindow(HOLD_S)
    reorder.push(packet(20_000), 0.0)
    reorder.push(packet(20_002), 0.0)
    assert numbers(reorder.push(packet(5), 0.0)) == [(20_002, True), (5, True)]
    assert numbers(reorder.push(packet(6), 0.0)) == [(6, False)]


@given(st.permutations(range(12)), st.integers(0, 65_535))
def test_packets_in_any_order_come_out_in_theirs(order: list[int], start: int) -> None:
    reorder = ReorderWindow(HOLD_S)
    arrivals = reorder.push(packet(start - 1), 0.0)
    for index in order:
        arrivals += reorder.push(packet(start + index), 0.0)
    assert numbers(arrivals) == [((start + index) & 0xFFFF, False) for index in range(-1, 12)]


def redundant(data: bytes, *earlier: bytes) -> bytes:
    """What Chromium makes: one block each 20 ms before."""
    heads = b"".join(
        (0xEF << 24 | 960 * (len(earlier) - index) << 10 | len(block)).to_bytes(4, "big")
        for index, block in enumerate(earlier)
    )
    return heads + b"\x6f" + b"".join(earlier) + data


@given(st.sets(st.integers(1, 29)), st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_of_redundant_audio_only_what_no_packet_brought_is_missing(lost: set[int], start: int, distance: int) -> None:
    assembler = SoundAssembler()
    sounds = []
    for number in range(30):
        if number not in lost:
            earlier = [b"%d" % each for each in range(max(0, number - distance), number)]
            payload = redundant(b"%d" % number, *earlier)
            sounds += assembler.push(packet(number, (start + 960 * number) & 0xFFFFFFFF, payload), redundant=True)
    carried = {n for n in lost if any(m not in lost for m in range(n + 1, min(n + distance, 29) + 1))}
    assert sounds == [Sound(960 * n, b"%d" % n) for n in range(30) if n not in lost - carried]


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_no_sound_is_made_of_what_is_none(payloads: list[bytes]) -> None:
    assembler = SoundAssembler()
    for number, payload in enumerate(payloads):
        assembler.push(packet(number, number * 960, payload), redundant=True)
