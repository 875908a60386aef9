"""What becomes of a data packet on its way: the server says whose it is, and reads nothing but where it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from google.protobuf.message import DecodeError
from livekit.protocol.models import DataPacket

MAX_KEPT_BYTES = 100_000
"""Most bytes of a room's reliable packets that are kept for whoever is connecting."""

KEPT_FOR = timedelta(seconds=2)
"""How long such a packet is kept: whoever resumes is back by then, or joins anew and asks for what it missed itself."""

_NOT_FOR_OTHERS = frozenset({"speaker", "metrics"})
"""The server itself tells who speaks, and what clients measure is nobody else's."""


class PacketFaultError(Exception):
    """The packet is not passed on; the message says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends: as the server knows it, whatever the packet says."""

    sid: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A packet on its way.

    Attributes:
        payload: what its receivers get.
        sequence: its number among the reliable ones of its sender, from 1; 0 when it has none.
        identities: who gets it, by identity, together with `sids`; when both are empty, everybody else.
        sids: who gets it, by sid.
    """

    payload: bytes
    sequence: int
    identities: frozenset[str]
    sids: frozenset[str]

    def is_for(self, *, sid: str, identity: str) -> bool:
        """Whether it goes to this participant; that it is not the sender is for the caller to see."""
        is_for_all = not self.identities and not self.sids
        return is_for_all or identity in self.identities or sid in self.sids


def passing(payload: bytes, sender: Sender) -> Passing:
    """Reads a packet and writes into it who sends it. What this program does not know stays as it is.

    Raises:
        PacketFaultError: it cannot be read, or is not for others.
    """
    try:
        packet = DataPacket.FromString(payload)
    except DecodeError as error:
        raise PacketFaultError("the data packet cannot be read") from error
    what = packet.WhichOneof("value")
    if what in _NOT_FOR_OTHERS:
        raise PacketFaultError(f"a data packet of the kind {what} is not passed on")
    packet.participant_sid, packet.participant_identity = sender.sid, sender.identity
    identities, sids = set(packet.destination_identities), set[str]()
    if what == "user":
        # Clients of years ago read and write these.
        packet.user.participant_sid, packet.user.participant_identity = sender.sid, sender.identity
        identities.update(packet.user.destination_identities)
        sids.update(packet.user.destination_sids)
    return Passing(
        payload=packet.SerializeToString(),
        sequence=packet.sequence,
        identities=frozenset(identities),
        sids=frozenset(sids),
    )


@dataclass(slots=True)
class Received:
    """What has come from one sender: after a resumption it sends again what it does not know to have arrived."""

    last_sequence: int = 0

    def is_new(self, packet: Passing) -> bool:
        """Takes note of a reliable packet; says whether it had not come before."""
        if packet.sequence == 0:
            return True
        if packet.sequence <= self.last_sequence:
            return False
        self.last_sequence = packet.sequence
        return True


@dataclass(frozen=True, slots=True)
class _Kept:
    at: timedelta
    sender: Sender
    packet: Passing


@dataclass(slots=True)
class Recent:
    """The latest reliable packets of a room, for those whose connection is just being made or made again."""

    _kept: deque[_Kept] = field(default_factory=deque)
    _bytes: int = 0

    def keep(self, sender: Sender, packet: Passing, *, now: timedelta) -> None:
        """Keeps a packet for a while; the oldest make room."""
        self._kept.append(_Kept(now, sender, packet))
        self._bytes += len(packet.payload)
        self._expire(now)

    def missed(self, *, sid: str, identity: str, heard: Mapping[str, int], now: timedelta) -> Iterator[Passing]:
        """Yields what a participant has missed, in order.

        Args:
            sid: whose sid it is now.
            identity: who it is.
            heard: the last number that it has, by the sid of the sender.
            now: the time of a clock that nobody sets.
        """
        self._expire(now)
        for kept in tuple(self._kept):
            is_own = kept.sender.identity == identity
            is_known = kept.packet.sequence <= heard.get(kept.sender.sid, 0)
            if not is_own and not is_known and kept.packet.is_for(sid=sid, identity=identity):
                yield kept.packet

    def _expire(self, now: timedelta) -> None:
        while self._kept and (self._bytes > MAX_KEPT_BYTES or now - self._kept[0].at > KEPT_FOR):
            self._bytes -= len(self._kept.popleft().packet.payload)
