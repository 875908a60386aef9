"""A room in memory with clients of LiveKit's protocol in it, for tests of meetings."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fake_engine import FakeEngine
from fake_peers import FakePeer, FakeTransport
from fake_sdp import answer_to
from fake_store import FakeStore
from livekit.protocol.models import ParticipantInfo, TrackSource, TrackType, VideoLayer
from livekit.protocol.rtc import (
    AddTrackRequest,
    SessionDescription,
    SignalRequest,
    SignalResponse,
)
from restarts import resumed

from signalling.domain.grants import Grant
from signalling.domain.happenings import Happening
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.room import Room
from signalling.media import ResumedRoom
from signalling.meetings.administering import Administering
from signalling.meetings.client import HEARS_AFTER
from signalling.meetings.edge import LiveMeetings, LiveSession
from signalling.rooms import Rooms
from signalling.rtc.asked import Asked

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.elapsed = timedelta()

    def __call__(self) -> timedelta:
        return self.elapsed

    def utc(self) -> datetime:
        return NOW + self.elapsed


class Renewing:
    def __init__(self) -> None:
        self.grants: list[Grant] = []

    def renew(self, grant: Grant, *, life: timedelta, now: datetime) -> str:
        assert now >= NOW
        assert life > timedelta(minutes=5)
        self.grants.append(grant)
        return f"token{len(self.grants)}"


@dataclass
class Line:
    told: list[SignalResponse] = field(default_factory=list)
    ended: bool = False

    def tell(self, response: SignalResponse) -> None:
        if not self.ended:
            self.told.append(response)

    def hang_up(self) -> None:
        self.ended = True

    def kinds(self) -> list[str]:
        return [response.WhichOneof("message") or "" for response in self.told]

    def last(self, kind: str) -> SignalResponse:
        for response in reversed(self.told):
            if response.WhichOneof("message") == kind:
                return response
        raise LookupError(f"nothing was told of {kind}")

    def participants(self) -> dict[str, ParticipantInfo]:
        """Whom the client knows of, by identity, as it was told last; not who has gone."""
        known: dict[str, ParticipantInfo] = {}
        for response in self.told:
            told = [*response.join.other_participants, *response.update.participants]
            for info in told:
                assert info.sid not in known or info.version >= known[info.sid].version
                known[info.sid] = info
        there = [info for info in known.values() if info.state != ParticipantInfo.State.DISCONNECTED]
        return {info.identity: info for info in there}


@dataclass
class Caller:
    """A client as its SDK behaves: it answers our offers when asked to, and offers what it sends."""

    room: MeetingRoom
    session: LiveSession
    line: Line
    sections: list[tuple[str, str, str]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def sid(self) -> str:
        return self.session.client.sid

    @property
    def peer(self) -> FakePeer:
        peer = self.session.client.connection.peer
        assert isinstance(peer, FakePeer)
        return peer

    @property
    def sending(self) -> FakeTransport:
        assert isinstance(self.session.client.sending, FakeTransport)
        return self.session.client.sending

    async def ask(self, **request: object) -> None:
        await self.session.on_request(SignalRequest(**request))  # type: ignore[arg-type]
        await self.room.settle()

    async def announce(self, kind: str, *, cid: str, **fields: object) -> str:
        """Announces a track, and returns its sid."""
        audio = kind == "audio"
        track = AddTrackRequest(
            cid=cid,
            type=TrackType.AUDIO if audio else TrackType.VIDEO,
            source=TrackSource.MICROPHONE if audio else TrackSource.CAMERA,
            layers=[] if audio else [VideoLayer(quality=q, width=320 << q, height=180 << q) for q in range(3)],  # type: ignore[arg-type]
            **fields,  # type: ignore[arg-type]
        )
        await self.ask(add_track=track)
        return self.line.last("track_published").track_published.track.sid

    async def offer(self) -> None:
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-ufrag:ours"]
        for mid, kind, cid in self.sections:
            lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 111", f"a=mid:{mid}", "a=sendonly", f"a=msid:- {cid}"]
        sdp = "\r\n".join(lines) + "\r\n"
        await self.ask(offer=SessionDescription(type="offer", sdp=sdp, id=next(self.numbers) + 1))

    async def publish(self, kind: str, **fields: object) -> str:
        cid = f"cid{next(self.numbers)}"
        sid = await self.announce(kind, cid=cid, **fields)
        self.sections.append((cid, kind, cid))
        await self.offer()
        return sid

    async def answer(self) -> None:
        """Answers the latest offer."""
        offer = self.line.last("offer").offer
        answer = SessionDescription(type="answer", sdp=answer_to(offer.sdp, 1), id=offer.id)
        await self.ask(answer=answer)

    def offers(self) -> list[SessionDescription]:
        return [response.offer for response in self.line.told if response.WhichOneof("message") == "offer"]

    def offered(self) -> set[str]:
        """The tracks that our latest offer carries."""
        return set(self.line.last("offer").offer.mid_to_track_id.values())


class MeetingRoom:
    """The room, the clock, and what is behind them."""

    def __init__(self, before: MeetingRoom | None = None, *, tell: Callable[[Happening], None] | None = None) -> None:
        self.engine, self.store, self.clock, self.tokens = FakeEngine(), FakeStore(), Clock(), Renewing()
        if before is not None:
            self.engine, self.store, self.clock = before.engine, before.store, before.clock
        self.rooms = Rooms(
            self.engine,
            self.store,
            max_rooms=10,
            max_participants=9,
            clock=self.clock.utc,
            steady=self.clock,
            tell=tell,
        )
        self.meetings = LiveMeetings(
            self.rooms, self.tokens, utc=self.clock.utc, steady=self.clock, unix_ms=lambda: 1_700_000_000_000
        )
        self.administering = Administering(self.rooms, self.meetings)
        self.room: Room

    async def open(self) -> MeetingRoom:
        self.room = await self.rooms.create(name="round")
        return self

    async def killed(self, *, tell: Callable[[Happening], None] | None = None) -> MeetingRoom:
        """Returns the room as it is at the next server, after this one was killed."""
        await self.pass_time(0)  # what is noted is noted now and then
        after = MeetingRoom(self, tell=tell)
        self.engine.found = [
            ResumedRoom(
                room=room,
                note=room.note,
                peers=tuple(resumed(peer, has_ended=False) for peer in room.peers if not peer.removed),
            )
            for room in self.engine.rooms
        ]
        for track in [track for room in self.engine.rooms for peer in room.peers for track in peer.tracks]:
            track.call(track.transport.peer.id, track.id)  # what it was called, the server before knew
        taking_up = after.rooms.resume(await self.store.load())
        after.meetings.take_up()
        await taking_up
        after.room = after.rooms.room(self.room.room)
        await after.settle()
        return after

    def grant(self, who: str, **rights: object) -> Grant:
        return Grant(
            **{  # type: ignore[arg-type]
                "participant": ParticipantId(who),
                "room": RoomId(self.room.room),
                "join": True,
                "can_publish": True,
                "can_subscribe": True,
                "can_publish_data": True,
                "issued_at": None,
                "not_before": None,
                "expires_at": NOW + timedelta(hours=1),
                **rights,
            }
        )

    async def join(self, who: str, *, auto_subscribe: bool = True, adaptive: bool = False, **rights: object) -> Caller:
        line = Line()
        asked = Asked(auto_subscribe=auto_subscribe, adaptive_stream=adaptive)
        session = await self.meetings.join(self.room.room, self.grant(who, **rights), asked, line)
        await self.settle()
        return Caller(self, session, line)

    async def meet(self, who: str, **rights: object) -> Caller:
        """Has somebody join, both their transports made, and what is said to them heard."""
        caller = await self.join(who, **rights)  # type: ignore[arg-type]
        if caller.offers():
            await caller.answer()
        await caller.offer()
        caller.session.conference.on_connected(caller.session.client)
        await self.settle()
        await self.pass_time(HEARS_AFTER.total_seconds())
        return caller

    async def settle(self) -> None:
        """Lets everything happen that happens by itself."""
        while not self.engine.happened.empty():
            event = self.engine.happened.get_nowait()
            self.meetings.on_event(event)
            await self.rooms.on_event(event)
        for _ in range(60):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        self.clock.elapsed += timedelta(seconds=seconds)
        self.meetings.tick()
        await self.settle()

    def receives(self, receiver: Caller) -> set[str]:
        """What flows to a client, by the sids that it knows."""
        names = {track.id: sid for sid, track in receiver.session.conference.tracks.items()}
        return {names[track] for peer, track in self.engine.flowing() if peer == receiver.peer.id}
