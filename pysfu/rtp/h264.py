"""H.264 as RTP payloads (RFC 6184), packetization modes 0 and 1: single units, STAP-A and FU-A."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from pysfu.errors import InvalidPayloadError
from pysfu.rtp.fragment import Fragment
from pysfu.rtp.packet import MAX_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_CODE = b"\x00\x00\x00\x01"
# Of a unit's header (H.264 §7.3.1): forbidden_zero_bit, nal_ref_idc, nal_unit_type.
_F, _NRI, _TYPE = 0x80, 0x60, 0x1F
_IDR, _SPS, _DELIMITER = 5, 7, 9
_LAST_SINGLE, _STAP_A, _FU_A = 23, 24, 28
_S, _E, _R = 0x80, 0x40, 0x20  # of an FU header, RFC 6184 §5.8
_FIRST_MACROBLOCK = 0x80  # `first_mb_in_slice` is an Exp-Golomb number: 0 is the bit 1

# Level 3.1, which `profile-level-id=42e01f` promises (H.264 table A-1).
LEVEL = "3.1"
_MAX_MACROBLOCKS = 3_600
_MAX_MACROBLOCKS_PER_S = 108_000


def fits_level(width: int, height: int, frame_rate: int) -> bool:
    """Tells whether pictures of that size and rate stay inside level 3.1: 1280x720 at 30 a second do."""
    macroblocks = -(-width // 16) * -(-height // 16)
    return macroblocks <= _MAX_MACROBLOCKS and macroblocks * frame_rate <= _MAX_MACROBLOCKS_PER_S


def depacketize(payload: bytes) -> Fragment:
    """Makes units with start codes (H.264 annex B) of a payload.

    Raises:
        InvalidPayloadError: it is cut off, damaged, or of another packetization mode.
    """
    if not payload:
        raise InvalidPayloadError("an H.264 payload is empty")
    if payload[0] & _F:
        raise InvalidPayloadError("an H.264 unit is marked as damaged")
    kind = payload[0] & _TYPE
    if 1 <= kind <= _LAST_SINGLE:
        return _begun([payload])
    if kind == _STAP_A:
        return _begun(list(_aggregated(payload)))
    if kind == _FU_A:
        return _fragment(payload)
    raise InvalidPayloadError(f"H.264 payloads of type {kind} belong to no packetization mode of ours")


def _fragment(payload: bytes) -> Fragment:
    if len(payload) < 3 or payload[1] & (_S | _E) == _S | _E or payload[1] & _R:
        raise InvalidPayloadError("an H.264 fragment is none")
    if not payload[1] & _S:
        return Fragment(payload[2:], may_begin=False, keyframe=False)
    unit = bytes([payload[0] & _NRI | payload[1] & _TYPE]) + payload[2:]
    return _begun([unit])


def _begun(units: list[bytes]) -> Fragment:
    """A keyframe surely begins with its parameters only: before the first slice some may have been lost."""
    data = b"".join(_START_CODE + unit for unit in units)
    with_parameters = any(unit[0] & _TYPE == _SPS for unit in units)
    return Fragment(data, True, with_parameters or any(map(_is_first_of_idr, units)), with_parameters)


def _aggregated(payload: bytes) -> Iterator[bytes]:
    at = 1
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        if at + 2 >= end or end > len(payload):
            raise InvalidPayloadError("a unit leaves its H.264 aggregate")
        yield payload[at + 2 : end]
        at = end
    if at == 1:
        raise InvalidPayloadError("an H.264 aggregate is empty")


def _is_first_of_idr(unit: bytes) -> bool:
    return unit[0] & _TYPE == _IDR and len(unit) > 1 and bool(unit[1] & _FIRST_MACROBLOCK)


def packetize(access_unit: bytes) -> list[bytes]:
    """Makes the payloads of a picture, given with start codes; small units that follow each other share one."""
    payloads: list[bytes] = []
    waiting: list[bytes] = []
    for unit in _units(access_unit):
        if sum(len(each) + 2 for each in [*waiting, unit]) + 1 > MAX_PAYLOAD:
            payloads += _aggregate(waiting)
            waiting = []
        if len(unit) > MAX_PAYLOAD:
            payloads += _fragments(unit)
        else:
            waiting.append(unit)
    return payloads + _aggregate(waiting)


def _units(access_unit: bytes) -> Iterator[bytes]:
    """What RTP says itself, where a picture begins, is left out."""
    for piece in re.split(b"\x00\x00\x01", access_unit)[1:]:
        unit = piece.rstrip(b"\x00")
        if unit and unit[0] & _TYPE != _DELIMITER:
            yield unit


def _aggregate(units: list[bytes]) -> list[bytes]:
    if len(units) < 2:
        return units
    header = _STAP_A | max(unit[0] & _NRI for unit in units)
    return [bytes([header]) + b"".join(struct.pack("!H", len(unit)) + unit for unit in units)]


def _fragments(unit: bytes) -> Iterator[bytes]:
    step = MAX_PAYLOAD - 2
    for at in range(1, len(unit), step):
        flags = (_S if at == 1 else 0) | (_E if at + step >= len(unit) else 0)
        yield bytes([unit[0] & _NRI | _FU_A, unit[0] & _TYPE | flags]) + unit[at : at + step]
