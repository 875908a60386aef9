"""What a client receives: the steps that `rtc.receiving` decides on, those together that may go together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from livekit.protocol.rtc import SessionDescription, SignalResponse

from signalling.media import (
    ChannelInUseError,
    ChannelNotOpenError,
    EngineUnavailableError,
    MediaError,
    MediaGoneError,
    MediaOffer,
    MediaTrack,
)
from signalling.meetings.client import HEARS_AFTER
from signalling.rtc.receiving import Allow, AllowData, Limit, Offer, Receiving, Revoke, RevokeData, Step

if TYPE_CHECKING:
    from signalling.meetings.client import Client
    from signalling.meetings.conference import Conference

log = structlog.get_logger(__name__)

RETRY_S = 1.0  # A worker that takes no commands has tens of thousands before it.

RELIABLE, LOSSY = "_reliable", "_lossy"
"""The data channels that LiveKit's SDKs know."""


class Downlink:
    """Carries out what one client is to receive."""

    def __init__(self, conference: Conference, client: Client, state: Receiving) -> None:
        self._conference = conference
        self._client = client
        self._state = state
        self._resting = asyncio.Event()
        self._is_over = False
        self._is_behind = False
        self._shown: frozenset[str] | None = None  # what the roster shows of it

    async def follow(self) -> None:
        """Does what there is to do, whenever something has changed, until the client ends."""
        stirred = self._client.stirred
        try:
            while True:
                await stirred.wait()
                stirred.clear()
                if not await self._catch_up():
                    # What is left to do is found again by looking at what there is then.
                    await asyncio.sleep(RETRY_S)
                    stirred.set()
                if not stirred.is_set():
                    self._resting.set()
        finally:
            self._is_over = True
            self._resting.set()

    async def _catch_up(self) -> bool:
        """Does what there is to do now; says whether the engine did it all."""
        try:
            while steps := self._next():
                # Each waits for the engine's answer; that of one is no reason to wait with the others.
                for outcome in await asyncio.gather(*map(self._take, steps), return_exceptions=True):
                    if outcome is not None:
                        raise outcome
            # Last: what fails here keeps no right from being taken away.
            await self._open_channels()
            await self._conference.talking.let_hear(self._client)
        except MediaError as error:
            if not self._is_behind:  # told once, however often it is tried again
                log.warning("a client waits for the engine", component="meetings", error=type(error).__name__)
            self._is_behind = True
            return False
        self._is_behind = False
        return True

    async def caught_up(self) -> None:
        """Waits until all is done that has to be done now; of a client that has ended, nothing has."""
        if not self._is_over:
            self._resting.clear()
            self._client.stirred.set()
            await self._resting.wait()

    async def answer(self, description: SessionDescription) -> None:
        """Takes the client's answer to our latest offer; one to an older offer says nothing any more.

        Raises:
            InvalidOfferError: it cannot be used.
            MediaGoneError: the client has gone meanwhile.
        """
        client, offer = self._client, self._client.offer
        if offer is None or not self._state.awaits(description.id):
            return
        transport = await offer.accept(description.sdp)
        self._state.answered(description.id)
        self._state.agreed(self._conference.sids_of(offer.carries.values()))
        if client.receiving is None:
            client.receiving = client.take(transport)
        client.stirred.set()

    async def _open_channels(self) -> None:
        """Opens the data channels, on which the client waits to hear, once its transport has connected."""
        transport = self._client.receiving
        if transport is None or self._client.can_hear or not self._client.is_connected:
            return
        for label, ordered, max_retransmits in ((RELIABLE, True, None), (LOSSY, False, 0)):
            try:
                await transport.open_channel(label, ordered=ordered, max_retransmits=max_retransmits)
            except ChannelNotOpenError:
                return  # It was the other transport that has connected so far.
            except ChannelInUseError:
                continue  # At an earlier try, by the server before, or by the client.
            self._client.hears_at = self._conference.now() + HEARS_AFTER
        self._client.can_hear = True

    def _next(self) -> Sequence[Step]:
        meeting, client = self._conference.meeting, self._client
        wanted = meeting.wanted(client.sid)
        if (tracks := frozenset(wanted.tracks)) != self._shown:
            self._conference.show(client, wanted)  # before anything flows
            self._shown = tracks
        may_receive = meeting.client(client.sid).grant.can_subscribe
        return self._state.next(wanted, can_offer=may_receive and client.line is not None)

    async def _take(self, step: Step) -> None:
        if isinstance(step, Offer):
            await self._offer(step)
            return
        # A right is noted before it is given: whoever takes it away meanwhile finds it.
        if isinstance(step, Allow | AllowData):
            self._state.did(step)
        try:
            await self._carry_out(step)
        except MediaGoneError:
            pass  # It has ended in the engine, and with it all rights to it; the event of that comes.
        except EngineUnavailableError:
            raise
        except MediaError as error:
            if isinstance(step, Revoke | RevokeData):
                raise  # A right that is not known to be taken away is tried again.
            # Of an encrypted picture it may not be known what to choose from; and words do not go between workers.
            log.info("a client does without", component="meetings", error=type(error).__name__)
        if not isinstance(step, Allow | AllowData):
            self._state.did(step)

    async def _carry_out(self, step: Revoke | RevokeData | AllowData | Limit | Allow) -> None:
        peer, conference = self._client.connection.peer, self._conference
        match step:
            case Revoke(sid) if (track := conference.track(sid)) is not None:
                await peer.revoke(track)
            case Limit(sid, encoding) if (track := conference.track(sid)) is not None:
                await peer.limit(track, encoding=encoding)
            case Allow(sid) if (track := conference.track(sid)) is not None:
                await peer.allow(track)
            case RevokeData(sid) if (sender := conference.clients.get(sid)) is not None:
                await peer.revoke_data(sender.connection.peer)
            case AllowData(sid) if (sender := conference.clients.get(sid)) is not None:
                await peer.allow_data(sender.connection.peer)
            case _:
                pass  # Whose it is, or was, has gone meanwhile, and all rights with them.

    async def _offer(self, step: Offer) -> None:
        client, conference = self._client, self._conference
        play = [track for sid in step.tracks if (track := conference.track(sid)) is not None]
        offer = await self._made(play, restart=step.restarts_ice)
        if client.line is None:
            return  # Lost meanwhile: made anew when it is back.
        number = self._state.made(step, is_whole=offer.is_whole, now=conference.now())
        client.offer = offer
        sids = {track.id: sid for sid, track in conference.tracks.items()}
        names = {mid: sids[track.id] for mid, track in offer.carries.items() if track.id in sids}
        description = SessionDescription(type="offer", sdp=offer.sdp, id=number, mid_to_track_id=names)
        conference.meeting.tell(client.sid, SignalResponse(offer=description))
        conference.settle()

    async def _made(self, play: list[MediaTrack], *, restart: bool) -> MediaOffer:
        receiving = self._client.receiving
        if receiving is None:
            # The first one may be lost with the line, and is made anew then: of the one before nothing is left.
            if self._client.offer is not None:
                await self._client.offer.cancel()
            return await self._client.connection.peer.offer(play)
        return await receiving.reoffer(play, restart=restart)
