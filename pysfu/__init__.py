"""A media server for WebRTC: rooms, participants, and who may receive what. Start at `Sfu`."""

from __future__ import annotations

from pysfu.bot import Bot
from pysfu.config import Config
from pysfu.errors import PysfuError
from pysfu.participant import Participant
from pysfu.pending import PendingOffer
from pysfu.process import MediaProcess
from pysfu.room import Room
from pysfu.sfu import Sfu
from pysfu.track import Track
from pysfu.transport import Transport, TransportState

__all__ = [
    "Bot",
    "Config",
    "MediaProcess",
    "Participant",
    "PendingOffer",
    "PysfuError",
    "Room",
    "Sfu",
    "Track",
    "Transport",
    "TransportState",
]
