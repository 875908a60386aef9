"""An offer of ours that waits for its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pysfu import _compiled
from pysfu.errors import InvalidSdpError, NoCommonCodecError, UnknownTrackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pysfu import messages
    from pysfu.track import Track
    from pysfu.transport import Transport


class PendingOffer:
    """An offer of ours that waits for its answer. Used with `async with`, it is given up unless accepted by the end.

    Attributes:
        sdp: for the other end.
        transport: what it is an offer on.
        waiting: tracks for which there is no section before an answer has freed one: offer again then.
        unplayable: once accepted, tracks of which the other end took no codec.
    """

    def __init__(self, transport: Transport, *, sdp: str, pending: bytes, waiting: Sequence[Track] = ()) -> None:
        self.sdp = sdp
        self.waiting = tuple(waiting)
        self.unplayable: tuple[Track, ...] = ()
        self.transport = transport
        self._pending = pending
        self._is_first = transport.session is None
        self._version = transport.negotiation.version
        self._accepted = False

    async def accept(self, answer: str) -> Transport:
        """Takes the answer.

        Raises:
            InvalidSdpError: it does not fit the offer, and another may be tried; or a later offer was made, and only
                the answer to that counts.
        """
        async with self.transport.negotiating:
            if self._version != self.transport.negotiation.version:
                raise InvalidSdpError("the answer is one to an older offer")
            return await self._apply(_compiled.accept(self._pending, answer))

    async def _apply(self, session: messages.NegotiatedSession) -> Transport:
        transport = self.transport
        try:
            await transport.negotiation.accept(session, sdp=self.sdp)
            await transport.publish_all(mids=None, sources={}, encrypted=False)
            await self._play()
            if self._is_first:
                await transport.participant.attach(transport)
        except BaseException:
            if self._is_first:
                transport.participant.abandon(transport)
            raise
        self._accepted = True
        return transport

    async def cancel(self) -> None:
        """Gives the offer up: of a first one the transport ends, of a later one it goes on as it is."""
        if self._is_first:
            await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._accepted:
            await self.cancel()

    async def _play(self) -> None:
        carried = self.transport.negotiation.sections.carried()
        new = {mid: track for mid, track in carried.items() if mid not in self.transport.playing}
        # At once: whoever joins many waits for one answer of the worker, and not for one after the other.
        played = (self.transport.play(track, mid=mid) for mid, track in new.items())
        for track, outcome in zip(new.values(), await asyncio.gather(*played, return_exceptions=True), strict=True):
            match outcome:
                case NoCommonCodecError():
                    self.unplayable += (track,)
                case BaseException() if not isinstance(outcome, UnknownTrackError):  # that has ended meanwhile
                    raise outcome
                case _:
                    pass
