"""Who is in a room by other means than LiveKit's protocol, as its clients are shown them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from livekit.protocol.models import TrackInfo

from signalling.connections import OpenConnection
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Reason
from signalling.media import MediaTrack
from signalling.rooms import Rooms
from signalling.rtc import infos

if TYPE_CHECKING:
    from signalling.meetings.client import Client
    from signalling.meetings.conference import Conference

Seats = dict[ParticipantId, tuple[datetime, list[TrackInfo]]]
"""Since when somebody is there, and what they send."""


class Elsewhere:
    """Follows who comes into a room over WHIP and WHEP, and goes."""

    def __init__(self, conference: Conference, rooms: Rooms) -> None:
        self._conference = conference
        self._rooms = rooms
        self._room = conference.meeting.room.room
        self._is_stale = False
        self.close = rooms.follow(self._room, self._on_change)

    def connections(self) -> list[OpenConnection]:
        """Lists their connections."""
        ours = {id(client.connection) for client in self._conference.clients.values()}
        there = self._rooms.connections(self._room)
        # What has no transport yet or a client's note is a client's, which comes or was there before this server.
        return [c for c in there if id(c) not in ours and c.transports and not c.client]

    def lets(self, client: Client, track: MediaTrack, viewer: ParticipantId) -> bool:
        """Whether a client lets one of them have a track."""
        meeting = self._conference.meeting
        member, known = meeting.member(client.sid), meeting.find(viewer)
        sid = next(iter(self._conference.sids_of([track])), None)
        if member is None or sid is None:
            return False
        viewer_sid = known.sid if known is not None else ""
        return member.permissions.let(sid, subscriber_sid=viewer_sid, subscriber_identity=viewer)

    def narrow(self, client: Client) -> None:
        """Ends what they play of a client and are not let have any more."""
        for opened in self.connections():
            viewer = opened.connection.participant
            plays = client.connection.peer.id in opened.plays
            if plays and not all(self.lets(client, track, viewer) for track in client.connection.tracks):
                self._rooms.begin_to_close(opened, Reason.RIGHTS_CHANGED)

    def look(self) -> None:
        """Takes in who is there, and what they send."""
        self._is_stale = False
        conference, meeting = self._conference, self._conference.meeting
        seats: Seats = {}
        tracks: dict[str, MediaTrack] = {}
        for opened in self.connections():
            if opened.ending is None:
                connection = opened.connection
                _, sent = seats.setdefault(connection.participant, (connection.opened_at, []))
                for info, track in _sent(opened):
                    sent.append(info)
                    tracks[info.sid] = track
        own = {sid for _, member in meeting.members() for sid in member.publishing.tracks}
        conference.forget_tracks([sid for sid in conference.tracks if sid not in own and sid not in tracks])
        conference.tracks.update(tracks)
        meeting.elsewhere(seats)
        senders = meeting.tracks()
        for sid, track in tracks.items():
            track.call(f"{senders[sid].sid}|{sid}", sid)
        conference.look_at_qualities()  # who watches wants the best there is
        conference.settle()

    def _on_change(self) -> None:
        # Together with what else happens in this moment: who joins has a seat before it is a client.
        if not self._is_stale:
            self._is_stale = True
            asyncio.get_running_loop().call_soon(self.look)


def _sent(opened: OpenConnection) -> list[tuple[TrackInfo, MediaTrack]]:
    """Lists what somebody sends, as clients are told of it."""
    publication, media = opened.connection.publication, {track.id: track for track in opened.tracks}
    if publication is None:
        return []
    published = [track for track in publication.tracks if track.track in media]
    return [(infos.track_info(publication.publication, track), media[track.track]) for track in published]
