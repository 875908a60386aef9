"""What is open: rooms with their half in the engine, and the connections in them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass

from signalling.domain.ids import ResourceId, RoomId
from signalling.domain.room import Connection, Room
from signalling.media import MediaKind, MediaPeer, MediaRoom, MediaTrack, MediaTransport


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a transport gave."""

    peer: MediaPeer
    transport: MediaTransport
    offer: str


@dataclass(slots=True, kw_only=True)
class OpenConnection:
    """A connection with its transport."""

    resource: ResourceId
    room: RoomId
    connection: Connection
    peer: MediaPeer
    transport: MediaTransport
    offer: str
    ice_tag: str
    plays: tuple[str, ...] = ()


class OpenRoom:
    """A room with its half in the engine."""

    def __init__(self, room: Room, media: MediaRoom) -> None:
        self.room = room
        self.media = media
        self.open: dict[ResourceId, OpenConnection] = {}
        self.changing = asyncio.Lock()

    def connections(self) -> list[Connection]:
        """Lists what is open, as the domain sees it."""
        return [opened.connection for opened in self.open.values()]

    def publishers(self) -> set[str]:
        """Names those of the engine's participants who publish."""
        return {opened.peer.id for opened in self.open.values() if opened.connection.publication is not None}


def new_tag() -> str:
    """Makes an entity tag for one ICE session (RFC 9725 section 4.3.1)."""
    return f'"{secrets.token_hex(8)}"'


async def open_transport(
    media: MediaRoom, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]
) -> Opened:
    """Makes a participant and answers its offer. Nothing flows to it yet."""
    peer = await media.add_participant()
    try:
        return Opened(peer, await peer.answer(offer, publish=publish, play=play), offer)
    except BaseException:
        await finish(peer.remove())
        raise


async def finish(action: Awaitable[None]) -> None:
    """Carries an ending through, even when whoever asked for it is cancelled meanwhile."""
    ending = asyncio.ensure_future(action)
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait([ending])
        raise
