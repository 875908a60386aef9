"""How long an Opus packet sounds (RFC 6716 §3.1, its payload format is RFC 7587)."""

from __future__ import annotations

CLOCK_RATE_HZ = 48_000
_MS = CLOCK_RATE_HZ // 1_000
_SILK = (10 * _MS, 20 * _MS, 40 * _MS, 60 * _MS)
_HYBRID = (10 * _MS, 20 * _MS)
_CELT = (_MS * 5 // 2, 5 * _MS, 10 * _MS, 20 * _MS)
_FRAMES = {0: 1, 1: 2, 2: 2}  # by code; with code 3 the second byte counts them
_MAX_SAMPLES = 120 * _MS


def samples(packet: bytes) -> int:
    """Returns how many samples at 48 kHz it stands for; 0 when it is no packet."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 0x03
    if config < 12:
        frame = _SILK[config % 4]
    elif config < 16:
        frame = _HYBRID[config % 2]
    else:
        frame = _CELT[config % 4]
    frames = _FRAMES.get(code) or (packet[1] & 0x3F if len(packet) > 1 else 0)
    return frame * frames if frame * frames <= _MAX_SAMPLES else 0
