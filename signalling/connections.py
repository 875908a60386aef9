"""What is open: rooms with their half in the engine, and the connections in them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from signalling import notes
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.link import Link
from signalling.domain.notices import Reason
from signalling.domain.quarantine import Standing
from signalling.domain.room import Connection, Room, is_allowed_still
from signalling.endings import Endings
from signalling.media import MediaKind, MediaPeer, MediaRoom, MediaTrack, MediaTransport
from signalling.notices import Watch


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a transport gave; one who takes a seat opens none yet."""

    peer: MediaPeer
    transports: tuple[MediaTransport, ...] = ()
    offer: str = ""


@dataclass(slots=True, kw_only=True)
class OpenConnection:
    """A connection with its transports; it stays in its room until its ending is done.

    Attributes:
        transports: the one of WHIP and WHEP; of a client of meetings as many as it has made so far, up to two.
        offer, ice_tag: of WHIP and WHEP; empty otherwise.
        link: how well packets got through when a client of meetings was asked last.
        client: what a client of meetings leaves for the next server, as `meetings.handover` writes it.
        plays: the engine's names of those whose media is all that it is there for; empty of a client of meetings.
    """

    resource: ResourceId
    room: RoomId
    connection: Connection
    peer: MediaPeer
    transports: list[MediaTransport]
    offer: str = ""
    ice_tag: str = ""
    client: str = ""
    plays: tuple[str, ...] = ()
    ending: asyncio.Task[None] | None = None
    watch: Watch = field(default_factory=Watch)
    link: Link | None = None

    @property
    def transport(self) -> MediaTransport:
        """The only one of WHIP and WHEP."""
        return self.transports[0]

    @property
    def tracks(self) -> list[MediaTrack]:
        """What is published over it."""
        return [track for transport in self.transports for track in transport.tracks]

    def leave_note(self) -> None:
        """Leaves what a server after this one must know of it."""
        note = notes.of_connection(
            self.resource,
            self.connection,
            plays=self.plays,
            offer=self.offer,
            ice_tag=self.ice_tag,
            client=self.client,
        )
        self.peer.keep(note)


class OpenRoom:
    """A room with its half in the engine, while that is there; the room is there until its ending is done."""

    def __init__(self, room: Room, media: MediaRoom | None) -> None:
        self.room = room
        self.media = media
        self.lost: list[MediaRoom] = []
        """Its halves in the engine that have ended, until there is another one: the note is on the latest."""
        self.standing = Standing()
        self.moving: asyncio.Task[None] | None = None
        self.staying: frozenset[ParticipantId] = frozenset()
        """Who was in it when the server began to drain, and may connect again."""
        self.open: dict[ResourceId, OpenConnection] = {}
        self.listeners: list[Callable[[], object]] = []
        """Told when somebody comes or goes, or sends something else."""
        self.gone: dict[ParticipantId, Reason] = {}
        """Why people have left since the chronicle looked last."""
        self.is_chronicled = False
        self.ended: Reason | None = None
        self.changing = asyncio.Lock()
        self.ending: asyncio.Task[None] | None = None

    def add(self, connection: OpenConnection) -> None:
        """Takes in a connection."""
        self.open[connection.resource] = connection
        self.changed()

    def discard(self, connection: OpenConnection, reason: Reason) -> None:
        """Forgets a connection."""
        self.open.pop(connection.resource, None)
        self._note_gone(connection, reason)
        self.changed()

    def clear(self, reason: Reason) -> list[OpenConnection]:
        """Forgets and returns all connections."""
        lost = list(self.open.values())
        self.open.clear()
        for connection in lost:
            self._note_gone(connection, reason)
        self.changed()
        return lost

    def end(self, reason: Reason) -> None:
        """Notes that the room is no more."""
        self.ended = reason
        self.changed()

    def changed(self) -> None:
        """Tells those who want to know that somebody came, went, or sends something else."""
        for tell in tuple(self.listeners):
            tell()

    def leave_note(self) -> None:
        """Leaves what a server after this one must know of it; of one that ends, nothing: it would be there again."""
        noted = self.media or next(reversed(self.lost), None)
        if noted is not None and self.ending is None:
            noted.keep(notes.of_room(self.room))

    def waits(self) -> bool:
        """Whether other media is being made for it."""
        return self.media is None and self.moving is not None and not self.moving.done()

    def connections(self) -> list[Connection]:
        """Lists what is open, as the domain sees it."""
        return [opened.connection for opened in self.open.values()]

    def sources(self, name: str) -> list[OpenConnection]:
        """Lists what a participant publishes, or one publication of it, and what will go on."""
        return [opened for opened in self._lasting() if _is_source(opened.connection, name)]

    def publishers(self) -> set[str]:
        """Names those of the engine's participants who publish, and will go on."""
        return {opened.peer.id for opened in self._lasting() if opened.connection.publication is not None}

    def left_alone(self) -> list[OpenConnection]:
        """Lists the connections that play only what has ended or is about to."""
        publishers = self.publishers()
        return [opened for opened in self._lasting() if opened.plays and publishers.isdisjoint(opened.plays)]

    def forbidden(self) -> list[OpenConnection]:
        """Lists what WHIP and WHEP carry by rights that were taken away since.

        A client of a meeting, which has no offer of theirs, keeps its seat: its tracks end one by one.
        """
        return [
            opened
            for opened in self.open.values()
            if opened.offer and not is_allowed_still(self.room, opened.connection)
        ]

    def _note_gone(self, connection: OpenConnection, reason: Reason) -> None:
        if self.is_chronicled:
            self.gone[connection.connection.participant] = reason

    def _lasting(self) -> list[OpenConnection]:
        return [opened for opened in self.open.values() if opened.ending is None]


def _is_source(connection: Connection, name: str) -> bool:
    publication = connection.publication
    return publication is not None and name in (publication.publication, connection.participant)


def new_tag() -> str:
    """Makes an entity tag for one ICE session (RFC 9725 section 4.3.1)."""
    return f'"{secrets.token_hex(8)}"'


async def open_transport(
    media: MediaRoom,
    offer: str,
    *,
    publish: Collection[MediaKind],
    play: Sequence[MediaTrack],
    avoid: Collection[int],
    endings: Endings,
) -> Opened:
    """Makes a participant and answers its offer. Nothing flows to it yet.

    Raises:
        MediaError: this was not possible; the participant ends again, which is not waited for.
    """
    peer = await media.add_participant(avoid=avoid)
    try:
        return Opened(peer, (await peer.answer(offer, publish=publish, play=play),), offer)
    except BaseException:
        endings.begin(peer.remove)
        raise
