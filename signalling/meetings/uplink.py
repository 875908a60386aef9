"""What a client sends: its offers are answered, and what it announced becomes tracks once it is offered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from livekit.protocol.models import Encryption, TrackSource
from livekit.protocol.rtc import SessionDescription, SignalResponse

from signalling.media import MediaError, MediaGoneError, MediaSource
from signalling.rtc.publishing import Announced

if TYPE_CHECKING:
    from signalling.meetings.client import Client
    from signalling.meetings.conference import Conference

log = structlog.get_logger(__name__)

_SHOWS: dict[int, MediaSource] = {
    TrackSource.CAMERA: "camera",
    TrackSource.MICROPHONE: "microphone",
    TrackSource.SCREEN_SHARE: "screen",
    TrackSource.SCREEN_SHARE_AUDIO: "screen_audio",
}


class Uplink:
    """Carries out what one client sends. Its requests come one after another, and so does what is done here."""

    def __init__(self, conference: Conference, client: Client) -> None:
        self._conference = conference
        self._client = client

    async def offer(self, description: SessionDescription) -> None:
        """Answers an offer; what it brings can be received before the client is told that it may send.

        Raises:
            InvalidOfferError: it cannot be answered; all goes on as before.
            MediaGoneError: the client has gone meanwhile.
        """
        client, publishing = self._client, self._conference.meeting.client(self._client.sid).publishing
        if client.sending is None:
            taken = await client.connection.peer.take(description.sdp, kinds=("audio", "video"))
            client.sending, answer = client.take(taken), taken.sdp
        else:
            answer = await client.sending.reanswer(description.sdp, mids=())
        await self.bind()
        names = {track.mid: sid for sid, track in publishing.tracks.items() if track.mid is not None}
        told = SessionDescription(type="answer", sdp=answer, id=description.id, mid_to_track_id=names)
        self._conference.meeting.tell(client.sid, SignalResponse(answer=told))

    async def bind(self) -> None:
        """Makes tracks of what was both announced and offered, in whatever order, and forgets what has ended."""
        client, conference = self._client, self._conference
        if client.sending is None:
            return
        changed = conference.meeting.offered(client.sid, client.sending.sent)
        conference.forget_tracks(changed.ended)
        await self._begin(changed.begun)
        conference.show_sent(client)

    async def mute(self, sid: str, *, muted: bool) -> None:
        """Stops a track for everybody, or lets it flow again."""
        track = self._conference.track(sid)
        if self._conference.meeting.mute(self._client.sid, sid, muted=muted) and track is not None:
            await track.mute(muted=muted)

    async def _begin(self, announced: Iterable[Announced]) -> None:
        client, conference = self._client, self._conference
        for each in announced:
            if client.sending is None or each.mid is None:
                continue
            try:
                track = await client.sending.publish(
                    each.mid,
                    shows=_SHOWS.get(each.info.source),
                    encrypted=each.info.encryption != Encryption.Type.NONE,
                )
            except MediaGoneError:
                continue  # It has ended meanwhile: the next offer says so.
            except MediaError as error:
                log.info("a track does not begin", component="meetings", error=type(error).__name__)
                conference.meeting.withdraw(client.sid, [each.info.sid])
                continue
            track.call(f"{client.sid}|{each.info.sid}", each.info.sid)
            if each.info.muted:
                await track.mute(muted=True)
            conference.tracks[each.info.sid] = track
            if not conference.meeting.began(client.sid, each):
                # The right to send it was taken away meanwhile.
                conference.forget_tracks([each.info.sid])
                await track.unpublish()
