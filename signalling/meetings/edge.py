"""All meetings of LiveKit's SDKs: joins, resumptions, what the engine tells, and what time brings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from livekit.protocol.rtc import SignalRequest, SignalResponse

from signalling import clocks
from signalling.connections import OpenConnection
from signalling.domain.grants import Grant
from signalling.domain.happenings import Seated, Shown
from signalling.domain.ids import ParticipantId, PublicationId, RoomId
from signalling.domain.notices import Reason, notice_of
from signalling.domain.room import PublishedTrack, Seat
from signalling.endings import in_time
from signalling.faults import NotFoundError
from signalling.media import MediaTrack
from signalling.media_events import MediaEvent, PeerConnected, PeerSaid, PictureChosen, Resynced, Speaking
from signalling.meetings import handover
from signalling.meetings.client import Client
from signalling.meetings.conference import Conference, Peers
from signalling.rooms import Rooms
from signalling.rtc import greeting
from signalling.rtc.asked import Asked
from signalling.rtc.line import Line
from signalling.rtc.publishing import source_of
from signalling.tokens import InvalidTokenError

log = structlog.get_logger(__name__)

TICK_EVERY_S = 0.25
RENEW_EVERY = timedelta(minutes=5)
VERSIONS_UNNOTED = 10_000
"""More changes than happen between two notes: what clients were told then is older than what they are told next."""
TOKEN_LIFE = timedelta(minutes=10)
"""So long a client may come back with what it was given; it is given another in between."""


class Renewing(Protocol):
    """Makes tokens."""

    def renew(self, grant: Grant, *, life: timedelta, now: datetime) -> str:
        """Signs another token of the same rights."""


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A client on one line."""

    conference: Conference
    client: Client
    line: Line

    async def on_request(self, request: SignalRequest) -> None:
        """Does what the client asks."""
        await self.conference.on_request(self.client, request)

    def on_end(self) -> None:
        """Takes note that the line has ended."""
        self.conference.on_line_end(self.client, self.line)


