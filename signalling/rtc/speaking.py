"""Who speaks, as clients are told: what has changed since they were told last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from livekit.protocol.models import SpeakerInfo

_STEPS = 8  # Finer differences of loudness nobody sees, and each is a message to everybody.


@dataclass(slots=True)
class Speaking:
    """Who speaks in one meeting, by sid, and how loudly: 1 is loudest."""

    _levels: dict[str, float] = field(default_factory=dict)

    def hear(self, speakers: Sequence[tuple[str, int]]) -> list[SpeakerInfo]:
        """Takes in who speaks now, and returns what is new: who speaks otherwise than before, or no more.

        Args:
            speakers: sids, each with a level in -dBov (RFC 6464): 0 is loudest, 127 silence.
        """
        levels = {sid: _level(dbov) for sid, dbov in speakers}
        changed = [
            SpeakerInfo(sid=sid, level=level, active=True)
            for sid, level in levels.items()
            if self._levels.get(sid) != level
        ]
        silent = [SpeakerInfo(sid=sid, level=0, active=False) for sid in self._levels.keys() - levels.keys()]
        self._levels = levels
        return changed + silent

    def now(self) -> list[SpeakerInfo]:
        """Returns who speaks, for a client that has heard of nobody yet."""
        return [SpeakerInfo(sid=sid, level=level, active=True) for sid, level in self._levels.items()]


def _level(dbov: int) -> float:
    """Turns a level into an amplitude, in steps; whoever is a speaker is never silent."""
    return max(round(10 ** (-dbov / 20) * _STEPS), 1) / _STEPS
