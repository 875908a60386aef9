"""What is left with a media process, for whoever controls it next: all that Python knows and the engine does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from pysfu import messages

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OWN_NOTE_BYTES = 98_304
"""Longest note of whoever uses this package, on a room or a participant."""


class RoomNote(messages.Record, frozen=True, kw_only=True):
    """What is to be known about a room, or that it is the part of another one: of which worker and number."""

    note: bytes
    of: tuple[int, int] | None = None


class PeerNote(messages.Record, frozen=True, kw_only=True):
    """What is to be known about a transport; with what was negotiated it can be negotiated anew.

    Attributes:
        kinds: what its other end may publish, where that offers.
        sent: what its other end sends, by its latest offer.
        sections: those of our offers, where we offer: what is sent in each, whether the other end may, and how many
            tracks it has carried before.
        version: how many offers of ours there were.
    """

    local: messages.LocalTransport
    session: messages.NegotiatedSession
    sdp: str
    policy: messages.MediaPolicy | None
    send: list[messages.SendPlan]
    data: bool
    participant: bytes
    kinds: list[messages.MediaKind] = msgspec.field(default_factory=list)
    sent: list[messages.SentTrack] = msgspec.field(default_factory=list)
    sections: list[tuple[messages.MediaKind | None, bool, int]] | None = None
    version: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_room = msgspec.msgpack.Decoder(RoomNote).decode
_decode_peer = msgspec.msgpack.Decoder(PeerNote).decode


def of_room(room: int, note: bytes) -> messages.Note:
    """Makes the note on a room."""
    return messages.Note(subject=messages.RoomSubject(room=room), note=_encode(RoomNote(note=note)))


def of_part(number: int, *, of: tuple[int, int]) -> messages.Note:
    """Makes the note on what of a room is on another worker than where it began: the worker and number there."""
    return messages.Note(subject=messages.RoomSubject(room=number), note=_encode(RoomNote(note=b"", of=of)))


def of_peer(peer: int, note: PeerNote) -> messages.Note:
    """Makes the note on a peer."""
    return messages.Note(subject=messages.PeerSubject(peer=peer), note=_encode(note))


def forgotten_room(room: int) -> messages.Note:
    """Takes back the note on a room."""
    return messages.Note(subject=messages.RoomSubject(room=room), note=None)


def forgotten_peer(peer: int) -> messages.Note:
    """Takes back the note on a peer."""
    return messages.Note(subject=messages.PeerSubject(peer=peer), note=None)


def checked(note: bytes) -> bytes:
    """Returns the note.

    Raises:
        ValueError: it is longer than is kept.
    """
    if len(note) > MAX_OWN_NOTE_BYTES:
        raise ValueError(f"a note has at most {MAX_OWN_NOTE_BYTES} bytes")
    return note


@dataclass(frozen=True, slots=True)
class Notes:
    """All notes, by worker and number; one that cannot be read is as good as none.

    Attributes:
        rooms: on rooms, where they began.
        parts: on what of a room is elsewhere: where it began.
        peers: on transports.
    """

    rooms: dict[tuple[int, int], bytes] = field(default_factory=dict)
    parts: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    peers: dict[tuple[int, int], PeerNote] = field(default_factory=dict)


def read(notes: Iterable[tuple[int, messages.Note]]) -> Notes:
    """Returns the notes."""
    read = Notes()
    for worker, note in notes:
        if note.note is None:
            continue
        try:
            match note.subject:
                case messages.RoomSubject(room=room):
                    of_room = _decode_room(note.note)
                    if of_room.of is None:
                        read.rooms[worker, room] = of_room.note
                    else:
                        read.parts[worker, room] = of_room.of
                case messages.PeerSubject(peer=peer):
                    read.peers[worker, peer] = _decode_peer(note.note)
        except msgspec.MsgspecError:
            continue
    return read
