"""What of a room is on one worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysfu.track import Track
    from pysfu.transport import Transport


@dataclass(slots=True, eq=False)
class Part:
    """What of a room is on one worker; the engine there takes it for a room of its own.

    Attributes:
        worker: which.
        number: the engine's number for it there.
        transports: those of the participants who are there, by number.
        tracks: what is published there, and what is relayed there, by the number that it has there.
        listeners: the numbers of the participants there who can hear or see anything.
        speakers: the numbers of those who speak, as far as they are heard there, each with its level in -dBov.
    """

    worker: int
    number: int
    transports: dict[int, Transport] = field(default_factory=dict)
    tracks: dict[int, Track] = field(default_factory=dict)
    listeners: tuple[int, ...] = ()
    speakers: tuple[tuple[int, int], ...] = ()
