"""One participant's negotiated transport, and the tracks that come over it."""

from __future__ import annotations

import asyncio
import enum
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _bridge, _compiled, _notes, _pending, messages
from pysfu._asked import all_asked, all_done
from pysfu.errors import (
    MidInUseError,
    NoFreeSectionError,
    RefusedError,
    TransportFailedError,
    UnknownPeerError,
    UnknownTrackError,
)
from pysfu.track import Track

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu.messages import MediaKind, TrackSource
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
        self.sdp = ""
        self.state = TransportState.NEW
        self.session: messages.NegotiatedSession | None = None
        self._number = number
        self._local = local
        self._playing: dict[str, Track] = {}
        self._used: set[str] = set()
        self._plan: tuple[messages.MediaPolicy, list[messages.SendPlan], bool] | None = None
        self._changed = asyncio.Event()
        self._negotiating = asyncio.Lock()
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
    def playing(self) -> Mapping[str, Track]:
        """What each media section carries to the participant."""
        return self._playing

    async def connected(self) -> None:
        """Waits until media can flow.

        Raises:
            TransportFailedError: it failed or was closed.
        """
        while self.state is not TransportState.CONNECTED:
            if self.state in _ENDED:
                raise TransportFailedError(f"the transport is {self.state}")
            self._changed.clear()
            await self._changed.wait()

    async def restart(self, offer: str) -> str:
        """Restarts ICE with an offer that has new credentials, and returns the new answer.

        The transport goes on as before until the other end uses the new answer: also when this fails or is cancelled.

        Raises:
            InvalidSdpError: the offer cannot be answered.
        """
        async with self._negotiating:
            if self._plan is None:
                raise NoFreeSectionError("this transport was not made from an offer of the other end")
            policy, send, data = self._plan
            self._answer(offer, self._local, policy=policy, send=send, data=data)  # before anything is changed
            reply = await self._call(messages.RestartIce(peer=self._number), messages.PeerReply)
            await self.apply_offer(offer, policy=policy, send=send, data=data, local=reply.local)
            return self.sdp

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

    async def send_data(self, label: str, payload: bytes, *, binary: bool = True) -> None:
        """Sends a message on the data channel of that label."""
        await self.done(messages.SendData(peer=self._number, label=label, payload=payload, binary=binary))

    async def stats(self) -> messages.PeerFigures:
        """Returns its figures."""
        return (await self._call(messages.PeerStats(peer=self._number), messages.PeerStatsReply)).stats

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
        await self._call(command, messages.DoneReply)

    async def _call(
        self,
        command: messages.Command,
        reply: type[_bridge.R],
        *,
        undo: _pending.Undo | None = None,
        on_reply: _pending.OnReply | None = None,
    ) -> _bridge.R:
        return await self.participant.room.bridge.call(self.worker, command, reply, undo=undo, on_reply=on_reply)

    async def apply_offer(
        self,
        offer: str,
        *,
        policy: messages.MediaPolicy,
        send: Sequence[messages.SendPlan],
        data: bool,
        local: messages.LocalTransport | None = None,
    ) -> messages.Answered:
        """Answers an offer and applies what was negotiated; `local` is what a restart of ICE has drawn."""
        local = local if local is not None else self._local
        answered = self._answer(offer, local, policy=policy, send=send, data=data)

        def applied(reply: messages.AnyReply | RefusedError) -> None:
            if isinstance(reply, RefusedError):
                return
            # Also when whoever asked was cancelled meanwhile: what we know is what the engine has.
            self._local, self.session, self.sdp = local, answered.session, answered.sdp
            self._plan = (policy, list(send), data)
            self.leave_note()
            self.participant.room.relays.renegotiated(self)

        connect = messages.Connect(peer=self._number, session=answered.session)
        await self._call(connect, messages.DoneReply, on_reply=applied)
        return answered

    def _answer(
        self,
        offer: str,
        local: messages.LocalTransport | None,
        *,
        policy: messages.MediaPolicy,
        send: Sequence[messages.SendPlan],
        data: bool,
    ) -> messages.Answered:
        assert local is not None, "bots have no description"
        plan = messages.AnswerPlan(local=local, policy=policy, send=list(send), data=data, previous=self.session)
        return _compiled.answer(offer, plan)

    async def apply_session(self, session: messages.NegotiatedSession) -> None:
        """Applies what was negotiated by an offer of ours."""
        await self.done(messages.Connect(peer=self._number, session=session))
        self.session = session
        self.leave_note()

    def leave_note(self) -> None:
        """Leaves what whoever controls the engine next must know of it; of a bot there is nothing: it ends with us."""
        if self._local is None or self.session is None or self.state in _ENDED:
            return
        policy, send, data = self._plan if self._plan is not None else (None, [], False)
        note = _notes.PeerNote(
            local=self._local,
            session=self.session,
            sdp=self.sdp,
            policy=policy,
            send=send,
            data=data,
            participant=self.participant.note,
        )
        self.participant.room.bridge.note(self.worker, _notes.of_peer(self._number, note))

    def resume(self, note: _notes.PeerNote) -> None:
        """Takes up what was negotiated before this process began."""
        self.session, self.sdp = note.session, note.sdp
        if note.policy is not None:
            self._plan = (note.policy, note.send, note.data)

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
        for mid, track in playing.items():
            track.played_by.add(self)
            self.participant.room.relays.wired(self, mid, track)

    def offer_plan(
        self, *, policy: messages.MediaPolicy, sections: Sequence[messages.Media | messages.Data]
    ) -> messages.OfferPlan:
        """Returns the plan of an offer of ours."""
        assert self._local is not None, "bots have no description"
        return messages.OfferPlan(local=self._local, policy=policy, sections=list(sections), version=1)

    async def publish(
        self, *, kinds: Collection[MediaKind], sources: Mapping[str, TrackSource], encrypted: bool
    ) -> None:
        """Makes a track of every section of these kinds in which the participant sends."""
        published = {track.mid for track in self.tracks}
        for section in self.session.receive if self.session is not None else []:
            if section.mid in published or section.kind not in kinds:
                continue
            usual: TrackSource = "microphone" if section.kind == "audio" else "camera"
            source = sources.get(section.mid, usual)
            await self._call(
                messages.Publish(peer=self._number, mid=section.mid, source=source, encrypted=encrypted),
                messages.TrackReply,
                undo=lambda reply: messages.Unpublish(track=reply.track),
                on_reply=partial(self._on_published, section, source),
            )

    def _on_published(
        self, section: messages.ReceiveMedia, source: TrackSource, reply: messages.AnyReply | RefusedError
    ) -> None:
        """Notes a track, before anything that the worker said after it is looked at: its first packet may be there."""
        if isinstance(reply, messages.TrackReply) and self.state not in _ENDED:
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
        if self.state in _ENDED:
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
