"""One track: what a participant publishes in one media section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu import messages
from pysfu._asked import all_done
from pysfu.errors import UnknownPeerError, UnknownTrackError

if TYPE_CHECKING:
    from pysfu.messages import Codec, MediaKind, StallCause, TrackSource
    from pysfu.participant import Participant
    from pysfu.transport import Transport


class Track:
    """What a participant publishes in one media section. Nobody receives it before `Participant.allow`.

    Attributes:
        id: a name that no other track of this Sfu ever has.
        msid: the stream and the track by which its receivers know it (RFC 8830): tracks of one stream are played in
            step. May be set until it is played: 1 to 64 visible ASCII characters each.
        muted: whether it was muted, also before this program began.
        stalled: whether nothing comes of it although something should, for longer than a pause of its sender takes.
        stalled_at: where nothing of it goes out although something should, and why.
    """

    def __init__(self, transport: Transport, number: int, *, mid: str, kind: MediaKind, source: TrackSource) -> None:
        self.transport = transport
        self.mid = mid
        self.kind: MediaKind = kind
        self.source: TrackSource = source
        self.played_by: set[Transport] = set()
        self.muted = False
        self.stalled = False
        self.stalled_at: dict[Transport, StallCause] = {}
        self.relayed_as: dict[int, int] = {}  # the engine's number on other workers, now or when it was last there
        self._number = number
        self.id = f"track-{self.publisher.room.prefix}{transport.worker}-{number:x}"
        self.msid = (self.publisher.id, self.id)

    @property
    def codec(self) -> Codec | None:
        """How it is encoded, as long as its sender keeps to the first codec of the answer; None once it is not sent."""
        return next((sent.codec for sent in self.transport.sent if sent.mid == self.mid), None)

    @property
    def number(self) -> int:
        """The engine's number for it."""
        return self._number

    @property
    def worker(self) -> int:
        """The worker of its publisher."""
        return self.transport.worker

    @property
    def publisher(self) -> Participant:
        """Whose it is."""
        return self.transport.participant

    async def mute(self) -> None:
        """Stops it for everyone; done when this returns."""
        asked = self.transport.ask_revocation(messages.Mute(track=self._number, muted=True))
        self.muted = True
        await all_done([asked], gone=())
        for transport in tuple(self.played_by):
            transport.discard(self)

    async def unmute(self) -> None:
        """Lets it flow again."""
        await self.transport.done(messages.Mute(track=self._number, muted=False))
        self.muted = False

    async def limit(self, participant: Participant, *, encoding: int = 255, temporal: int = 255) -> None:
        """Limits what a participant gets of it, for as long as it is played there.

        Args:
            participant: who.
            encoding: best encoding it may get, 0 is the lowest quality.
            temporal: highest temporal layer it may get.

        Raises:
            OtherRoomError: the participant is in another room.
            UnknownPeerError: no transport of the participant plays it.
            EncodingHeldError: it is end-to-end encrypted, and the participant keeps the encoding that it began with.
        """
        self.publisher.check_same_room(participant)
        playing = [transport for transport in participant.transports if transport in self.played_by]
        if not playing:
            raise UnknownPeerError("no transport of the participant plays the track")
        limit = messages.LayerLimit(encoding=encoding, temporal=temporal)
        relays = self.publisher.room.relays
        for transport in playing:
            number = await relays.number_of(self, transport.worker)
            await transport.done(messages.LimitLayer(track=number, subscriber=transport.number, limit=limit))
            relays.limited(transport, self, limit)

    async def request_keyframe(self) -> None:
        """Asks the publisher for a keyframe."""
        await self.transport.done(messages.RequestKeyframe(track=self._number))

    async def unpublish(self) -> None:
        """Ends it."""
        ended = self.transport.ask_revocation(messages.Unpublish(track=self._number))
        self.transport.forget(self)
        await all_done([ended], gone=(UnknownTrackError,))

    # --- for this package ---

    def stall(self, transport: Transport, cause: StallCause | None) -> bool:
        """Notes why nothing of it goes out there, None: something does; returns whether it is played there at all."""
        if cause is None or transport not in self.played_by:
            self.stalled_at.pop(transport, None)
        else:
            self.stalled_at[transport] = cause
        return transport in self.played_by

    def unplayed_by(self, transport: Transport) -> None:
        """Notes that a transport does not play it any more."""
        self.played_by.discard(transport)
        self.stalled_at.pop(transport, None)
        self.publisher.room.relays.settle(self)
