"""VP8, VP9, H.264 and redundant audio as RTP payloads: what is cut comes back, and whatever else comes is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysfu.errors import InvalidPayloadError
from pysfu.rtp import h264, opus, red, vp8, vp9
from pysfu.rtp.fragment import Fragment
from pysfu.rtp.packet import MAX_PAYLOAD

FORMATS = [vp8.depacketize, vp9.depacketize, h264.depacketize]
# A unit begins with a header and never ends with a zero; start codes do not occur inside (H.264 §7.4.1).
UNITS = st.builds(
    lambda kind, nri, seed, length: bytes([nri << 5 | kind]) + (bytes([seed % 255 + 1]) * length),
    st.sampled_from([1, 5, 6, 7, 8]),
    st.integers(0, 3),
    st.integers(0, 254),
    st.integers(1, 4_000),
)


def test_the_vp8_descriptor_is_taken_off() -> None:
    assert vp8.depacketize(b"\x10\x01frame") == Fragment(
        b"\x01frame", may_begin=True, keyframe=False, surely_begins=True
    )
    assert vp8.depacketize(b"\x90\xe0\x80\x01\x02\x20\x00frame") == Fragment(
        b"\x00frame", may_begin=True, keyframe=True, surely_begins=True
    )
    assert vp8.depacketize(b"\x90\x80\x05\x01") == Fragment(b"\x01", may_begin=True, keyframe=False, surely_begins=True)
    assert vp8.depacketize(b"\x11\x00rest") == Fragment(b"\x00rest", may_begin=False, keyframe=False)
    assert vp8.depacketize(b"\x00\x00rest") == Fragment(b"\x00rest", may_begin=False, keyframe=False)


@pytest.mark.parametrize(
    ("payload", "fragment"),
    [
        ("08 82", Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True)),
        ("88 05 82", Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True)),
        ("88 85 00 82", Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True)),
        ("48 82", Fragment(b"\x82", may_begin=True, keyframe=False, surely_begins=True)),
        ("00 82", Fragment(b"\x82", may_begin=False, keyframe=False)),
        # With layers: TL0PICIDX in non-flexible mode only; the second spatial layer is a frame of the same picture.
        ("a8 05 00 07 82", Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True)),
        ("b8 05 00 82", Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True)),
        ("a8 05 03 07 82", Fragment(b"\x82", may_begin=False, keyframe=False, new_layer=True)),
        # Flexible mode: one, two, three references.
        ("d8 05 02 82", Fragment(b"\x82", may_begin=True, keyframe=False, surely_begins=True)),
        ("d8 05 03 05 06 82", Fragment(b"\x82", may_begin=True, keyframe=False, surely_begins=True)),
        # A structure of two layers with sizes and a group of two pictures, one of them with two references.
        (
            "aa 05 00 07 38 0140 00f0 0280 01e0 02 04 01 08 01 02 82",
            Fragment(b"\x82", may_begin=True, keyframe=True, surely_begins=True),
        ),
    ],
)
def test_the_vp9_descriptor_is_taken_off(payload: str, fragment: Fragment) -> None:
    assert vp9.depacketize(bytes.fromhex(payload)) == fragment


@pytest.mark.parametrize(
    "payload", ["", "08", "88", "88 85 00", "d8 05 03 03 03 82", "aa 05 00 07 38 01", "0a 08 ff 0c 01"]
)
def test_a_vp9_descriptor_that_is_none_is_refused(payload: str) -> None:
    with pytest.raises(InvalidPayloadError):
        vp9.depacketize(bytes.fromhex(payload))


@pytest.mark.parametrize(
    ("payload", "fragment"),
    [
        ("41 9a", Fragment(b"\0\0\0\1\x41\x9a", may_begin=True, keyframe=False)),
        ("65 88", Fragment(b"\0\0\0\1\x65\x88", may_begin=True, keyframe=True)),
        ("65 40", Fragment(b"\0\0\0\1\x65\x40", may_begin=True, keyframe=False)),  # a later slice of the picture
        (
            "78 0002 6742 0001 68",
            Fragment(b"\0\0\0\1\x67\x42\0\0\0\1\x68", may_begin=True, keyframe=True, surely_begins=True),
        ),
        ("7c 85 88 99", Fragment(b"\0\0\0\1\x65\x88\x99", may_begin=True, keyframe=True)),
        ("7c 05 88", Fragment(b"\x88", may_begin=False, keyframe=False)),
        ("7c 45 88", Fragment(b"\x88", may_begin=False, keyframe=False)),
    ],
)
def test_h264_payloads_become_units_with_start_codes(payload: str, fragment: Fragment) -> None:
    assert h264.depacketize(bytes.fromhex(payload)) == fragment


@pytest.mark.parametrize(
    "payload",
    ["", "e5 88", "78", "78 00", "78 0000", "78 0009 67", "7c", "7c 85", "7c c5 88", "7c a5 88", "79 00", "40"],
)
def test_an_h264_payload_that_is_none_is_refused(payload: str) -> None:
    with pytest.raises(InvalidPayloadError):
        h264.depacketize(bytes.fromhex(payload))


@given(st.lists(UNITS, min_size=1, max_size=6))
def test_h264_units_come_back_and_every_payload_fits(units: list[bytes]) -> None:
    access_unit = b"".join(b"\0\0\0\1" + unit for unit in units)
    payloads = h264.packetize(b"\0\0\0\1\x09\xf0" + access_unit)
    assert all(0 < len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert b"".join(h264.depacketize(payload).data for payload in payloads) == access_unit
    assert len(payloads) <= 1 + sum(len(unit) // (MAX_PAYLOAD // 2) + 1 for unit in units)


@given(st.binary(min_size=1, max_size=5_000))
def test_vp8_frames_come_back_and_every_payload_fits(frame: bytes) -> None:
    payloads = vp8.packetize(frame)
    fragments = [vp8.depacketize(payload) for payload in payloads]
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert b"".join(fragment.data for fragment in fragments) == frame
    assert [fragment.may_begin for fragment in fragments] == [True] + [False] * (len(fragments) - 1)
    assert fragments[0].keyframe == (frame[0] & 1 == 0)


@given(st.binary(min_size=1, max_size=5_000), st.booleans())
def test_vp9_frames_come_back_and_every_payload_fits(frame: bytes, keyframe: bool) -> None:
    payloads = vp9.Packetizer(0x7FFF).packetize(frame, keyframe=keyframe, width=640, height=480)
    fragments = [vp9.depacketize(payload) for payload in payloads]
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert b"".join(fragment.data for fragment in fragments) == frame
    assert [fragment.keyframe for fragment in fragments] == [keyframe] + [False] * (len(fragments) - 1)
    assert [bool(payload[0] & 0x04) for payload in payloads] == [False] * (len(payloads) - 1) + [True]


def test_vp9_pictures_are_numbered_and_a_keyframe_tells_the_size() -> None:
    packetizer = vp9.Packetizer(0x7FFE)
    (first,) = packetizer.packetize(b"k", keyframe=True, width=640, height=480)
    (second,) = packetizer.packetize(b"i", keyframe=False, width=640, height=480)
    assert first == bytes.fromhex("ae ffff 00 01 18 0280 01e0 01 04 01") + b"k"
    assert second == bytes.fromhex("ec 8000 00 02") + b"i"


@pytest.mark.parametrize("depacketize", FORMATS)
@given(payload=st.binary(max_size=64))
def test_no_payload_raises_another_error_or_grows(depacketize: Callable[[bytes], Fragment], payload: bytes) -> None:
    try:
        fragment = depacketize(payload)
    except InvalidPayloadError:
        return
    assert len(fragment.data) <= 2 * len(payload) + 4  # start codes in the place of lengths


@given(st.lists(st.tuples(st.integers(0, 2**14 - 1), st.binary(max_size=30)), max_size=red.MAX_REDUNDANT), st.binary())
def test_redundant_blocks_come_back(blocks: list[tuple[int, bytes]], primary: bytes) -> None:
    heads = b"".join((0xEF << 24 | age << 10 | len(data)).to_bytes(4, "big") for age, data in blocks)
    payload = heads + b"\x6f" + b"".join(data for _, data in blocks) + primary
    expected = [red.Block(age, data) for age, data in blocks] + [red.Block(0, primary)]
    assert red.depacketize(payload) == expected


@pytest.mark.parametrize("payload", ["", "ef", "ef 000402", "ef 000402 6f 01", "ef 000400" * 10 + "6f"])
def test_redundant_audio_that_is_none_is_refused(payload: str) -> None:
    with pytest.raises(InvalidPayloadError):
        red.depacketize(bytes.fromhex(payload))


@given(st.binary(max_size=64))
def test_no_redundant_audio_raises_another_error_or_grows(payload: bytes) -> None:
    try:
        blocks = red.depacketize(payload)
    except InvalidPayloadError:
        return
    assert sum(len(block.data) for block in blocks) <= len(payload)
    assert len(blocks) <= red.MAX_REDUNDANT + 1


def test_an_opus_packet_says_how_long_it_sounds() -> None:
    lengths = {
        "": 0,
        "78": 960,
        "7b": 0,
        "7b06": 5_760,
        "7b07": 0,
        "08": 960,
        "00": 480,
        "19": 5_760,
        "e0": 120,
        "fd": 1_920,
    }
    assert {packet: opus.samples(bytes.fromhex(packet)) for packet in lengths} == lengths


def test_level_3_1_ends_at_720p_and_30_a_second() -> None:
    fitting = [(1_280, 720, 30), (720, 1_280, 30), (640, 480, 60)]
    assert all(h264.fits_level(*each) for each in fitting)
    assert not any(h264.fits_level(*each) for each in [(1_280, 720, 60), (1_920, 1_080, 15), (1_281, 720, 30)])
