"""A participant's transport and what goes over it, through pysfu's Python API."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signalling.domain.flow import Cause, Still
from signalling.domain.ids import TrackId
from signalling.domain.link import Link
from signalling.figures import link_of
from signalling.media import (
    MediaGoneError,
    MediaKind,
    MediaLaterError,
    MediaSection,
    MediaSource,
    MediaTrack,
    MediaTransport,
)
from signalling.pysfu_errors import translated

if TYPE_CHECKING:
    import pysfu


@dataclass(frozen=True, slots=True)
class PysfuTrack:
    """A track of a publisher; those of the same track are equal."""

    inner: pysfu.Track

    @property
    def id(self) -> str:
        """Its name in the engine."""
        return self.inner.id

    @property
    def kind(self) -> MediaKind:
        """What is sent in it."""
        return self.inner.kind

    @property
    def codec(self) -> str | None:
        """How it is encoded, where that is known."""
        return self.inner.codec

    def call(self, stream: str, track: str) -> None:
        """Says by which names its receivers know it."""
        self.inner.msid = (stream, track)

    async def mute(self, *, muted: bool) -> None:
        """Stops it for everyone, or lets it flow again."""
        with translated():
            await (self.inner.mute() if muted else self.inner.unmute())

    async def unpublish(self) -> None:
        """Ends it."""
        with translated():
            await self.inner.unpublish()


def track_of(track: MediaTrack) -> pysfu.Track:
    """Returns pysfu's track.

    Raises:
        TypeError: it is of another engine.
    """
    if not isinstance(track, PysfuTrack):
        raise TypeError("a track of another engine")
    return track.inner


def _still(track: pysfu.Track, cause: Cause, *, is_own: bool) -> Still:
    return Still(track=TrackId(track.id), kind=track.kind, cause=cause, is_own=is_own)


@dataclass(frozen=True, slots=True)
class PysfuTransport:
    """A negotiated transport; those of the same transport are equal."""

    inner: pysfu.Transport

    @property
    def sdp(self) -> str:
        """Our latest description that was agreed on."""
        return self.inner.sdp

    @property
    def tracks(self) -> Sequence[MediaTrack]:
        """What the participant publishes over it now."""
        return [PysfuTrack(track) for track in self.inner.tracks]

    @property
    def is_offered(self) -> bool:
        """Whether it is we who offer on it."""
        return self.inner.negotiation.is_ours

    @property
    def carried(self) -> Sequence[MediaTrack]:
        """What its media sections carry to the participant."""
        return [PysfuTrack(track) for track in self.inner.playing.values()]

    @property
    def sent(self) -> Sequence[MediaSection]:
        """What the other end sends by its latest offer."""
        return self.inner.sent

    async def restart(self, offer: str) -> str:
        """Restarts ICE, and returns the new answer."""
        with translated():
            return await self.inner.restart(offer)

    @property
    def still(self) -> list[Still]:
        """What of its tracks, and of what it carries, does not flow although it should."""
        own = [_still(track, Cause.NOTHING_ARRIVES, is_own=True) for track in self.inner.tracks if track.stalled]
        played = [(track, track.stalled_at.get(self.inner)) for track in self.inner.playing.values()]
        return own + [_still(track, Cause(why), is_own=False) for track, why in played if why is not None]

    async def link(self) -> Link:
        """Returns how well packets have got through so far."""
        with translated():
            return link_of(await self.inner.stats())

    async def reanswer(self, offer: str, *, mids: Collection[str]) -> str:
        """Answers a later offer of the other end, and returns the answer."""
        with translated():
            return await self.inner.reanswer(offer, mids=mids)

    async def publish(self, mid: str, *, shows: MediaSource | None, encrypted: bool) -> MediaTrack:
        """Makes a track of what is sent in a section."""
        with translated(unknown_mid=MediaGoneError):
            return PysfuTrack(await self.inner.publish(mid, source=shows, encrypted=encrypted))

    async def reoffer(self, play: Collection[MediaTrack], *, restart: bool) -> PysfuOffer:
        """Makes a later offer of ours, after which these tracks are received and no others."""
        tracks = [track_of(track) for track in play]
        with translated():
            return PysfuOffer(await self.inner.reoffer(tracks, restart=restart))

    async def open_channel(self, label: str, *, ordered: bool, max_retransmits: int | None) -> None:
        """Opens a data channel."""
        with translated():
            await self.inner.channels.open(label, ordered=ordered, max_retransmits=max_retransmits)

    async def send(self, label: str, payload: bytes, *, publisher: MediaTransport | None) -> None:
        """Sends on a data channel what came over another transport, or what is the server's own."""
        said_on = transport_of(publisher) if publisher is not None else None
        # Either of these may be said again: the channel is full, or the worker has been asked for too much at once.
        with translated(full=MediaLaterError, unavailable=MediaLaterError):
            await self.inner.channels.send(label, payload, publisher=said_on)


def transport_of(transport: MediaTransport) -> pysfu.Transport:
    """Returns pysfu's transport.

    Raises:
        TypeError: it is of another engine.
    """
    if not isinstance(transport, PysfuTransport):
        raise TypeError("a transport of another engine")
    return transport.inner


class PysfuOffer:
    """An offer of ours, which waits for its answer."""

    def __init__(self, pending: pysfu.PendingOffer) -> None:
        sections = pending.transport.negotiation.sections
        self._pending = pending
        self.carries: Mapping[str, MediaTrack] = {mid: PysfuTrack(track) for mid, track in sections.carried().items()}
        self.is_whole = not any(sections.will_be_free(track.kind) for track in pending.waiting)

    @property
    def sdp(self) -> str:
        """For the other end."""
        return self._pending.sdp

    async def accept(self, answer: str) -> MediaTransport:
        """Takes the answer."""
        with translated():
            return PysfuTransport(await self._pending.accept(answer))

    async def cancel(self) -> None:
        """Gives it up."""
        with translated():
            await self._pending.cancel()
