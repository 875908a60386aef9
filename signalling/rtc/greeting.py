"""What a client is told first, and last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from livekit.protocol import models
from livekit.protocol.rtc import JoinResponse, LeaveRequest, ReconnectResponse, SignalResponse

from signalling.domain.notices import Notice, Reason
from signalling.rtc.person import Member, Person

PING_EVERY = timedelta(seconds=3)
PING_TIMEOUT = timedelta(seconds=9)

SIGNALLING_VERSION = "1.9.0"
"""Which server of LiveKit's speaks as this one does, not our own version; of one before 1.8 SDKs ask for less."""

PROTOCOL = 16
"""That of two peer connections; from 18 on SDKs agree on data channels in another way."""

CODECS = ("video/VP8", "video/H264", "audio/opus", "audio/red")

_INFO = models.ServerInfo(
    edition=models.ServerInfo.Edition.Standard, version=SIGNALLING_VERSION, protocol=PROTOCOL, debug_info="pysfu"
)
_REASONS = {
    Reason.LEFT: models.DisconnectReason.CLIENT_INITIATED,
    Reason.REPLACED: models.DisconnectReason.DUPLICATE_IDENTITY,
    Reason.REMOVED: models.DisconnectReason.PARTICIPANT_REMOVED,
    Reason.ROOM_DELETED: models.DisconnectReason.ROOM_DELETED,
    Reason.STOPPING: models.DisconnectReason.SERVER_SHUTDOWN,
    Reason.TRANSPORT_LOST: models.DisconnectReason.CONNECTION_TIMEOUT,
    Reason.SIGNAL_LOST: models.DisconnectReason.SIGNAL_CLOSE,
    Reason.OUT_OF_STEP: models.DisconnectReason.STATE_MISMATCH,
}


def welcome(room: models.Room, person: Person, member: Member, others: Iterable[Person]) -> SignalResponse:
    """Tells a client that it is in."""
    return SignalResponse(
        join=JoinResponse(
            room=room,
            participant=person.info(),
            other_participants=[other.info() for other in others],
            server_version=SIGNALLING_VERSION,
            server_info=_INFO,
            # Which connection a client waits for; whoever may receive nothing has only the other one.
            subscriber_primary=member.grant.can_subscribe,
            ping_interval=int(PING_EVERY.total_seconds()),
            ping_timeout=int(PING_TIMEOUT.total_seconds()),
            enabled_publish_codecs=[models.Codec(mime=codec) for codec in CODECS],
            # Clients then make the connection they send over at once: made later, Firefox gets no data channel on it.
            fast_publish=member.grant.can_publish or member.grant.can_publish_data,
        )
    )


def welcome_back(member: Member) -> SignalResponse:
    """Tells a client that it is in still."""
    return SignalResponse(
        reconnect=ReconnectResponse(server_info=_INFO, last_message_seq=member.received.last_sequence)
    )


def farewell(notice: Notice) -> SignalResponse:
    """Tells a client that it is in no more, and whether it may join anew."""
    action = LeaveRequest.Action.RECONNECT if notice.welcome else LeaveRequest.Action.DISCONNECT
    return SignalResponse(
        leave=LeaveRequest(can_reconnect=notice.welcome, action=action, reason=reason_of(notice.reason))
    )


def reason_of(reason: Reason) -> models.DisconnectReason:
    """Returns what LiveKit calls the reason; of a fault of ours, that media failed."""
    return _REASONS.get(reason, models.DisconnectReason.MEDIA_FAILURE)
