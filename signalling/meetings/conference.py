"""One room's clients of LiveKit's protocol: what they ask goes into the meeting, what that decides is carried out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from livekit.protocol.models import TrackInfo
from livekit.protocol.rtc import SignalRequest, SyncState

from signalling.connections import OpenConnection
from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Notice, Reason
from signalling.domain.room import Room
from signalling.endings import ended as all_ended
from signalling.endings import in_time
from signalling.media import InvalidOfferError, MediaError, MediaTrack
from signalling.meetings import handover
from signalling.meetings.client import Client
from signalling.meetings.downlink import Downlink
from signalling.meetings.elsewhere import Elsewhere
from signalling.meetings.talking import Talking
from signalling.meetings.uplink import Uplink
from signalling.rooms import Rooms
from signalling.rtc import conditions, greeting, infos, requests
from signalling.rtc.asked import Asked
from signalling.rtc.line import Line
from signalling.rtc.meeting import Meeting, NotThereError
from signalling.rtc.person import Person
from signalling.rtc.publishing import may_send
from signalling.rtc.quality import TOLD_EVERY
from signalling.rtc.receiving import Wanted

log = structlog.get_logger(__name__)

RESUME_WITHIN = timedelta(seconds=30)
"""How long a client may be without its line: as long as its media may be without a way."""

_SAYS_NOTHING = frozenset({"ping", "ping_req", "trickle"})
"""After which nothing is otherwise than before; and they come often."""

_SAYS_HOW = frozenset({"subscription", "track_setting", "sync_state"})
"""What is wanted, and how good; what else changes that moves the meeting."""

Peers = dict[str, tuple["Conference", Client]]
"""The clients of all meetings, by the names that they have in the engine: as many as are in rooms."""


class Conference:
    """The clients in one room."""

    def __init__(
        self,
        rooms: Rooms,
        room: Room,
        *,
        now: Callable[[], timedelta],
        unix_ms: Callable[[], int],
        peers: Peers,
        first_version: int = 1,
    ) -> None:
        self.meeting = Meeting(
            room,
            new_sid=lambda prefix: prefix + secrets.token_hex(infos.SID_DIGITS // 2),
            first_offer=lambda: secrets.randbelow(256),
            first_version=first_version,
        )
        self.clients: dict[str, Client] = {}
        self.tracks: dict[str, MediaTrack] = {}
        self.now = now
        self.joining = asyncio.Lock()
        self.joins = 0  # under way: those who wait for the lock, too
        self.talking = Talking(self)
        self._rooms = rooms
        self._peers = peers
        self._unix_ms = unix_ms
        self._uplinks: dict[str, Uplink] = {}
        self._downlinks: dict[str, Downlink] = {}
        self._unnoted: set[str] = set()
        self._told_qualities_at = now()
        self.elsewhere = Elsewhere(self, rooms)
        self.elsewhere.look()

    def close(self) -> None:
        """Lets go of the room, once no client is in it any more."""
        self.elsewhere.close()
        self.talking.close()

    # --- coming and going ---

    def join(self, connection: OpenConnection, grant: Grant, asked: Asked, line: Line, *, at: datetime) -> Client:
        """Takes in a client that has a seat now, and tells it so."""
        client = self._take(self.meeting.join(grant, asked, at=at), connection, line=line)
        self.settle()
        return client

    def resume(self, sid: str, grant: Grant, line: Line) -> Client | None:
        """Takes the next line of a client; None: it has to join anew."""
        self.settle()  # what was to be said before says nothing to the next line
        client = self.clients.get(sid)
        if client is None or client.connection.ending is not None or self.meeting.resume(sid, grant) is None:
            return None
        if client.line is not None:
            client.line.hang_up()
        client.line, client.lost_at = line, None
        client.stirred.set()
        self.settle()
        return client

    def take_up(self, connections: Sequence[OpenConnection]) -> None:
        """Goes on with those whom the server before had: they are soon back, or gone."""
        people: list[Person] = []
        for connection in connections:
            try:
                noted = handover.read(connection.client)
                person, tracks = handover.taken_up(noted, connection, new_sid=lambda: self.meeting.new_sid("TR_"))
            except ValueError:
                log.warning("a client cannot go on: what was noted of it cannot be read", component="meetings")
                self._rooms.begin_to_close(connection, Reason.OUT_OF_STEP)
                continue
            self.tracks.update(tracks)
            self._take(person, connection, line=None).take_back()
            people.append(person)
        self.meeting.take_up((person, self.sids_of(self.clients[person.sid].carried())) for person in people)
        self.elsewhere.look()

    def on_line_end(self, client: Client, line: Line) -> None:
        """Takes note that a line has ended; of a client without media nothing is worth waiting for."""
        if client.line is not line:
            return  # It has another one already.
        client.line, client.lost_at = None, self.now()
        self.meeting.lose_line(client.sid)
        if not client.is_connected:
            self.end(client, Reason.SIGNAL_LOST)

    def end(self, client: Client, reason: Reason) -> None:
        """Begins to end a client's seat; it is told once the engine has done it."""
        self._rooms.begin_to_close(client.connection, reason)

    # --- what clients ask ---

    async def on_request(self, client: Client, request: SignalRequest) -> None:
        """Does what a client asks."""
        if client.sid not in self.clients:
            return
        try:
            async with client.asking:
                await self._do(client, request)
        except InvalidOfferError as error:
            log.info("a client's description was refused", component="meetings", error=str(error))
            self.end(client, Reason.OUT_OF_STEP)
        except (MediaError, NotThereError) as error:
            # It has ended, or is about to, or the worker is late: the client is told of what comes of that.
            log.info("a client's request came too late", component="meetings", error=type(error).__name__)
            if request.WhichOneof("message") == "offer":
                self.end(client, Reason.SERVER_FAULT)  # It would wait for the answer.
        if request.WhichOneof("message") not in _SAYS_NOTHING:
            client.stirred.set()
            self.note(client)
        if request.WhichOneof("message") in _SAYS_HOW:
            self.look_at_qualities()
        self.settle()

    async def _do(self, client: Client, request: SignalRequest) -> None:
        uplink, downlink = self._uplinks[client.sid], self._downlinks[client.sid]
        match request.WhichOneof("message"):
            case "offer":
                await uplink.offer(request.offer)
            case "answer":
                await downlink.answer(request.answer)
            case "mute":
                await uplink.mute(request.mute.sid, muted=request.mute.muted)
            case "sync_state":
                await self._sync(client, request.sync_state)
            case "leave":
                self.end(client, Reason.LEFT)
            case kind:
                requests.answer(self.meeting, client.sid, request, unix_ms=self._unix_ms())
                if kind == "add_track":
                    await uplink.bind()
                elif kind == "subscription_permission":
                    self.elsewhere.narrow(client)
                    self.note(client)
                    self._leave_notes()  # at once: the next server would let others have what it says no more

    async def _sync(self, client: Client, state: SyncState) -> None:
        if not requests.is_in_step(self.meeting, client.sid, state):
            self.end(client, Reason.OUT_OF_STEP)
            return
        heard = {each.publisher_sid: each.last_seq for each in state.datachannel_receive_states}
        await self.talking.catch_up(client, heard)

    # --- what an administrating system asks ---

    async def change(self, client: Client, grant: Grant) -> None:
        """Gives a client other words and rights; what flows by lost ones has ended when this returns."""
        publishing = self.meeting.client(client.sid).publishing
        lost = [sid for sid, track in publishing.tracks.items() if not may_send(grant, track.info.source, track.kind)]
        self.note(client)
        self.meeting.rename(client.sid, grant)
        self.meeting.withdraw(client.sid, lost)
        ended = [track for sid in lost if (track := self.track(sid)) is not None]
        self.forget_tracks(lost)
        self.settle()
        # All begin before anything waits, and each goes on until the engine has done it.
        ends = [self._rooms.begin_to_end(track) for track in ended]
        await all_ended(ends)
        async with in_time():
            await self._caught_up()
        self.show_sent(client)

    async def mute(self, client: Client, sid: str, *, muted: bool) -> None:
        """Stops a track for everybody, or lets it flow again; its publisher is told."""
        track = self.track(sid)
        self.note(client)
        self.meeting.mute(client.sid, sid, muted=muted, by_server=True)
        if track is not None:
            await track.mute(muted=muted)
        self.settle()

    # --- what the engine tells ---

    def on_connected(self, client: Client) -> None:
        """Takes note that a client's media flows."""
        client.is_connected = True
        client.stirred.set()
        self.meeting.connected(client.sid)
        self.settle()

    def on_speaking(self, peers: Sequence[tuple[str, int]]) -> None:
        """Takes note of who speaks, by the engine's names."""
        sids = {client.connection.peer.id: client.sid for client in self.clients.values()}
        for opened in self.elsewhere.connections():
            if (person := self.meeting.find(opened.connection.participant)) is not None:
                sids[opened.peer.id] = person.sid
        conditions.speak(self.meeting, [(sids[peer], level) for peer, level in peers if peer in sids])
        self.settle()

    def on_picture(self, client: Client, track: str, *, is_paused: bool) -> None:
        """Takes note that a picture is paused, or no more; of one that is not to flow that says nothing."""
        for sid in [sid for sid, known in self.tracks.items() if known.id == track]:
            if self.meeting.client(client.sid).receiving.flows(sid):
                conditions.pause(self.meeting, client.sid, sid, is_paused=is_paused)
        self.settle()

    # --- time ---

    def tick(self) -> None:
        """Does what is due."""
        now = self.now()
        for client in tuple(self.clients.values()):
            if not client.unheard.is_empty:
                client.stirred.set()
            is_lost = client.lost_at is not None and now - client.lost_at >= RESUME_WITHIN
            if is_lost:
                self.end(client, Reason.SIGNAL_LOST)
            elif self.meeting.client(client.sid).receiving.offering.is_late(now=now):
                self.end(client, Reason.OUT_OF_STEP)
        if now - self._told_qualities_at >= TOLD_EVERY:
            self._told_qualities_at = now
            links = ((client.sid, client.connection.link) for client in self.clients.values())
            conditions.judge(self.meeting, {sid: link for sid, link in links if link is not None})
        self._leave_notes()
        due = conditions.dynacast_due(self.meeting)
        if due is not None and now >= due:
            self.look_at_qualities()
        self.settle()

    # --- for its parts ---

    def track(self, sid: str) -> MediaTrack | None:
        """Returns the track of that name; None when it has ended."""
        return self.tracks.get(sid)

    def sids_of(self, tracks: Iterable[MediaTrack]) -> list[str]:
        """Returns what clients call these tracks; of those that have ended nothing."""
        names = {track.id: sid for sid, track in self.tracks.items()}
        return [names[track.id] for track in tracks if track.id in names]

    def info_of(self, track: str) -> TrackInfo | None:
        """Returns what clients are told of the track that the engine calls so."""
        sid = next((sid for sid, known in self.tracks.items() if known.id == track), None)
        person = self.meeting.tracks().get(sid) if sid is not None else None
        return person.tracks[sid] if person is not None and sid is not None else None

    def forget_tracks(self, sids: Iterable[str]) -> None:
        """Forgets tracks that have ended."""
        for sid in sids:
            self.tracks.pop(sid, None)

    def note(self, client: Client) -> None:
        """Has the next server know, soon, what a client is now."""
        self._unnoted.add(client.sid)

    def show(self, client: Client, wanted: Wanted) -> None:
        """Has the roster show from whom a client is to receive."""
        senders = self.meeting.tracks()
        sources = dict.fromkeys(ParticipantId(senders[sid].identity) for sid in wanted.tracks if sid in senders)
        self._rooms.show(client.connection, tracks=client.connection.tracks, sources=tuple(sources))

    def show_sent(self, client: Client) -> None:
        """Has the roster show what a client sends."""
        sources = client.connection.connection.sources
        self._rooms.show(client.connection, tracks=client.connection.tracks, sources=sources)

    def settle(self) -> None:
        """Tells clients what they are to be told, and stirs them when they are to receive something else."""
        if self.meeting.moved:
            self.meeting.moved = False
            self.look_at_qualities()
            for client in self.clients.values():
                client.stirred.set()
        told, self.meeting.told = self.meeting.told, []
        for sid, response in told:
            told_one = self.clients.get(sid)
            if told_one is not None and told_one.line is not None:
                told_one.line.tell(response)

    def look_at_qualities(self) -> None:
        """Tells publishers which encodings of their pictures are wanted, if that has changed."""
        watched = {ParticipantId(source) for c in self.elsewhere.connections() for source in c.connection.sources}
        tracks = {sid for sid, person in self.meeting.tracks().items() if person.identity in watched}
        conditions.dynacast(self.meeting, tracks, now=self.now())

    def _take(self, person: Person, connection: OpenConnection, *, line: Line | None) -> Client:
        now = self.now()
        client = Client(
            sid=person.sid, connection=connection, line=line, token_at=now, lost_at=now if line is None else None
        )
        member = person.member
        if member is None:
            raise NotThereError
        downlink = Downlink(self, client, member.receiving)
        self.clients[person.sid] = client
        self._peers[connection.peer.id] = (self, client)
        self._uplinks[person.sid], self._downlinks[person.sid] = Uplink(self, client), downlink
        client.tasks = [
            asyncio.create_task(self._or_end(client, downlink.follow()), name="downlink"),
            asyncio.create_task(self._or_end(client, self._until_over(client)), name="until over"),
        ]
        return client

    async def _or_end(self, client: Client, work: Coroutine[None, None, None]) -> None:
        """Does what is done for one client; a fault of ours in it ends that client's seat, and nobody else's."""
        try:
            await work
        except Exception as error:
            log.exception("a client's seat ends by a fault of the server: please report it", exc_info=error)
            self.end(client, Reason.SERVER_FAULT)

    def _leave_notes(self) -> None:
        """Leaves what the next server must know of clients of which something has changed since the last tick.

        Not with every change: each is a message to the media process, and of a moment's changes one says all.
        """
        for sid in self._unnoted & self.clients.keys():
            client, person = self.clients[sid], self.meeting.people[sid]
            if person.member is not None and client.connection.ending is None:
                client.connection.client = handover.written(person, person.member, self.tracks)
                client.connection.leave_note()
        self._unnoted.clear()

    async def _caught_up(self) -> None:
        downlinks = tuple(self._downlinks.values())
        await asyncio.gather(*(downlink.caught_up() for downlink in downlinks))

    async def _until_over(self, client: Client) -> None:
        watch = client.connection.watch
        told: dict[str, str] = {}
        while not watch.over:
            if watch.stalled == told:
                await watch.changed()
                continue
            told = dict(watch.stalled)
            await self.talking.say_stalled(client, told)
        self.on_over(client, watch.notice)

    def on_over(self, client: Client, notice: Notice | None) -> None:
        """Parts from a client whose seat has ended; without a notice it goes on at the next server."""
        for task in client.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        line, client.line = client.line, None
        if line is not None:
            if notice is not None:
                line.tell(greeting.farewell(notice))
            line.hang_up()
        member = self.meeting.member(client.sid)
        self._unnoted.discard(client.sid)
        self._peers.pop(client.connection.peer.id, None)
        for parts in (self.clients, self._uplinks, self._downlinks):
            parts.pop(client.sid, None)
        if notice is not None:  # Else nobody is to hear that it left: it has not.
            self.forget_tracks(member.publishing.tracks if member is not None else ())
            self.meeting.leave(client.sid, notice.reason)
            self.settle()
