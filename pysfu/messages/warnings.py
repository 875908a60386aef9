"""What the system does not grant (`driver/warning.rs`)."""

from __future__ import annotations

from pysfu.messages.base import Message


class ReceiveBufferCapped(Message, frozen=True, kw_only=True):
    """The kernel keeps less for a worker to read than asked, in bytes."""

    granted: int
    wanted: int


class SendBufferCapped(Message, frozen=True, kw_only=True):
    """The kernel keeps less for the network to take than asked, in bytes."""

    granted: int
    wanted: int


class NoSegmentation(Message, frozen=True, kw_only=True):
    """The kernel cannot cut and join datagrams."""


class FamilyMissing(Message, frozen=True, kw_only=True):
    """The host has no addresses of this family."""

    ip_version: int


class NotPinned(Message, frozen=True, kw_only=True):
    """The worker runs wherever the kernel likes."""

    processor: int


class ReceiveFailed(Message, frozen=True, kw_only=True):
    """A port cannot be read."""

    errno: int


AnyWarning = ReceiveBufferCapped | SendBufferCapped | NoSegmentation | FamilyMissing | NotPinned | ReceiveFailed
