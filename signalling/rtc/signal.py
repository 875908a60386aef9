"""Signal messages on a WebSocket: what a client asks, and what it is told."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from livekit.protocol.rtc import SignalRequest, SignalResponse

MAX_FRAME_BYTES = 2 << 20
"""Longest frame of a client: an offer of many sections has some 200 KB."""


class SignalFaultError(Exception):
    """A frame is no request; the message says why, and quotes nothing of it.

    Attributes:
        close_code: with which the WebSocket is closed (RFC 6455 section 7.4.1).
    """

    def __init__(self, fault: str, *, close_code: int) -> None:
        super().__init__(fault)
        self.close_code = close_code


def read(frame: str | bytes) -> SignalRequest | None:
    """Reads what a client sent; None: something that this program does not know, which newer clients may say.

    Raises:
        SignalFaultError: it is no request.
    """
    if isinstance(frame, str):
        raise SignalFaultError("text is not understood here: send protocol buffers, in binary frames", close_code=1003)
    if len(frame) > MAX_FRAME_BYTES:
        raise SignalFaultError(f"the frame is longer than {MAX_FRAME_BYTES} bytes", close_code=1009)
    try:
        request = SignalRequest.FromString(frame)
    except DecodeError as error:
        raise SignalFaultError("the frame is no SignalRequest", close_code=1007) from error
    return request if request.WhichOneof("message") is not None else None


def written(response: SignalResponse) -> bytes:
    """Returns the frame of what a client is told.

    Raises:
        ValueError: it is nothing: clients would take it for a fault.
    """
    if response.WhichOneof("message") is None:
        raise ValueError("a client is told one thing at a time, and not nothing")
    return response.SerializeToString()
