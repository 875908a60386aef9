"""Redundant audio (RFC 2198): earlier payloads travel along, so that a lost packet is not a lost sound."""

from __future__ import annotations

from dataclasses import dataclass

from pysfu.errors import InvalidPayloadError

MAX_REDUNDANT = 9  # browsers can be made to send 9, and send 1 by default
_MORE = 0x80  # the F bit, RFC 2198 §3


@dataclass(frozen=True, slots=True)
class Block:
    """One payload inside.

    Attributes:
        age: how much older than the packet, in ticks of its clock; 0 is what the packet is about.
        data: what was sent.
    """

    age: int
    data: bytes


def depacketize(payload: bytes) -> list[Block]:
    """Takes a redundant payload apart: earlier payloads, oldest first, then what the packet is about.

    Raises:
        InvalidPayloadError: the blocks are not inside, or too many.
    """
    heads: list[tuple[int, int]] = []
    at = 0
    try:
        while payload[at] & _MORE:
            if len(heads) == MAX_REDUNDANT:
                raise InvalidPayloadError("too many blocks of redundant audio")
            word = payload[at + 1] << 16 | payload[at + 2] << 8 | payload[at + 3]
            heads.append((word >> 10, word & 0x3FF))
            at += 4
    except IndexError:
        raise InvalidPayloadError("the heads of redundant audio are cut off") from None
    at += 1
    blocks = []
    for age, length in heads:
        blocks.append(Block(age, payload[at : at + length]))
        at += length
    if at > len(payload):
        raise InvalidPayloadError("a block of redundant audio is cut off")
    return [*blocks, Block(0, payload[at:])]
