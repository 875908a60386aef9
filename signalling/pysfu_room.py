"""Rooms and participants, through pysfu's Python API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from signalling.media import (
    MAX_PLAYED,
    START_BITRATE_BPS,
    MediaKind,
    MediaOffer,
    MediaPeer,
    MediaTrack,
    MediaTransport,
    ResumedPeer,
    ResumedRoom,
)
from signalling.pysfu_errors import translated
from signalling.pysfu_transport import PysfuOffer, PysfuTransport, track_of

if TYPE_CHECKING:
    import pysfu

log = structlog.get_logger(__name__)


class PysfuRoom:
    """One room of the engine."""

    def __init__(self, room: pysfu.Room) -> None:
        self._room = room
        self.id = room.id
        self.worker = room.worker

    @property
    def workers(self) -> Collection[int]:
        """All workers that it is on now."""
        return tuple(self._room.workers)

    async def add_participant(self, *, avoid: Collection[int]) -> MediaPeer:
        """Makes one without any right."""
        with translated():
            return PysfuPeer(await self._room.add_participant(avoid=avoid))

    def keep(self, note: bytes) -> None:
        """Leaves a note on it."""
        _keep(self._room.keep, note)

    async def close(self) -> None:
        """Ends the room and all in it."""
        with translated():
            await self._room.close()


@dataclass(frozen=True, slots=True)
class PysfuPeer:
    """One participant of the engine; those of the same participant are equal."""

    inner: pysfu.Participant

    @property
    def id(self) -> str:
        """Its name in the engine."""
        return self.inner.id

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> MediaTransport:
        """Answers an offer, and takes what is sent of these kinds and of no other."""
        theirs = [track_of(track) for track in play]
        start = START_BITRATE_BPS if publish else None
        with translated():
            return PysfuTransport(await self.inner.answer(offer, publish=publish, play=theirs, start_bitrate_bps=start))

    async def take(self, offer: str, *, kinds: Collection[MediaKind]) -> MediaTransport:
        """Answers the first offer of somebody who announces what they send."""
        start = START_BITRATE_BPS if kinds else None
        with translated():
            transport = await self.inner.answer(offer, publish=kinds, data=True, mids=(), start_bitrate_bps=start)
            try:
                # Before they know our answer, so that none of their messages escapes.
                await transport.channels.hold()
            except BaseException:
                self.inner.abandon(transport)
                raise
        return PysfuTransport(transport)

    async def offer(self, play: Collection[MediaTrack]) -> MediaOffer:
        """Makes a first offer of ours, with data channels."""
        first = [track_of(track) for track in play][:MAX_PLAYED]
        with translated():
            pending = await self.inner.offer(play=first, data=True)
            try:
                await pending.transport.channels.hold()
            except BaseException:
                self.inner.abandon(pending.transport)
                raise
        return PysfuOffer(pending)

    async def allow(self, track: MediaTrack) -> None:
        """Lets the track flow to this participant."""
        with translated():
            await self.inner.allow(track_of(track))

    async def revoke(self, track: MediaTrack) -> None:
        """Ends that."""
        with translated():
            await self.inner.revoke(track_of(track))

    async def limit(self, track: MediaTrack, *, encoding: int) -> None:
        """Says which encoding is the best one that this participant gets."""
        with translated():
            await track_of(track).limit(self.inner, encoding=encoding)

    async def allow_data(self, publisher: MediaPeer) -> None:
        """Lets what another one says on data channels flow to this participant."""
        with translated():
            await self.inner.allow_data(_participant_of(publisher))

    async def revoke_data(self, publisher: MediaPeer) -> None:
        """Ends that."""
        with translated():
            await self.inner.revoke_data(_participant_of(publisher))

    def keep(self, note: bytes) -> None:
        """Leaves a note on it."""
        _keep(self.inner.keep, note)

    async def remove(self) -> None:
        """Ends the participant."""
        with translated():
            await self.inner.remove()


def resumed(room: pysfu.Room) -> ResumedRoom:
    """Returns a room that was there before this server."""
    return ResumedRoom(room=PysfuRoom(room), note=room.note, peers=tuple(_resumed_peers(room)))


def has_ended(transport: pysfu.Transport) -> bool:
    """Whether nothing can flow over it any more."""
    return str(transport.state) in ("failed", "closed")


def _resumed_peers(room: pysfu.Room) -> Iterator[ResumedPeer]:
    for participant in room.participants:
        yield ResumedPeer(
            peer=PysfuPeer(participant),
            transports=tuple(PysfuTransport(transport) for transport in participant.transports),
            note=participant.note,
            has_ended=any(has_ended(transport) for transport in participant.transports),
        )


def _participant_of(peer: MediaPeer) -> pysfu.Participant:
    if not isinstance(peer, PysfuPeer):
        raise TypeError("a participant of another engine")
    return peer.inner


def _keep(keep: Callable[[bytes], None], note: bytes) -> None:
    """Leaves a note; where it is too long an empty one, so that what it is about ends with this server."""
    try:
        keep(note)
    except ValueError as error:
        log.warning("does not outlive this server", component="media", error=str(error))
        keep(b"")
