"""What is left with a media process, for whoever controls it next: all that Python knows and the engine does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pysfu import messages

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OWN_NOTE_BYTES = 98_304
"""Longest note of whoever uses this package, on a room or a participant."""


class RoomNote(messages.Record, frozen=True, kw_only=True):
    """What is to be known about a room."""

    note: bytes


class PeerNote(messages.Record, frozen=True, kw_only=True):
    """What is to be known about a transport; with what was negotiated it can be negotiated anew."""

    local: messages.LocalTransport
    session: messages.NegotiatedSession
    sdp: str
    policy: messages.MediaPolicy | None
    send: list[messages.SendPlan]
    data: bool
    participant: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_room = msgspec.msgpack.Decoder(RoomNote).decode
_decode_peer = msgspec.msgpack.Decoder(PeerNote).decode


def of_room(room: int, note: bytes) -> messages.Note:
    """Makes the note on a room."""
    return messages.Note(subject=messages.RoomSubject(room=room), note=_encode(RoomNote(note=note)))


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


def read(
    notes: Iterable[tuple[int, messages.Note]],
) -> tuple[dict[tuple[int, int], bytes], dict[tuple[int, int], PeerNote]]:
    """Returns the notes on rooms and on peers, by worker and number. One that cannot be read is as good as none."""
    rooms: dict[tuple[int, int], bytes] = {}
    peers: dict[tuple[int, int], PeerNote] = {}
    for worker, note in notes:
        if note.note is None:
            continue
        try:
            match note.subject:
                case messages.RoomSubject(room=room):
                    rooms[worker, room] = _decode_room(note.note).note
                case messages.PeerSubject(peer=peer):
                    peers[worker, peer] = _decode_peer(note.note)
        except msgspec.MsgspecError:
            continue
    return rooms, peers
