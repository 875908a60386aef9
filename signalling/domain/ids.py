"""Names for things. None of them says who somebody is."""

from __future__ import annotations

import re
from typing import NewType

RoomId = NewType("RoomId", str)
"""A room, chosen at random when the room is made."""

ParticipantId = NewType("ParticipantId", str)
"""One participant in one room: the `sub` of a token. Opaque, never a name."""

PublicationId = NewType("PublicationId", str)
"""What one participant sends over one transport. Public: it is shown in the roster."""

ResourceId = NewType("ResourceId", str)
"""The last part of a WHIP or WHEP resource address. Secret: it is told only to whom it belongs."""

TrackId = NewType("TrackId", str)
"""One track of a publication, named by the media engine."""

MAX_ID_LENGTH = 256  # As LiveKit allows for rooms and identities; those made here have at most 35 characters.

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
# A Swedish personal or coordination number (a date, then four digits), a telephone number, a mail address; each
# standing alone, so that the hexadecimal groups of a UUID are not taken for one.
_PERSONAL = re.compile(
    r"(?<![0-9A-Za-z])(?:(?:19|20)?\d{2}(?:0[1-9]|1[0-2])(?:[0-3]\d|[6-9]\d)[-+]?\d{4}|0[1-9]\d{7,8})(?![0-9A-Za-z])"
    r"|\+\d{6,}|@"
)


def is_id(text: str) -> bool:
    """Says whether `text` can be an id or a room's name: short, plain letters, digits, dashes, underscores."""
    return len(text) <= MAX_ID_LENGTH and _ID.match(text) is not None


def looks_personal(text: str) -> bool:
    """Says whether `text` looks like a personal number, a telephone number or a mail address.

    A name cannot be told from other words; this catches only what is surely wrong.
    """
    return _PERSONAL.search(text) is not None