class LiveMeetings:
    """The meetings in these rooms."""

    def __init__(
        self,
        rooms: Rooms,
        tokens: Renewing,
        *,
        utc: Callable[[], datetime],
        steady: Callable[[], timedelta] = clocks.steady,
        unix_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self._rooms = rooms
        self._tokens = tokens
        self._utc = utc
        self._steady = steady
        self._unix_ms = unix_ms
        self._conferences: dict[RoomId, Conference] = {}
        self._peers: Peers = {}
        rooms.chronicle.knowing.seated = self._seated
        rooms.chronicle.knowing.shown = self._shown
        rooms.lets = self._lets

    async def join(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> LiveSession:
        """Takes a client in. Whoever is in the room with the same identity already is out before."""
        conference = self._conference(room)
        conference.joins += 1
        try:
            async with in_time(), conference.joining:
                await self._replace(conference, grant)
                client = await self._join(conference, grant, asked, line)
        finally:
            conference.joins -= 1
            self._let_go(room)
        self.renew(conference, client)
        return LiveSession(conference, client, line)

    async def _join(self, conference: Conference, grant: Grant, asked: Asked, line: Line) -> Client:
        connection = await self._rooms.enter(conference.meeting.room.room, grant)
        at, granted = connection.connection.opened_at, conference.meeting.room.granted(grant)
        try:
            return conference.join(connection, granted, asked, line, at=at)
        except BaseException:
            self._rooms.begin_to_close(connection, Reason.SERVER_FAULT)
            raise

    async def resume(self, room: RoomId, grant: Grant, asked: Asked, line: Line) -> LiveSession | None:
        """Goes on with a client. Its rights are those that it has in the meeting, whatever its token says."""
        conference = self._conferences.get(room)
        client = conference.resume(asked.resumes or "", grant, line) if conference is not None else None
        if conference is None or client is None:
            line.tell(greeting.farewell(notice_of(Reason.OUT_OF_STEP)))
            line.hang_up()
            return None
        self.renew(conference, client)
        return LiveSession(conference, client, line)

    def take_up(self) -> None:
        """Goes on with the clients that the server before had, in the rooms that were taken up."""
        for room in self._rooms.all():
            ours = [connection for connection in self._rooms.connections(room.room) if connection.client]
            if ours:
                versions = [handover.version_in(connection.client) for connection in ours]
                self._conferences[room.room] = conference = Conference(
                    self._rooms,
                    room,
                    now=self._steady,
                    unix_ms=self._unix_ms,
                    peers=self._peers,
                    first_version=max(versions) + VERSIONS_UNNOTED,
                )
                conference.take_up(ours)
                for client in tuple(conference.clients.values()):
                    grant = conference.meeting.client(client.sid).grant
                    if room.granted(grant) != grant:
                        # Changed as that server ended: whether what flowed had ended, too, is not known.
                        conference.end(client, Reason.OUT_OF_STEP)

    def on_event(self, event: MediaEvent) -> None:
        """Follows what the engine tells of clients; that a connection has ended comes by way of its room."""
        match event:
            case PeerConnected(peer=peer):
                self._on_connected([peer])
            case Resynced(connected=peers):
                self._on_connected(peers)  # That may be among what was lost.
            case PeerSaid(peer=peer, label=label, payload=payload):
                for conference, client in self._found(peer):
                    conference.talking.on_said(client, label, payload)
            case PictureChosen(peer=peer, track=track, encoding=encoding):
                for conference, client in self._found(peer):
                    conference.on_picture(client, track, is_paused=encoding is None)
            case Speaking(media_room=media_room, peers=peers):
                for room, conference in self._conferences.items():
                    if self._rooms.media_name(room) == media_room:
                        conference.on_speaking(peers)
            case _:
                pass  # What has ended, those who follow the room hear of.

    async def follow_time(self) -> None:
        """Does what is due, again and again."""
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            self.tick()

    def tick(self) -> None:
        """Does what is due now."""
        for room, conference in tuple(self._conferences.items()):
            conference.tick()
            for client in tuple(conference.clients.values()):
                if self._steady() - client.token_at >= RENEW_EVERY:
                    self.renew(conference, client)
            self._let_go(room)

    def _on_connected(self, peers: Iterable[str]) -> None:
        for conference, client in [found for peer in peers for found in self._found(peer)]:
            conference.on_connected(client)

    def _found(self, peer: str) -> Iterator[tuple[Conference, Client]]:
        """Yields whose name in the engine that is; nobody where it is that of a connection by other means."""
        if (found := self._peers.get(peer)) is not None:
            yield found

    def _lets(self, connection: OpenConnection, track: MediaTrack, viewer: ParticipantId) -> bool:
        found = self._peers.get(connection.peer.id)
        return found is None or found[0].elsewhere.lets(found[1], track, viewer)

    def _seated(self, room: RoomId, seat: Seat) -> Seated:
        conference = self._conferences.get(room)
        person = conference.meeting.find(seat.participant) if conference is not None else None
        if person is None or person.member is None:
            return Seated(seat=seat)
        return Seated(seat=seat, grant=person.member.grant, sid=person.sid)

    def _shown(self, room: RoomId, publication: PublicationId, track: PublishedTrack) -> Shown:
        shown, conference = Shown(publication=publication, track=track), self._conferences.get(room)
        info = conference.info_of(track.track) if conference is not None else None
        if info is None:
            return shown
        return replace(
            shown, sid=info.sid, source=source_of(info.source), mime=info.mime_type, muted=info.muted, name=info.name
        )

    def _conference(self, room: RoomId) -> Conference:
        conference = self._conferences.get(room)
        if conference is None:
            found = self._rooms.room(room)
            conference = Conference(self._rooms, found, now=self._steady, unix_ms=self._unix_ms, peers=self._peers)
            self._conferences[room] = conference
        return conference

    async def _replace(self, conference: Conference, grant: Grant) -> None:
        known = conference.meeting.find(grant.participant)
        client = conference.clients.get(known.sid) if known is not None else None
        if client is not None:
            with contextlib.suppress(NotFoundError):  # It has ended just now.
                await self._rooms.close(
                    conference.meeting.room.room, client.connection.resource, reason=Reason.REPLACED
                )
            conference.on_over(client, notice_of(Reason.REPLACED))

    def _let_go(self, room: RoomId) -> None:
        conference = self._conferences.get(room)
        if conference is not None and not conference.clients and not conference.joins:
            conference.close()
            del self._conferences[room]

    def find(self, room: RoomId) -> Conference | None:
        """Returns the clients in a room; None when none is there."""
        return self._conferences.get(room)

    def renew(self, conference: Conference, client: Client) -> None:
        """Gives a client another token, with which it may come back."""
        client.token_at = self._steady()
        member = conference.meeting.member(client.sid)
        if member is not None:
            try:
                token = self._tokens.renew(member.grant, life=TOKEN_LIFE, now=self._utc())
            except InvalidTokenError:
                # What was written on it since is longer than a token may be: it comes back with the one it has.
                log.info("a client gets no other token", component="meetings")
                return
            conference.meeting.tell(client.sid, SignalResponse(refresh_token=token))
            conference.settle()
