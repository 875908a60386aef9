"""One participant's negotiated transport, and the tracks that come over it."""

from __future__ import annotations

import asyncio
import enum
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _bridge, _pending, messages
from pysfu._asked import all_asked, all_done
from pysfu._negotiation import Negotiation
from pysfu.channels import DataChannels
from pysfu.errors import (
    MidInUseError,
    NoFreeSectionError,
    RefusedError,
    TransportFailedError,
    UnknownMidError,
    UnknownPeerError,
    UnknownTrackError,
)
from pysfu.pending import PendingOffer
from pysfu.track import Track

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu.messages import TrackSource
    from pysfu.participant import Participant


class TransportState(enum.StrEnum):
    """How far a transport is."""

    NEW = "new"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


_ENDED = (TransportState.FAILED, TransportState.CLOSED)


class Transport:
    """One participant's negotiated transport."""

    def __init__(self, participant: Participant, number: int, local: messages.LocalTransport | None) -> None:
        self.participant = participant
        self.tracks: list[Track] = []
        self.state = TransportState.NEW
        self.negotiation = Negotiation(self, local)
        self.channels = DataChannels(self)
        self._number = number
        self._playing: dict[str, Track] = {}
        self._used: set[str] = set()
        self._changed = asyncio.Event()
        self.negotiating = asyncio.Lock()
        self._on_end: Callable[[], None] | None = None
        self._on_discard: Callable[[str], None] | None = None

    @property
    def id(self) -> str:
        """A name that no other transport of this Sfu ever has."""
        return f"transport-{self.participant.room.prefix}{self.worker}-{self._number:x}"

    @property
    def number(self) -> int:
        """The engine's number for it."""
        return self._number

    @property
    def worker(self) -> int:
        """The worker that it lives on."""
        return self.participant.worker

    @property
    def sdp(self) -> str:
        """Our latest description that was agreed on."""
        return self.negotiation.sdp

    @property
    def session(self) -> messages.NegotiatedSession | None:
        """What was agreed on."""
        return self.negotiation.session

    @property
    def sent(self) -> Sequence[messages.SentTrack]:
        """What the other end sends by its latest offer, with or without a track, under the names that it has there."""
        return self.negotiation.sent

    @property
    def has_ended(self) -> bool:
        """Whether nothing can flow any more."""
        return self.state in _ENDED

    @property
    def playing(self) -> Mapping[str, Track]:
        """What each media section carries to the participant."""
        return self._playing

    async def connected(self) -> None:
        """Waits until media can flow.

        Raises:
            TransportFailedError: it failed or was closed.
        """
        while self.state is not TransportState.CONNECTED:
            if self.has_ended:
                raise TransportFailedError(f"the transport is {self.state}")
            self._changed.clear()
            await self._changed.wait()

    async def restart(self, offer: str) -> str:
        """Restarts ICE with an offer that has new credentials, and returns the new answer.

        The transport goes on as before until the other end uses the new answer: also when this fails or is cancelled.

        Raises:
            InvalidSdpError: the offer cannot be answered.
        """
        async with self.negotiating:
            await self.negotiation.restart(offer)
            return self.sdp

    async def reanswer(
        self,
        offer: str,
        *,
        mids: Collection[str] | None = None,
        sources: Mapping[str, TrackSource] | None = None,
        encrypted: bool = False,
    ) -> str:
        """Answers a later offer of the other end, and returns the answer.

        What is sent in it anew is published, what is sent no more ends. What is played stays where it is, and there is
        room for more where the offer has more sections for it. New credentials restart ICE.

        Args:
            offer: its description.
            mids: the sections of which tracks are made; None: of all. What comes in others is dropped, until `publish`.
            sources: what new sections show, by name, where it is not a microphone or a camera.
            encrypted: whether the payload of the new ones is end-to-end encrypted.

        Raises:
            InvalidSdpError: the offer cannot be answered; all goes on as before.
            NoFreeSectionError: on this transport we offer.
        """
        async with self.negotiating:
            await self.negotiation.reanswer(offer)
            sent = {section.mid for section in self.session.receive} if self.session is not None else set()
            for track in [track for track in self.tracks if track.mid not in sent]:
                await track.unpublish()
            await self.publish_all(mids=mids, sources=sources or {}, encrypted=encrypted)
            return self.sdp

    async def reoffer(self, play: Collection[Track], *, restart: bool = False) -> PendingOffer:
        """Makes a later offer, after which the other end receives these tracks and no others.

        What it receives and is not among them stops at once. A section that carried something carries something else
        only after an answer in which it carried nothing, so that browsers tell one from the other: until then new ones
        are added, and there is no end of tracks for want of sections unless so many are played at the same time. Used
        with `async with`, as the first offer. One that is given up leaves the transport as it is; another may follow.

        Args:
            play: what it is to receive; each flows once allowed.
            restart: whether to restart ICE.

        Raises:
            NoFreeSectionError: on this transport the other end offers.
            OtherRoomError: something of `play` is in another room.
        """
        self.participant.check_same_room(*(track.publisher for track in play))
        async with self.negotiating:
            waiting = self.negotiation.sections_to_offer().carry(play)
            for track in set(self._playing.values()).difference(play):
                await self.stop(track)
            sdp, pending = await self.negotiation.reoffer(restart=restart)
        return PendingOffer(self, sdp=sdp, pending=pending, waiting=waiting)

    async def publish(self, mid: str, *, source: TrackSource | None = None, encrypted: bool = False) -> Track:
        """Makes a track of one media section in which the other end sends.

        Args:
            mid: its name.
            source: what it shows; None: a microphone or a camera.
            encrypted: whether its payload is end-to-end encrypted.

        Raises:
            UnknownMidError: nothing is sent in it.
            MidInUseError: it has a track.
        """
        sections = self.session.receive if self.session is not None else []
        section = next((section for section in sections if section.mid == mid), None)
        if section is None:
            raise UnknownMidError("nothing is sent in the media section")
        await self._publish(section, source=source, encrypted=encrypted)
        published = next((track for track in self.tracks if track.mid == mid), None)
        if published is None:
            raise UnknownPeerError("the transport has ended")
        return published

    async def play(self, track: Track, *, mid: str | None = None) -> str:
        """Wires a track to a media section and returns the section's name; it flows once allowed.

        Raises:
            NoFreeSectionError: none is left for its kind.
            MidInUseError: the named one plays something, and goes on doing so.
            OtherRoomError: the track is in another room.
        """
        self.participant.check_same_room(track.publisher)
        sections = self.session.send if self.session is not None else []
        free = (section.mid for section in sections if section.kind == track.kind and section.mid not in self._playing)
        chosen = mid if mid is not None else next(free, None)
        if chosen is None:
            raise NoFreeSectionError(f"no free section for {track.kind}")
        if chosen in self._playing:
            raise MidInUseError("the media section is in use")
        self._playing[chosen] = track
        track.played_by.add(self)
        try:
            await self._wire(track, chosen)
        except BaseException:
            if self._playing.get(chosen) is track:
                unwire = messages.Unsubscribe(peer=self._number, mid=chosen)
                self.participant.room.bridge.fire_and_forget(self.worker, unwire)
                del self._playing[chosen]
            if track not in self._playing.values():
                track.unplayed_by(self)
            raise
        if chosen in self._used:
            self._discard(chosen)  # of the track that it played before
        self._used.add(chosen)
        return chosen

    async def _wire(self, track: Track, mid: str) -> None:
        """Has a media section carry a track, which comes through a relay where its publisher is on another worker."""
        relays, wired = self.participant.room.relays, None
        relays.settle(track)
        # The relay may be made anew while this waits.
        while (number := await relays.number_of(track, self.worker)) != wired:
            if self._playing.get(mid) is not track:
                raise UnknownTrackError("the track is not played any more")
            await self.done(messages.Subscribe(peer=self._number, mid=mid, track=number))
            wired = number
        relays.wired(self, mid, track)

    async def stop(self, track: Track) -> None:
        """Takes a track off its media sections."""
        commands = [messages.Unsubscribe(peer=self._number, mid=mid) for mid in self._mids_of(track)]
        stopped = all_asked(self.ask_revocation(command) for command in commands)
        self.forget_playing(track)
        # Where the track has ended meanwhile, the engine has taken it off by itself.
        await all_done(stopped, gone=(UnknownTrackError, UnknownPeerError))

    async def stats(self) -> messages.PeerFigures:
        """Returns its figures."""
        return (await self.call(messages.PeerStats(peer=self._number), messages.PeerStatsReply)).stats

    async def close(self) -> None:
        """Closes it: its tracks end, nothing flows any more when this returns.

        Harmless when it is closed already, while the Sfu is open.
        """
        await all_done([self.end()], gone=(UnknownPeerError,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- for this package ---

    def end(self) -> asyncio.Future[messages.AnyReply]:
        """Ends it; the future is done when nothing flows any more."""
        ended = self.ask_revocation(messages.RemovePeer(peer=self._number))
        self.participant.detach(self)
        self.set_state(TransportState.CLOSED)
        return ended

    def ask_revocation(self, command: messages.Command) -> asyncio.Future[messages.AnyReply]:
        """Hands over a command that takes a right away: neither cancelling nor a full queue keeps it back.

        Raises:
            UnavailableError: `MAX_BACKLOG` are waiting already. The right is still there; ask again.
        """
        return self.participant.room.bridge.ask(self.worker, command, retry_when_full=True)

    async def done(self, command: messages.Command) -> None:
        """Carries out a command that brings nothing."""
        await self.call(command, messages.DoneReply)

    async def call(
        self,
        command: messages.Command,
        reply: type[_bridge.R],
        *,
        undo: _pending.Undo | None = None,
        on_reply: _pending.OnReply | None = None,
    ) -> _bridge.R:
        """Carries out a command, and returns what it brings."""
        return await self.participant.room.bridge.call(self.worker, command, reply, undo=undo, on_reply=on_reply)

    def resume_track(self, state: messages.TrackState) -> Track:
        """Makes a track anew that the engine has already."""
        track = Track(self, state.track, mid=state.mid, kind=state.kind, source=state.source)
        track.muted = state.muted
        self._add(track)
        return track

    def resume_playing(self, playing: Mapping[str, Track]) -> None:
        """Notes what its media sections carry already."""
        self._playing.update(playing)
        self._used.update(playing)
        self.negotiation.sections.resume(playing)
        for mid, track in playing.items():
            track.played_by.add(self)
            self.participant.room.relays.wired(self, mid, track)

    async def publish_all(
        self, *, mids: Collection[str] | None, sources: Mapping[str, TrackSource], encrypted: bool
    ) -> None:
        """Makes a track of every section, or of each of those, in which the participant sends and may."""
        published = {track.mid for track in self.tracks}
        terms = self.negotiation.terms
        for section in self.session.receive if self.session is not None else []:
            may = terms is None or section.kind in terms.kinds
            if section.mid not in published and may and (mids is None or section.mid in mids):
                await self._publish(section, source=sources.get(section.mid), encrypted=encrypted)

    async def _publish(self, section: messages.ReceiveMedia, *, source: TrackSource | None, encrypted: bool) -> None:
        source = source or ("microphone" if section.kind == "audio" else "camera")
        await self.call(
            messages.Publish(peer=self._number, mid=section.mid, source=source, encrypted=encrypted),
            messages.TrackReply,
            undo=lambda reply: messages.Unpublish(track=reply.track),
            on_reply=partial(self._on_published, section, source),
        )

    def _on_published(
        self, section: messages.ReceiveMedia, source: TrackSource, reply: messages.AnyReply | RefusedError
    ) -> None:
        """Notes a track, before anything that the worker said after it is looked at: its first packet may be there."""
        if isinstance(reply, messages.TrackReply) and not self.has_ended:
            track = Track(self, reply.track, mid=section.mid, kind=section.kind, source=source)
            self._add(track)

    def _add(self, track: Track) -> None:
        self.tracks.append(track)
        self.participant.part.tracks[track.number] = track

    def forget_playing(self, track: Track) -> None:
        """Forgets that its media sections carry a track: they are free, and nothing of it is read any more."""
        for mid in self._mids_of(track):
            del self._playing[mid]
            self._discard(mid)
        track.unplayed_by(self)

    def discard(self, track: Track) -> None:
        """Drops what waits to be read of a track that may not flow here any more; only of bots does anything wait."""
        for mid in self._mids_of(track):
            self._discard(mid)

    def _mids_of(self, track: Track) -> list[str]:
        return [mid for mid, playing in self._playing.items() if playing is track]

    def _discard(self, mid: str) -> None:
        if self._on_discard is not None:
            self._on_discard(mid)

    def forget(self, track: Track) -> None:
        """Forgets a track that ends."""
        if track in self.tracks:
            self.tracks.remove(track)
        self.participant.room.forget_track(track)

    def set_state(self, state: TransportState) -> None:
        """Notes how far it is; an ended one stays ended."""
        if self.has_ended:
            return
        self.state = state
        self._changed.set()
        if state in _ENDED and self._on_end is not None:
            self._on_end()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Has `tell` called when the transport ends."""
        self._on_end = tell

    def when_discarding(self, discard: Callable[[str], None]) -> None:
        """Has `discard` called with the section of which nothing that waits may be read any more."""
        self._on_discard = discard
