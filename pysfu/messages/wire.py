"""The outermost: requests in, replies and events out (`driver/wire.rs`, `driver.rs`)."""

from __future__ import annotations

from pysfu.messages.base import DtlsVersion, Message, Record
from pysfu.messages.events import AnyEvent
from pysfu.messages.replies import AnyReply
from pysfu.messages.warnings import AnyWarning


class Reply(Message, frozen=True, kw_only=True):
    """A command was carried out."""

    id: int
    reply: AnyReply


class Refused(Message, frozen=True, kw_only=True):
    """A command was not carried out."""

    id: int
    refusal: str | dict[str, str]


class Event(Message, frozen=True, kw_only=True):
    """Something happened."""

    version: int
    event: AnyEvent


class WorkerFailed(Message, frozen=True, kw_only=True):
    """A bug ended the worker."""

    reason: str


class Warned(Message, frozen=True, kw_only=True):
    """The worker goes on, but not as well as it could."""

    warning: AnyWarning


Outgoing = Reply | Refused | Event | WorkerFailed | Warned


class DriverConfig(Record, frozen=True, kw_only=True):
    """How to run."""

    bind: list[str]
    port: int
    announce: list[str]
    workers: int
    pin: bool
    receive_buffer_bytes: int
    send_buffer_bytes: int
    offload: bool
    max_dtls_version: DtlsVersion
    aead_only: bool
