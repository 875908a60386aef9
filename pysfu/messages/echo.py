"""What came of a test call (`driver/echo_call.rs`)."""

from __future__ import annotations

from pysfu.messages.base import Message


class Echoed(Message, frozen=True, kw_only=True):
    """Sound went there and came back."""

    round_trip_us: int
    srtp_profile: str
    dtls_version: str


class Unreachable(Message, frozen=True, kw_only=True):
    """There is no way to the address."""

    reason: str


class PortClosed(Message, frozen=True, kw_only=True):
    """The host answers that nobody listens on the port."""


class NoAnswer(Message, frozen=True, kw_only=True):
    """Nobody answered on UDP."""


class NoHandshake(Message, frozen=True, kw_only=True):
    """The addresses work, the DTLS handshake did not finish."""


class WrongCertificate(Message, frozen=True, kw_only=True):
    """Somebody else answered."""


class NoMedia(Message, frozen=True, kw_only=True):
    """The handshake is done, but of the sound nothing came back."""


EchoOutcome = Echoed | Unreachable | PortClosed | NoAnswer | NoHandshake | WrongCertificate | NoMedia
