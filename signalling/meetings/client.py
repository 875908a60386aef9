"""One client of a meeting: its seat in the room, its line, and the two transports that it has there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from signalling.connections import OpenConnection
from signalling.media import MediaOffer, MediaTrack, MediaTransport
from signalling.meetings.waiting import Waiting
from signalling.rtc.line import Line

HEARS_AFTER = timedelta(milliseconds=200)
"""What comes on a channel that has just opened may be lost in a client: SDKs begin to listen a moment later."""

MAX_UNHEARD = 1_024
"""Most messages that wait for one client until it can hear: what a lively room says in the seconds of a join."""
MAX_UNHEARD_BYTES = 1 << 20
"""Their bytes: long texts of several, of whom the engine takes 64 KiB a second each."""


@dataclass(eq=False, slots=True, kw_only=True)
class Client:
    """A client.

    Attributes:
        sid: by which it is known in the meeting.
        connection: its seat.
        line: its WebSocket; None while that is lost.
        sending: the transport over which it sends, once it has offered it.
        receiving: the one over which it receives, once it has answered our offer of it.
        offer: our latest offer.
        lost_at: since when its line is lost.
        is_connected: whether its media has ever flowed.
        token_at: when it was given its latest token.
        can_hear: whether the data channels to it are open.
        hears_at: from when what is sent on them is certain to be heard.
        unheard: what was said to it before it could hear, and by whom; None: by the server.
        hearing: held while something is said to it: one message after the other.
        stirred: set when there may be something to do for it.
        asking: held while something is done that it asked for: on its next line it asks for the next.
        tasks: what goes on for it until it ends.
    """

    sid: str
    connection: OpenConnection
    line: Line | None
    token_at: timedelta
    sending: MediaTransport | None = None
    receiving: MediaTransport | None = None
    offer: MediaOffer | None = None
    lost_at: timedelta | None = None
    is_connected: bool = False
    can_hear: bool = False
    hears_at: timedelta = timedelta(0)
    unheard: Waiting[tuple[Client | None, bytes]] = field(
        default_factory=lambda: Waiting(most=MAX_UNHEARD, most_bytes=MAX_UNHEARD_BYTES)
    )
    hearing: asyncio.Lock = field(default_factory=asyncio.Lock)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def take_back(self) -> None:
        """Finds the transports again that it had with the server before."""
        for transport in self.connection.transports:
            if transport.is_offered:
                self.receiving = transport
            else:
                self.sending = transport
        self.is_connected = True

    def carried(self) -> Sequence[MediaTrack]:
        """Returns what it receives by the latest answer, flowing or not."""
        return self.receiving.carried if self.receiving is not None else ()

    def take(self, transport: MediaTransport) -> MediaTransport:
        """Notes a transport that it has made."""
        self.connection.transports.append(transport)
        return transport
