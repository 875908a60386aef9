"""Meetings by LiveKit's client protocol, version 0, as its SDKs speak it: aiortc for each of their two connections."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Self

from aiortc import MediaStreamTrack, RTCBundlePolicy
from callers import Caller, Meeting, until
from livekit import api
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo, TrackSource, TrackType
from livekit.protocol.rtc import (
    AddTrackRequest,
    LeaveRequest,
    RequestResponse,
    SessionDescription,
    SignalResponse,
    SyncState,
    TrackPublishedResponse,
    UpdateSubscription,
)
from livekit_line import Line
from meeting_edge import Attendee, RefusedError, Roster
from relay import Relay
from servers import KEY, SECRET

KINDS = {TrackType.AUDIO: "audio", TrackType.VIDEO: "video"}
SHOWN = {
    "audio": (TrackType.AUDIO, TrackSource.MICROPHONE),
    "video": (TrackType.VIDEO, TrackSource.CAMERA),
}


class LiveKitAttendee:
    """Somebody who takes part: with a WebSocket, a connection to send and one to receive.

    Attributes:
        sid: by which others know them.
        line: the latest WebSocket.
        people: whom they know of, by sid.
        published: what the server calls what they send, by the name that they gave it.
    """

    def __init__(self, room: Meeting, identity: str, token: str) -> None:
        self.identity, self.sid = identity, ""
        self.relay = Relay()
        self.people: dict[str, ParticipantInfo] = {}
        self.published: dict[str, TrackInfo] = {}
        self.line: Line
        self._room, self._token = room, token
        self._wanted: set[str] = set()
        self._carried: set[str] = set()
        self._offers = itertools.count(1)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.relay)
            # With its other policies aiortc makes a connection for each kind, and then one of them.
            bundled = RTCBundlePolicy.MAX_BUNDLE
            self.sending = await stack.enter_async_context(Caller(relay=self.relay, bundle=bundled))
            self.receiving = await stack.enter_async_context(Caller(relay=self.relay, bundle=bundled))
            await self._connect(stack, auto_subscribe=0)
            await self.line.hears("join")
            self.sending.connection.createDataChannel("_reliable")
            await self.offer()
            await self.sending.connected()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # --- what they do ---

    async def publish(self, *tracks: MediaStreamTrack) -> None:
        for track in tracks:
            kind, source = SHOWN[track.kind]
            await self.line.ask(add_track=AddTrackRequest(cid=track.id, type=kind, source=source))
            self.published[track.id] = await self._announced(track.id)
            self.sending.send(track)
        await self.offer()

    async def subscribe(self, source: str) -> None:
        await until(lambda: bool(self._tracks_of(source)), f"tracks of {source}")
        sids = self._tracks_of(source)
        self._wanted |= sids
        await self.line.ask(subscription=UpdateSubscription(track_sids=sids, subscribe=True))
        if not self.people[self.sid].permission.can_subscribe:
            raise RefusedError("what the server has told them of their rights")
        await until(lambda: sids <= self._carried, "an offer of what was asked for")
        await self.receiving.connected()

    def pictures(self) -> list[tuple[int, int]]:
        return self.receiving.pictures

    async def heard(self) -> float:
        return await self.receiving.heard()

    async def roster(self) -> Roster:
        there = [each for each in self.people.values() if each.state != ParticipantInfo.State.DISCONNECTED]
        return {each.identity: frozenset(KINDS[track.type] for track in each.tracks) for each in there}

    async def lose_network(self) -> None:
        self.relay.is_cut = True
        self.line.cut()

    async def resume(self) -> None:
        self.relay.move()
        self.relay.is_cut = False
        await self.resume_line()
        self.sending.renew()
        await self.offer()

    async def resume_line(self) -> None:
        """Opens another WebSocket, and says on it what there was."""
        await self._connect(self._stack, reconnect=1, sid=self.sid)
        await until(lambda: bool(self.line.told), "a word")
        assert self.line.kinds()[0] == "reconnect", "of all else SDKs take no notice before"
        published = [TrackPublishedResponse(cid=cid, track=track) for cid, track in self.published.items()]
        wanted = UpdateSubscription(track_sids=self._wanted, subscribe=True)
        await self.line.ask(sync_state=SyncState(subscription=wanted, publish_tracks=published))

    async def leave(self) -> None:
        await self.line.ask(leave=LeaveRequest(action=LeaveRequest.Action.DISCONNECT))
        await self.line.code()

    # --- what the server says ---

    async def _connect(self, stack: contextlib.AsyncExitStack, **query: object) -> None:
        base_url = str(self._room.http.base_url)
        self.line = await stack.enter_async_context(Line(base_url, self._token, hear=self._hear, **query))

    async def _hear(self, line: Line, told: SignalResponse) -> None:
        match told.WhichOneof("message"):
            case "join":
                self.sid = told.join.participant.sid
                self._know(told.join.participant, *told.join.other_participants)
            case "update":
                self._know(*told.update.participants)
            case "offer":
                await self._answer(line, told.offer)
            case "refresh_token":
                self._token = told.refresh_token

    def _know(self, *people: ParticipantInfo) -> None:
        for each in people:
            known = self.people.get(each.sid)
            if known is None or each.version > known.version:
                self.people[each.sid] = each

    async def _answer(self, line: Line, offer: SessionDescription) -> None:
        answer = await self.receiving.answer(offer.sdp)
        await line.ask(answer=SessionDescription(type="answer", sdp=answer, id=offer.id))
        self._carried = set(offer.mid_to_track_id.values())
        await self.receiving.checked(offer.sdp)

    async def offer(self) -> None:
        """Offers all that they send."""
        offer = SessionDescription(type="offer", sdp=await self.sending.offer(), id=next(self._offers))
        await self.line.ask(offer=offer)
        answer = await self.line.hears("answer", lambda told: told.answer.id == offer.id)
        await self.sending.accept(answer.answer.sdp)
        await self.sending.checked(answer.answer.sdp)

    async def _announced(self, cid: str) -> TrackInfo:
        def named(told: SignalResponse) -> bool:
            return cid in (told.track_published.cid, told.request_response.add_track.cid)

        await until(lambda: any(named(told) for told in self.line.told), "an answer to what was announced")
        told = next(told for told in self.line.told if named(told))
        if told.HasField("request_response"):
            raise RefusedError(RequestResponse.Reason.Name(told.request_response.reason))
        return told.track_published.track

    def _tracks_of(self, identity: str) -> set[str]:
        return {track.sid for each in self.people.values() if each.identity == identity for track in each.tracks}


class LiveKitEdge:
    """LiveKit's client protocol."""

    name = "livekit"

    @contextlib.asynccontextmanager
    async def join(self, room: Meeting, identity: str, **rights: bool) -> AsyncIterator[LiveKitAttendee]:
        async with LiveKitAttendee(room, identity, await room.token(identity, **rights)) as attendee:
            yield attendee

    async def stop_receiving(self, room: Meeting, attendee: Attendee) -> None:
        await self._permit(room, attendee, ParticipantPermission(can_publish=True))

    async def stop_sending(self, room: Meeting, attendee: Attendee) -> None:
        await self._permit(room, attendee, ParticipantPermission(can_subscribe=True))

    async def _permit(self, room: Meeting, attendee: Attendee, permission: ParticipantPermission) -> None:
        async with api.LiveKitAPI(str(room.http.base_url), KEY, SECRET) as livekit:
            update = api.UpdateParticipantRequest(room=room.room, identity=attendee.identity, permission=permission)
            await livekit.room.update_participant(update)
