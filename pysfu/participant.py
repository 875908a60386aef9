"""One participant of a room: who may receive what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu import _bridge, messages
from pysfu import transport as transports
from pysfu.errors import UnknownPeerError, UnknownTrackError
from pysfu.transport import Track, Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu.messages import TrackSource
    from pysfu.room import Room


class PendingOffer:
    """An offer of ours that waits for its answer."""

    def __init__(
        self, participant: Participant, transport: Transport, *, sdp: str, pending: bytes, play: Sequence[Track]
    ) -> None:
        self.sdp = sdp
        self._participant = participant
        self._transport = transport
        self._pending = pending
        self._play = play

    async def accept(self, answer: str) -> Transport:
        """Takes the answer.

        Raises:
            InvalidSdpError: it does not fit the offer; another may be tried.
        """
        session = _bridge.accept(self._pending, answer)
        transport = self._transport
        try:
            transport.sdp = self.sdp
            await transport.apply_session(session)
            await transport.publish(sources={}, encrypted=False)
            for track in self._play:
                await transport.play(track)
            await self._participant.attach(transport)
        except BaseException:
            self._participant.abandon(transport)
            raise
        return transport

    async def cancel(self) -> None:
        """Gives the offer up."""
        await self._transport.close()


class Participant:
    """One participant of a room: its transports, and what may flow to them. At first nothing may."""

    def __init__(self, room: Room, number: int) -> None:
        self.room = room
        self._number = number
        self._transports: list[Transport] = []
        self._allowed: dict[Track, bool] = {}
        self._data_from: list[Participant] = []
        self._removed = False

    @property
    def id(self) -> str:
        """A name that no other participant of this Sfu ever has."""
        return f"participant-{self._number:x}"

    @property
    def number(self) -> int:
        """The engine's number for it."""
        return self._number

    @property
    def transports(self) -> Sequence[Transport]:
        """Its transports."""
        return self._transports

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What it publishes."""
        return tuple(track for transport in self._transports for track in transport.tracks)

    @property
    def allowed(self) -> frozenset[Track]:
        """What may flow to it."""
        return frozenset(self._allowed)

    async def answer(
        self,
        offer: str,
        *,
        publish: bool = True,
        play: Sequence[Track] = (),
        data: bool = False,
        start_bitrate_bps: int | None = None,
        sources: Mapping[str, TrackSource] | None = None,
        encrypted: bool = False,
    ) -> Transport:
        """Answers an offer of the participant.

        Args:
            offer: its description.
            publish: whether it may send.
            play: what its receiving sections are wired to, in order; each flows once allowed.
            data: whether data channels may be opened.
            start_bitrate_bps: the rate that its encoders are asked to begin with.
            sources: what sections show, by name, where it is not a microphone or a camera.
            encrypted: whether the payload is end-to-end encrypted.

        Raises:
            InvalidSdpError: the offer cannot be answered.
        """
        policy = messages.MediaPolicy(receive=publish, data=data, start_bitrate=start_bitrate_bps)
        send = [_send_plan(track) for track in play]
        transport = await self._new_transport()
        try:
            answered = await transport.apply_offer(offer, policy=policy, send=send, data=data)
            if publish:
                await transport.publish(sources=sources or {}, encrypted=encrypted)
            for track, mid in zip(play, answered.placed, strict=False):
                if mid is not None:
                    await transport.play(track, mid=mid)
            await self.attach(transport)
        except BaseException:
            self.abandon(transport)
            raise
        return transport

    async def offer(
        self,
        *,
        play: Sequence[Track] = (),
        publish: Sequence[messages.MediaKind] = (),
        data: bool = False,
        start_bitrate_bps: int | None = None,
    ) -> PendingOffer:
        """Makes an offer to the participant.

        Args:
            play: what it is to receive, a section for each; each flows once allowed.
            publish: what it may send, a section for each.
            data: whether to offer data channels.
            start_bitrate_bps: the rate that its encoders are asked to begin with.
        """
        policy = messages.MediaPolicy(receive=bool(publish), data=data, start_bitrate=start_bitrate_bps)
        sections: list[messages.Media | messages.Data] = [
            messages.Media(kind=track.kind, send=_send_plan(track)) for track in play
        ]
        sections += [messages.Media(kind=kind, receive=True) for kind in publish]
        sections += [messages.Data()] if data else []
        transport = await self._new_transport()
        try:
            sdp, pending = _bridge.offer(transport.offer_plan(policy=policy, sections=sections))
        except BaseException:
            self.abandon(transport)
            raise
        return PendingOffer(self, transport, sdp=sdp, pending=pending, play=tuple(play))

    async def allow(self, track: Track, *, echo: bool = False) -> None:
        """Lets a track flow to this participant, over the transports it has and will have.

        Args:
            track: which.
            echo: whether it may be the participant's own, for a test before a meeting.
        """
        self._allowed[track] = echo
        try:
            for transport in tuple(self._transports):
                await transports.allow(transport, track, echo=echo)
        except BaseException:
            # Half a right is none.
            self._allowed.pop(track, None)
            for transport in self._transports:
                command = messages.Revoke(track=track.number, subscriber=transport.number)
                self.room.bridge.post(self.room.worker, command)
            raise

    async def revoke(self, track: Track) -> None:
        """Ends that: no packet of the track leaves towards this participant after this returns."""
        self._allowed.pop(track, None)
        revoked = [
            transport.insist(messages.Revoke(track=track.number, subscriber=transport.number))
            for transport in self._transports
        ]
        await _bridge.all_done(revoked, gone=(UnknownPeerError, UnknownTrackError))

    async def allow_data(self, publisher: Participant) -> None:
        """Lets messages on data channels flow from another participant to this one."""
        if publisher not in self._data_from:
            self._data_from.append(publisher)
        for ours in tuple(self._transports):
            for theirs in tuple(publisher.transports):
                await ours.done(messages.AllowData(publisher=theirs.number, subscriber=ours.number))

    async def revoke_data(self, publisher: Participant) -> None:
        """Ends that."""
        if publisher in self._data_from:
            self._data_from.remove(publisher)
        revoked = [
            ours.insist(messages.RevokeData(publisher=theirs.number, subscriber=ours.number))
            for ours in self._transports
            for theirs in publisher.transports
        ]
        await _bridge.all_done(revoked, gone=(UnknownPeerError,))

    async def remove(self) -> None:
        """Ends the participant: nothing flows to or from it when this returns. Harmless when it is gone already."""
        self._removed = True
        self.room.forget(self)
        ended = [transport.end() for transport in tuple(self._transports)]
        await _bridge.all_done(ended, gone=(UnknownPeerError,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.remove()

    # --- for this package ---

    async def _new_transport(self) -> Transport:
        reply = await self.room.bridge.call(
            self.room.worker,
            messages.CreatePeer(room=self.room.number, participant=self._number),
            messages.PeerReply,
            undo=lambda reply: messages.RemovePeer(peer=reply.peer),
        )
        transport = Transport(self, reply.peer, reply.local)
        self.room.transports[transport.number] = transport
        return transport

    async def attach(self, transport: Transport) -> None:
        """Takes a transport in, with all rights that the participant has."""
        self._transports.append(transport)
        if self._removed:
            self.abandon(transport)
            return
        for track in tuple(self._allowed):
            # A right may be revoked while another is being granted.
            if track in self._allowed:
                await transports.allow(transport, track, echo=self._allowed[track])
        others = [participant for participant in self.room.participants if participant is not self]
        for other in others:
            await self._link_data(transport, other)

    async def _link_data(self, transport: Transport, other: Participant) -> None:
        for theirs in tuple(other.transports):
            if other in self._data_from:
                await transport.done(messages.AllowData(publisher=theirs.number, subscriber=transport.number))
            if self in other._data_from:
                await transport.done(messages.AllowData(publisher=transport.number, subscriber=theirs.number))

    def detach(self, transport: Transport) -> None:
        """Forgets a transport that ends."""
        if transport in self._transports:
            self._transports.remove(transport)
        self.room.transports.pop(transport.number, None)
        for track in tuple(transport.tracks):
            transport.forget(track)

    def abandon(self, transport: Transport) -> None:
        """Ends a transport that was not finished, without waiting."""
        self.detach(transport)
        transport.set_state(TransportState.CLOSED)
        self.room.bridge.post(self.room.worker, messages.RemovePeer(peer=transport.number))


def _send_plan(track: Track) -> messages.SendPlan:
    return messages.SendPlan(
        kind=track.kind, publisher=track.publisher.number, stream=track.publisher.id, track=track.id
    )
