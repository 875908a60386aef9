"""What can go wrong, as one family with stable codes.

PysfuError
├── InvalidSdpError           the other end's description cannot be used
├── StartError                the workers could not be started
├── ClosedError               the Sfu is closed
├── TransportFailedError      the transport failed or was closed before it connected
├── NoFreeSectionError        the transport has no media section left for a track
├── InvalidPayloadError       what a publisher sent is not what its payload format says; bots drop it
├── UnsuitablePictureError    a bot's codec was not agreed on for pictures of that size or rate
└── RefusedError              the engine did not carry out a command; nothing changed
    ├── UnknownRoomError, UnknownPeerError, UnknownTrackError, UnknownMidError, UnknownChannelError
    ├── OtherRoomError, EchoNotAskedError, MidInUseError, NoCommonCodecError, BadSessionError, EncodingHeldError
    ├── ChannelInUseError, MessageTooLargeError, NotAllowedError
    ├── RelayInUseError, OnlyRelaysError
    ├── FullError             `cap` says which cap was reached
    ├── RoomFailedError
    └── UnavailableError
        └── LateError         the worker has not answered in the time that the caller gave it
"""

from __future__ import annotations

from typing import ClassVar


class PysfuError(Exception):
    """Something went wrong; `code` is stable, the text is for people."""

    code: ClassVar[str] = "error"


class InvalidSdpError(PysfuError):
    """The other end's description cannot be used; the text names the line and quotes nothing personal."""

    code = "invalid_sdp"


class StartError(PysfuError):
    """The workers could not be started."""

    code = "start"


class ClosedError(PysfuError):
    """The Sfu is closed."""

    code = "closed"


class TransportFailedError(PysfuError):
    """The transport failed or was closed before it connected."""

    code = "transport_failed"


class NoFreeSectionError(PysfuError):
    """The transport has no media section left for the track; negotiate one more."""

    code = "no_free_section"


class InvalidPayloadError(PysfuError):
    """A payload is not what its format says, or no decoder takes it; nothing is kept of it."""

    code = "invalid_payload"


class UnsuitablePictureError(PysfuError):
    """The codec was not agreed on for pictures of that size or rate."""

    code = "unsuitable_picture"


class RefusedError(PysfuError):
    """The engine did not carry out a command; nothing changed."""

    code = "refused"


class UnknownRoomError(RefusedError):
    """There is no such room, or it exists no more."""

    code = "unknown_room"


class UnknownPeerError(RefusedError):
    """There is no such transport, or it exists no more."""

    code = "unknown_peer"


class UnknownTrackError(RefusedError):
    """There is no such track, or it exists no more."""

    code = "unknown_track"


class UnknownMidError(RefusedError):
    """The media section was not negotiated in that direction."""

    code = "unknown_mid"


class UnknownChannelError(RefusedError):
    """There is no open data channel of that label."""

    code = "unknown_channel"


class OtherRoomError(RefusedError):
    """Tracks flow only inside a room."""

    code = "other_room"


class EchoNotAskedError(RefusedError):
    """A participant does not hear itself unless asked to."""

    code = "echo_not_asked"


class MidInUseError(RefusedError):
    """The media section already carries another track."""

    code = "mid_in_use"


class NoCommonCodecError(RefusedError):
    """The subscriber takes none of the track's codecs."""

    code = "no_common_codec"


class BadSessionError(RefusedError):
    """The negotiated session cannot be applied."""

    code = "bad_session"


class EncodingHeldError(RefusedError):
    """The track is end-to-end encrypted and hides its keyframes: a subscription keeps the encoding it began with."""

    code = "encoding_held"


class ChannelInUseError(RefusedError):
    """The transport has a data channel of that label."""

    code = "channel_in_use"


class MessageTooLargeError(RefusedError):
    """The message, or the label of the channel, is longer than it may be, or than the other end takes."""

    code = "message_too_large"


class NotAllowedError(RefusedError):
    """Nobody let messages of that publisher flow to the participant."""

    code = "not_allowed"


class RelayInUseError(RefusedError):
    """Some worker has such an end of the relay already."""

    code = "relay_in_use"


class OnlyRelaysError(RefusedError):
    """Something else than a track was to go through a relay: one carries one track one way, and nothing else."""

    code = "only_relays"


class FullError(RefusedError):
    """The engine holds as many as it may."""

    code = "full"

    def __init__(self, message: str, *, cap: str) -> None:
        super().__init__(message)
        self.cap = cap


class RoomFailedError(RefusedError):
    """The room ended because of a bug and cannot be used."""

    code = "room_failed"


class UnavailableError(RefusedError):
    """The engine takes no commands now."""

    code = "unavailable"


class LateError(UnavailableError):
    """The worker has not answered in the time that the caller gave it; what it does after all is undone."""

    code = "late"


_REFUSALS: dict[str, type[RefusedError]] = {
    kind.code: kind
    for kind in (
        UnknownRoomError,
        UnknownPeerError,
        UnknownTrackError,
        UnknownMidError,
        UnknownChannelError,
        OtherRoomError,
        EchoNotAskedError,
        MidInUseError,
        NoCommonCodecError,
        BadSessionError,
        EncodingHeldError,
        ChannelInUseError,
        MessageTooLargeError,
        NotAllowedError,
        RelayInUseError,
        OnlyRelaysError,
        RoomFailedError,
        UnavailableError,
    )
}


def from_refusal(refusal: str | dict[str, str]) -> RefusedError:
    """Makes the error that stands for the engine's refusal."""
    if isinstance(refusal, dict):
        cap = refusal.get("full", "unknown")
        return FullError(f"the engine is full: {cap}", cap=cap)
    kind = _REFUSALS.get(refusal, RefusedError)
    return kind(kind.__doc__ or refusal)
