"""Participants of the media engine in memory, with their transports, tracks and offers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_sdp import FakeSection, answer_to, offer_of, sections_of, sent_in, ufrag_of

from pysfu._sections import Sections  # where a track is placed is the real thing, too
from signalling.domain.flow import Still
from signalling.domain.link import Link
from signalling.media import (
    MAX_PLAYED,
    ChannelInUseError,
    ChannelNotOpenError,
    EncodingHeldError,
    EngineFullError,
    EngineUnavailableError,
    InvalidOfferError,
    MediaApartError,
    MediaError,
    MediaGoneError,
    MediaKind,
    MediaLaterError,
    MediaNotAllowedError,
    MediaPeer,
    MediaSource,
    MediaTrack,
    MediaTransport,
)
from signalling.media_events import PeerSaid

if TYPE_CHECKING:
    from fake_engine import FakeEngine

MAX_TRACKS = 12
"""Most tracks of one transport, as in the engine."""


@dataclass(eq=False)
class FakeTrack:
    """A track.

    Attributes:
        holds: whether who receives it keeps the encoding they began with.
    """

    id: str
    kind: MediaKind
    transport: FakeTransport = field(repr=False)
    mid: str
    shows: MediaSource | None = None
    encrypted: bool = False
    codec: str | None = None
    names: tuple[str, str] = ("", "")
    muted: bool = False
    ended: bool = False
    holds: bool = False

    def __post_init__(self) -> None:
        self.names = (self.transport.peer.id, self.id)
        self.transport.tracks.append(self)
        self.transport.peer.tracks.append(self)

    def call(self, stream: str, track: str) -> None:
        self.names = (stream, track)

    async def mute(self, *, muted: bool) -> None:
        await self.transport.turn("mute")
        self.check_lives()
        self.muted = muted

    async def unpublish(self) -> None:
        await self.transport.peer.engine.turn("unpublish")
        self.end()

    def check_lives(self) -> None:
        if self.ended:
            raise MediaGoneError("there is no such track")

    def end(self) -> None:
        """Ends it, and with it every right to it and where it plays."""
        if self.ended:
            return
        self.ended = True
        self.transport.tracks.remove(self)
        self.transport.peer.tracks.remove(self)
        for peer in self.transport.peer.engine.peers():
            peer.forget(self)


@dataclass(frozen=True)
class Sent:
    """A message that has left for the other end; `publisher` is who said it, None the server."""

    label: str
    payload: bytes
    publisher: str | None


@dataclass(eq=False)
class FakeTransport:
    """A transport.

    Attributes:
        sections: those of our offers, where it is we who offer.
        playing: what its sections carry by the latest answer.
        offers: all offers of ours on it.
        channels: the open data channels, each with whether it is ordered and how often what was lost is sent again.
        messages: what has left for the other end.
        connected: whether it is; a test may say that it is not yet.
        full: whether as much waits as may.
    """

    sdp: str
    peer: FakePeer = field(repr=False)
    tracks: list[FakeTrack] = field(default_factory=list)
    generation: int = 1
    restarted_with: str | None = None
    kinds: frozenset[MediaKind] = frozenset()
    sent: list[FakeSection] = field(default_factory=list)
    sections: Sections | None = None
    playing: dict[str, FakeTrack] = field(default_factory=dict)
    offers: list[FakeOffer] = field(default_factory=list)
    channels: dict[str, tuple[bool, int | None]] = field(default_factory=dict)
    messages: list[Sent] = field(default_factory=list)
    connected: bool = True
    full: bool = False
    ended: bool = False

    @property
    def is_offered(self) -> bool:
        return self.sections is not None

    @property
    def carried(self) -> list[FakeTrack]:
        return list(self.playing.values())

    @property
    def outstanding(self) -> FakeOffer | None:
        """The latest offer, while it waits for its answer."""
        return self.offers[-1] if self.offers and self.offers[-1].state == "open" else None

    async def turn(self, what: str) -> None:
        """A point at which the real engine waits, and may refuse."""
        await self.peer.engine.turn(what)
        self.check_lives()

    def check_lives(self) -> None:
        if self.ended or self.peer.removed:
            raise MediaGoneError("there is no such peer")

    @property
    def still(self) -> list[Still]:
        return self.peer.still

    async def link(self) -> Link:
        self.peer.asked += 1
        await asyncio.sleep(0)
        if self.peer.engine.unavailable:
            raise EngineUnavailableError
        return self.peer.link

    async def restart(self, offer: str) -> str:
        await self.peer.engine.pause()
        self.check_lives()
        self.restarted_with = offer
        self.generation += 1
        self.sdp = answer_to(offer, self.generation)
        return self.sdp

    async def reanswer(self, offer: str, *, mids: Collection[str]) -> str:
        await self.turn("reanswer")
        check_answerable(offer)
        if self.is_offered:
            raise InvalidOfferError("on this transport we offer")
        if ufrag_of(offer) != ufrag_of(self.restarted_with or ""):
            self.generation += 1
        self.take_in(offer)
        for track in [track for track in self.tracks if track.mid not in {section.mid for section in self.sent}]:
            track.end()
        for section in self.sent:
            if section.mid in mids and section.kind in self.kinds and self._track_in(section.mid) is None:
                self._publish(section, shows=None, encrypted=False)
        self.sdp = answer_to(offer, self.generation)
        return self.sdp

    def take_in(self, offer: str) -> None:
        self.restarted_with, self.sent = offer, sent_in(offer)

    async def publish(self, mid: str, *, shows: MediaSource | None, encrypted: bool) -> FakeTrack:
        await self.turn("publish")
        section = next((each for each in self.sent if each.mid == mid and each.kind in self.kinds), None)
        if section is None:
            raise MediaGoneError("nothing is sent in the media section")
        if self._track_in(mid) is not None:
            raise MediaError("the media section has a track")
        return self._publish(section, shows=shows, encrypted=encrypted)

    def _publish(self, section: FakeSection, *, shows: MediaSource | None, encrypted: bool) -> FakeTrack:
        if self.peer.engine.full or len(self.tracks) >= MAX_TRACKS:
            raise EngineFullError("the engine is full: tracks per peer")
        name = f"track{next(self.peer.engine.numbers)}"
        return FakeTrack(name, section.kind, self, section.mid, shows, encrypted)

    def _track_in(self, mid: str) -> FakeTrack | None:
        return next((track for track in self.tracks if track.mid == mid), None)

    async def reoffer(self, play: Collection[MediaTrack], *, restart: bool) -> FakeOffer:
        await self.turn("reoffer")
        if self.sections is None:
            raise InvalidOfferError("on this transport the other end offers")
        self.playing = {mid: track for mid, track in self.playing.items() if track in play}
        self.generation += restart
        return FakeOffer(self, list(play), is_first=False)

    async def open_channel(self, label: str, *, ordered: bool, max_retransmits: int | None) -> None:
        await self.turn("open_channel")
        if not self.connected:
            raise ChannelNotOpenError("there are no data channels before the transport has connected")
        if label in self.channels:
            raise ChannelInUseError("the transport has a data channel of that label")
        self.channels[label] = (ordered, max_retransmits)

    async def send(self, label: str, payload: bytes, *, publisher: MediaTransport | None) -> None:
        engine = self.peer.engine
        # Decided before anything waits: messages arrive in the order in which the calls begin.
        if engine.unavailable or self.full:
            raise MediaLaterError("as much waits as may")
        engine.refuse("send")
        self.check_lives()
        said_by = None
        if publisher is not None:
            assert isinstance(publisher, FakeTransport)
            publisher.check_lives()
            said_by = publisher.peer.id
            self.peer.check_together(publisher.peer)
            if said_by not in self.peer.data_from:
                raise MediaNotAllowedError("nobody lets messages of that publisher flow to the participant")
        if label not in self.channels:
            raise ChannelNotOpenError("there is no open data channel of that label")
        self.messages.append(Sent(label, payload, said_by))
        await engine.pause()

    def end(self) -> None:
        self.ended = True
        self.playing.clear()
        for track in list(self.tracks):
            track.end()


class FakeOffer:
    """An offer of ours; its state is open, accepted or cancelled."""

    def __init__(self, transport: FakeTransport, play: Sequence[MediaTrack], *, is_first: bool) -> None:
        sections: Any = transport.sections  # pysfu's, which asks tracks for their kind only
        assert sections is not None, "on this transport we offer"
        waiting = sections.carry(play)
        if is_first:
            sections.add(data=True)
        self.transport = transport
        self.carries: Mapping[str, FakeTrack] = sections.carried()
        self.is_whole = not any(sections.will_be_free(track.kind) for track in waiting)
        self.is_first = is_first
        self.state = "open"
        kinds = [section.kind for section in sections.sections]
        names = {mid: track.names for mid, track in self.carries.items()}
        self.sdp = offer_of(kinds, names, generation=transport.generation)
        transport.offers.append(self)

    async def accept(self, answer: str) -> FakeTransport:
        transport = self.transport
        await transport.turn("accept")
        check_answerable(answer)
        if transport.offers[-1] is not self or self.state != "open":
            raise InvalidOfferError("the answer is one to an older offer")
        if len(sections_of(answer)) != len(sections_of(self.sdp)):
            raise InvalidOfferError("the answer has other media sections than the offer")
        assert transport.sections is not None
        transport.sections.settle()
        self.state, transport.sdp = "accepted", self.sdp
        transport.playing = {mid: track for mid, track in self.carries.items() if not track.ended}
        if self.is_first:
            transport.peer.transports.append(transport)
        return transport

    async def cancel(self) -> None:
        await self.transport.peer.engine.pause()
        self.state = "cancelled"
        if self.is_first:
            self.transport.end()


@dataclass(eq=False)
class FakePeer:
    """A participant.

    Attributes:
        tracks: what it publishes.
        transports: those that it was taken with, and those on which it has answered an offer.
        offered: those on which a first offer was made.
        edges: the ids of the tracks that may flow to it.
        data_from: the ids of the participants whose messages may.
        limits: the best encodings that it gets, by the ids of tracks.
        still: what of its tracks, and of what it plays, does not flow.
        asked: how often its links were asked for.
    """

    id: str
    engine: FakeEngine = field(repr=False)
    tracks: list[FakeTrack] = field(default_factory=list)
    transports: list[FakeTransport] = field(default_factory=list)
    offered: list[FakeTransport] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    data_from: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    worker: int = 0
    removed: bool = False
    held: asyncio.Event | None = None
    leaving: bool = False
    note: bytes = field(default=b"", repr=False)
    still: list[Still] = field(default_factory=list)
    link: Link = field(default_factory=Link)
    asked: int = 0

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> FakeTransport:
        await self.engine.pause()
        check_answerable(offer)
        self.engine.played[self.id] = [track.id for track in play]
        transport = FakeTransport(answer_to(offer, 1), self)
        for section in sent_in(offer):
            if section.kind in publish:
                FakeTrack(f"{self.id}-{section.kind}", section.kind, transport, section.mid)
        return transport

    async def take(self, offer: str, *, kinds: Collection[MediaKind]) -> FakeTransport:
        await self._turn("take")
        check_answerable(offer)
        transport = FakeTransport(answer_to(offer, 1), self, kinds=frozenset(kinds))
        transport.take_in(offer)
        self.transports.append(transport)
        return transport

    async def offer(self, play: Collection[MediaTrack]) -> FakeOffer:
        await self._turn("offer")
        transport = FakeTransport("", self, sections=Sections())
        self.offered.append(transport)
        return FakeOffer(transport, list(play)[:MAX_PLAYED], is_first=True)

    async def allow(self, track: MediaTrack) -> None:
        await self.engine.pause()
        self.engine.refuse("allow")
        if self.removed or track.id not in self.engine.live_tracks():
            raise MediaGoneError("there is no such track")
        if track.id not in self.edges:
            self.edges.append(track.id)

    async def revoke(self, track: MediaTrack) -> None:
        await self.engine.turn("revoke")
        self.engine.revocations += 1
        if track.id in self.edges:
            self.edges.remove(track.id)

    async def limit(self, track: MediaTrack, *, encoding: int) -> None:
        await self._turn("limit")
        assert isinstance(track, FakeTrack)
        if not any(track in transport.playing.values() for transport in self.transports):
            raise MediaGoneError("no transport of the participant plays the track")
        if track.holds:
            raise EncodingHeldError("the track hides its keyframes")
        self.limits[track.id] = encoding

    async def allow_data(self, publisher: MediaPeer) -> None:
        await self._turn("allow_data")
        assert isinstance(publisher, FakePeer)
        self.check_together(publisher)
        if not publisher.removed:
            self.data_from.add(publisher.id)

    async def revoke_data(self, publisher: MediaPeer) -> None:
        await self.engine.turn("revoke_data")
        self.engine.revocations += 1
        self.data_from.discard(publisher.id)

    def keep(self, note: bytes) -> None:
        self.note = note

    async def remove(self) -> None:
        self.leaving = True
        await asyncio.sleep(0)
        for held in filter(None, (self.held, self.engine.held)):
            await held.wait()
        if self.engine.unavailable:
            raise EngineUnavailableError
        self.vanish()

    def vanish(self) -> None:
        """Ends with all that it has."""
        self.removed = True
        for track in list(self.tracks):
            track.end()
        for transport in (*self.transports, *self.offered):
            transport.end()
        for peer in self.engine.peers():
            peer.data_from.discard(self.id)
        self.edges.clear()
        self.data_from.clear()

    def say(self, label: str, payload: bytes) -> None:
        """Has the engine tell of a message."""
        self.engine.happened.put_nowait(PeerSaid(peer=self.id, label=label, payload=payload))

    def heard(self) -> list[Sent]:
        """Lists the messages that have left for it."""
        return [message for transport in self.transports for message in transport.messages]

    def forget(self, track: FakeTrack) -> None:
        """Forgets a track that has ended."""
        if track.id in self.edges:
            self.edges.remove(track.id)
        self.limits.pop(track.id, None)
        for transport in (*self.transports, *self.offered):
            transport.playing = {mid: played for mid, played in transport.playing.items() if played is not track}

    def check_together(self, other: FakePeer) -> None:
        if other.worker != self.worker:
            raise MediaApartError("the participants are on different workers, between which no messages go")

    async def _turn(self, what: str) -> None:
        await self.engine.turn(what)
        if self.removed:
            raise MediaGoneError("there is no such peer")


def check_answerable(description: str) -> None:
    if "a=unanswerable" in description:
        raise InvalidOfferError("no codec in common in the media section 0")
