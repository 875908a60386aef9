"""One participant of a room: who may receive what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _notes, messages
from pysfu._asked import all_asked, all_done
from pysfu._negotiation import Terms
from pysfu._plans import data_allows, data_revokes, kinds_of, only, send_plan
from pysfu._sections import MAX_SECTIONS
from pysfu.errors import NoFreeSectionError, OnlyRelaysError, OtherRoomError, UnknownPeerError, UnknownTrackError
from pysfu.pending import PendingOffer
from pysfu.track import Track
from pysfu.transport import Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu._part import Part
    from pysfu.messages import MediaKind, TrackSource
    from pysfu.room import Room


@dataclass(frozen=True, slots=True, eq=False)
class _Right:
    """One grant; another of the same thing is another one."""

    echo: bool = False


class Participant:
    """One participant of a room: its transports, and what may flow to them. At first nothing may."""

    def __init__(self, room: Room, number: int, *, worker: int, note: bytes = b"") -> None:
        self.room = room
        self.worker = worker
        self.note = note
        self._number = number
        self._transports: list[Transport] = []
        self._offered: list[Transport] = []
        self._allowed: dict[Track, _Right] = {}
        self._data_from: dict[Participant, _Right] = {}
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
    def part(self) -> Part:
        """What of its room is on its worker."""
        return self.room.parts[self.worker]

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

    @property
    def data_publishers(self) -> frozenset[Participant]:
        """Whose messages on data channels may flow to it."""
        return frozenset(self._data_from)

    def keep(self, note: bytes) -> None:
        """Replaces its note, which is told with its transports to whoever controls the engine after this process.

        Raises:
            ValueError: it is longer than is kept.
        """
        self.note = _notes.checked(note)
        for transport in self._transports:
            transport.negotiation.leave_note()

    async def answer(
        self,
        offer: str,
        *,
        publish: bool | Collection[MediaKind] = True,
        play: Sequence[Track] = (),
        data: bool = False,
        start_bitrate_bps: int | None = None,
        mids: Collection[str] | None = None,
        sources: Mapping[str, TrackSource] | None = None,
        encrypted: bool = False,
    ) -> Transport:
        """Answers an offer of the participant.

        Args:
            offer: its description.
            publish: whether it may send, or of what kinds; then no track comes of another one, whatever is offered, and
                its sections are refused unless `play` has some of it.
            play: what its receiving sections are wired to, in order; each flows once allowed.
            data: whether data channels may be opened.
            start_bitrate_bps: the rate that its encoders are asked to begin with.
            mids: the sections of which tracks are made; None: all. What comes in others is dropped, until `publish`.
            sources: what sections show, by name, where it is not a microphone or a camera.
            encrypted: whether the payload is end-to-end encrypted. Simulcast then needs the dependency descriptor, a
                header extension: without it, where keyframes are is hidden, and each subscription keeps the encoding
                that it began with; a lower limit is refused (`EncodingHeldError`).

        Raises:
            InvalidSdpError: the offer cannot be answered.
            OtherRoomError: something of `play` is in another room.
            ValueError: `publish` holds something else than kinds; nothing was done.
        """
        self.check_same_room(*(track.publisher for track in play))
        kinds = kinds_of(publish)
        policy = messages.MediaPolicy(receive=bool(kinds), data=data, start_bitrate=start_bitrate_bps)
        if kinds:
            policy = only(policy, {*kinds, *(track.kind for track in play)})
        terms = Terms(policy=policy, kinds=kinds, send=[send_plan(track) for track in play], data=data)
        transport = await self._new_transport()
        try:
            answered = await transport.negotiation.answer(offer, terms)
            await transport.publish_all(mids=mids, sources=sources or {}, encrypted=encrypted)
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
        """Makes an offer to the participant: `async with await participant.offer(…) as pending`.

        Args:
            play: what it is to receive, a section for each; each flows once allowed.
            publish: what it may send, a section for each.
            data: whether to offer data channels.
            start_bitrate_bps: the rate that its encoders are asked to begin with.

        Raises:
            OtherRoomError: something of `play` is in another room.
            NoFreeSectionError: that is more than a description may have.
            ValueError: `publish` holds something else than kinds; nothing was done.
        """
        self.check_same_room(*(track.publisher for track in play))
        policy = messages.MediaPolicy(receive=bool(kinds_of(publish)), data=data, start_bitrate=start_bitrate_bps)
        transport = await self._new_transport()
        try:
            sections = transport.negotiation.sections
            waiting = sections.carry(play)
            sections.add(publish=publish, data=data)
            if waiting or sections.media > MAX_SECTIONS:
                raise NoFreeSectionError(f"a transport has at most {MAX_SECTIONS} media sections")
            sdp, pending = transport.negotiation.offer(policy)
        except BaseException:
            self.abandon(transport)
            raise
        if self._removed:
            self.abandon(transport)
            raise UnknownPeerError("the participant was removed")
        self._offered.append(transport)
        return PendingOffer(transport, sdp=sdp, pending=pending)

    async def allow(self, track: Track, *, echo: bool = False) -> None:
        """Lets a track flow to this participant, over the transports it has and will have.

        Args:
            track: which.
            echo: whether it may be the participant's own, for a test before a meeting.

        Raises:
            OtherRoomError: it is in another room.
        """
        self.check_same_room(track.publisher)
        # Its own object, so that whoever gives up takes back only what they themselves asked for.
        right = _Right(echo=echo)
        self._allowed[track] = right
        try:
            await self._ask(self._allows(track, right, self._transports))
            await self.room.relays.granted(track, self.worker)
            if not self.room.has(track) and self._allowed.get(track) is right:
                del self._allowed[track]  # it has ended
        except BaseException:
            # Half a right is none.
            if self._allowed.get(track) is right:
                del self._allowed[track]
                self._fire_and_forget(self._revokes(track))
            raise

    async def revoke(self, track: Track) -> None:
        """Ends that: no packet of the track leaves towards this participant after this returns.

        A bot reads none after this, either: what was waiting for it is dropped.

        Raises:
            OtherRoomError: it is in another room, so that there was no right.
        """
        self.check_same_room(track.publisher)
        self._allowed.pop(track, None)
        try:
            await self._revoke_all(self._revokes(track))
        finally:
            for transport in self._transports:
                transport.discard(track)

    async def allow_data(self, publisher: Participant) -> None:
        """Lets messages on data channels flow from another participant to this one.

        Raises:
            OtherRoomError: the other one is in another room.
            OnlyRelaysError: the other one is on another worker, to which messages do not go.
        """
        self.check_same_room(publisher)
        if publisher.worker != self.worker:
            raise OnlyRelaysError("the participants are on different workers, between which no messages go")
        right = _Right()
        self._data_from[publisher] = right
        try:
            await self._ask(data_allows(self._transports, publisher.transports))
        except BaseException:
            if self._data_from.get(publisher) is right:
                del self._data_from[publisher]
                self._fire_and_forget(data_revokes(self._transports, publisher.transports))
            raise

    async def revoke_data(self, publisher: Participant) -> None:
        """Ends that: no message of it leaves towards this participant after this returns.

        Raises:
            OtherRoomError: the other one is in another room, so that there was no right.
        """
        self.check_same_room(publisher)
        if publisher.worker != self.worker:
            return  # there never was one
        self._data_from.pop(publisher, None)
        await self._revoke_all(data_revokes(self._transports, publisher.transports))

    async def remove(self) -> None:
        """Ends the participant: nothing flows to or from it when this returns. Harmless when it is gone already.

        Offers that wait for their answer end with it.

        Raises:
            UnavailableError: another process controls the engine now, and the participant may be there.
        """
        self.room.bridge.check_control()
        self._removed = True
        self.room.forget(self)
        ended = all_asked(transport.end() for transport in (*self._transports, *self._offered))
        await all_done(ended, gone=(UnknownPeerError,))

    def abandon(self, transport: Transport) -> None:
        """Ends a transport that was not finished, without waiting."""
        self.detach(transport)
        transport.set_state(TransportState.CLOSED)
        self.room.bridge.fire_and_forget(self.worker, messages.RemovePeer(peer=transport.number))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.remove()

    # --- for this package ---

    def check_same_room(self, *others: Participant) -> None:
        """Keeps numbers from the worker of another room, where they may be those of somebody else.

        Raises:
            OtherRoomError: one of the others is in another room.
        """
        if any(other.room is not self.room for other in others):
            raise OtherRoomError("tracks and messages flow only inside a room")

    async def _new_transport(self) -> Transport:
        reply = await self.room.bridge.call(
            self.worker,
            messages.CreatePeer(room=self.part.number, participant=self._number),
            messages.PeerReply,
            undo=lambda reply: messages.RemovePeer(peer=reply.peer),
        )
        transport = Transport(self, reply.peer, reply.local)
        self.part.transports[transport.number] = transport
        return transport

    async def attach(self, transport: Transport) -> None:
        """Takes a transport in, with all rights that the participant has."""
        if transport in self._offered:
            self._offered.remove(transport)
        self._transports.append(transport)
        if self._removed:
            self.abandon(transport)
            return
        commands: list[messages.Command] = []
        for track, right in self._allowed.items():
            commands += self._allows(track, right, [transport])
        for other in self.room.participants:
            if other in self._data_from:
                commands += data_allows([transport], other.transports)
            if other is not self and self in other._data_from:
                commands += data_allows(other.transports, [transport])
        await self._ask(commands)

    def resume_transport(self, number: int, note: _notes.PeerNote) -> Transport:
        """Makes a transport anew that the engine has already."""
        transport = Transport(self, number, note.local)
        transport.negotiation.resume(note)
        self.part.transports[number] = transport
        self._transports.append(transport)
        return transport

    def resume_right(self, track: Track, *, echo: bool) -> None:
        """Notes a right that the engine grants already."""
        self._allowed[track] = _Right(echo=echo)

    def resume_data(self, publisher: Participant) -> None:
        """Notes the same for messages."""
        self._data_from[publisher] = _Right()

    def forget_track(self, track: Track) -> None:
        """Forgets the right to a track that ends."""
        self._allowed.pop(track, None)

    def forget_publisher(self, publisher: Participant) -> None:
        """Forgets the right to the messages of a participant who leaves."""
        self._data_from.pop(publisher, None)

    def grants(self, track: Track) -> list[messages.Command]:
        """Returns what grants the right to a track, where there is one, now that the track can be had on our worker."""
        right = self._allowed.get(track)
        return self._allows(track, right, self._transports) if right is not None else []

    def _allows(self, track: Track, right: _Right, transports: Sequence[Transport]) -> list[messages.Command]:
        number = self.room.relays.number_now(track, self.worker)
        if number is None:
            return []  # granted once somebody here plays it
        return [messages.Allow(track=number, subscriber=ours.number, echo=right.echo) for ours in transports]

    def _revokes(self, track: Track) -> list[messages.Command]:
        # Also where its relay has ended just now: the answer says that the worker knows.
        number = track.number if track.worker == self.worker else track.relayed_as.get(self.worker)
        if number is None:
            return []
        return [messages.Revoke(track=number, subscriber=ours.number) for ours in self._transports]

    async def _ask(self, commands: Sequence[messages.Command]) -> None:
        """Grants, all handed over before this waits, so that no revocation comes in between."""
        asked = all_asked(self.room.bridge.ask(self.worker, command) for command in commands)
        try:
            await all_done(asked, gone=(UnknownPeerError, UnknownTrackError))
        except BaseException:
            for future in asked:
                future.cancel()
            raise

    async def _revoke_all(self, commands: Sequence[messages.Command]) -> None:
        self.room.bridge.check_control()
        ask = partial(self.room.bridge.ask, self.worker, retry_when_full=True)
        asked = all_asked(map(ask, commands))
        await all_done(asked, gone=(UnknownPeerError, UnknownTrackError))

    def _fire_and_forget(self, commands: Sequence[messages.Command]) -> None:
        for command in commands:
            self.room.bridge.fire_and_forget(self.worker, command)

    def detach(self, transport: Transport) -> None:
        """Forgets a transport that ends."""
        for ours in (self._transports, self._offered):
            if transport in ours:
                ours.remove(transport)
        self.part.transports.pop(transport.number, None)
        self.room.bridge.note(self.worker, _notes.forgotten_peer(transport.number))
        for track in tuple(transport.tracks):
            transport.forget(track)
        for track in set(transport.playing.values()):
            track.unplayed_by(transport)
