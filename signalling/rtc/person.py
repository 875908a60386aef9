"""Whoever is in a meeting, as the others are shown them; and what only those have who speak LiveKit's protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from livekit.protocol.models import ParticipantInfo, TrackInfo

from signalling.domain.grants import Grant
from signalling.rtc.asked import Asked
from signalling.rtc.data import Received
from signalling.rtc.infos import KINDS, permission
from signalling.rtc.offering import Offering
from signalling.rtc.publishing import Publishing
from signalling.rtc.quality import Connection
from signalling.rtc.receiving import Receiving
from signalling.rtc.subscribing import Permissions, Subscriptions

MAX_MISSED = 512
"""Of how many who left a member is told that comes back: more than fit into a room, so that some may come and go."""


@dataclass(slots=True)
class Member:
    """What a client sends, wants and may.

    Attributes:
        grant: what it may now, and what it is called.
        has_line: whether it can be told anything at the moment.
        missed: who has left while it could not, by sid.
        is_taken_up: whether the server before had it: what it is called, it says when it is back.
    """

    grant: Grant
    asked: Asked
    publishing: Publishing
    subscriptions: Subscriptions
    receiving: Receiving
    permissions: Permissions = field(default_factory=Permissions)
    received: Received = field(default_factory=Received)
    connection: Connection = field(default_factory=Connection)
    has_line: bool = True
    missed: dict[str, ParticipantInfo] = field(default_factory=dict)
    is_taken_up: bool = False

    def miss(self, gone: ParticipantInfo) -> None:
        """Takes note of somebody who left, to be told later; of too many the first are forgotten."""
        self.missed[gone.sid] = gone
        if len(self.missed) > MAX_MISSED:
            del self.missed[next(iter(self.missed))]


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody in a meeting.

    Attributes:
        sid: the name that clients know.
        tracks: what can be received of them now, by sid.
        version: rises with all that changes, so that clients know what is newer.
        member: what only a client of this protocol has; None for whoever sends or receives otherwise.
    """

    sid: str
    identity: str
    joined_at: datetime
    version: int
    state: ParticipantInfo.State = ParticipantInfo.State.JOINED
    tracks: dict[str, TrackInfo] = field(default_factory=dict)
    member: Member | None = None

    def info(self) -> ParticipantInfo:
        """Describes them. Whether they have themselves called hidden makes no difference: everybody is shown."""
        info = ParticipantInfo(
            sid=self.sid,
            identity=self.identity,
            state=self.state,
            tracks=self.tracks.values(),
            joined_at=int(self.joined_at.timestamp()),
            joined_at_ms=int(self.joined_at.timestamp() * 1_000),
            version=self.version,
            is_publisher=bool(self.tracks),
        )
        if self.member is not None:
            grant, asked = self.member.grant, self.member.asked
            info.name, info.metadata, info.kind = grant.name, grant.metadata, KINDS[grant.kind]
            info.attributes.update(grant.attributes)
            info.permission.CopyFrom(permission(grant))
            info.client_protocol = asked.client_protocol
            info.capabilities.extend(asked.capabilities)  # type: ignore[arg-type]  # numbers of the enum
        return info

    def info_for(self, other: Person) -> ParticipantInfo:
        """Describes them to somebody; to themselves what is muted as they have said it.

        Of a difference LiveKit's clients say again how they have it, which would undo what was muted by others.
        """
        info = self.info()
        if other is self and self.member is not None:
            for track in info.tracks:
                if (said := self.member.publishing.tracks.get(track.sid)) is not None:
                    track.muted = said.said_muted
        return info


def member_of(grant: Grant, asked: Asked, *, new_sid: Callable[[], str], first_offer: int) -> Member:
    """Makes what a client has that has just come in."""
    return Member(
        grant=grant,
        asked=asked,
        publishing=Publishing(new_sid),
        subscriptions=Subscriptions(auto=asked.auto_subscribe, adaptive=asked.adaptive_stream),
        receiving=Receiving(Offering(first_offer, changed=True)),
    )
