"""What pysfu's errors mean to this server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from signalling.media import (
    ChannelInUseError,
    ChannelNotOpenError,
    EncodingHeldError,
    EngineFullError,
    EngineLateError,
    EngineStartError,
    EngineUnavailableError,
    InvalidOfferError,
    MediaApartError,
    MediaError,
    MediaGoneError,
    MediaNotAllowedError,
    MediaRoomGoneError,
)

# Code of pysfu → what it means to this server. Codes that are not listed are faults of ours.
_MEANINGS: dict[str, type[MediaError]] = {
    "invalid_sdp": InvalidOfferError,
    "no_common_codec": InvalidOfferError,
    "bad_session": InvalidOfferError,
    "unknown_mid": InvalidOfferError,
    "no_free_section": InvalidOfferError,
    "start": EngineStartError,
    "full": EngineFullError,
    "unavailable": EngineUnavailableError,
    "late": EngineLateError,
    "closed": EngineUnavailableError,
    "unknown_room": MediaRoomGoneError,
    "unknown_peer": MediaGoneError,
    "unknown_track": MediaGoneError,
    "transport_failed": MediaGoneError,
    "room_failed": MediaRoomGoneError,
    "not_allowed": MediaNotAllowedError,
    "only_relays": MediaApartError,
    "unknown_channel": ChannelNotOpenError,
    "channel_in_use": ChannelInUseError,
    "encoding_held": EncodingHeldError,
}


@contextlib.contextmanager
def translated(**here: type[MediaError]) -> Iterator[None]:
    """Turns pysfu's errors into this server's; `here` has the codes that mean something else to this caller."""
    import pysfu

    try:
        yield
    except pysfu.PysfuError as error:
        code = str(error.code)
        raise here.get(code, _MEANINGS.get(code, MediaError))(str(error)) from error
