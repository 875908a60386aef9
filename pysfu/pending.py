"""An offer of ours that waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu import _compiled
from pysfu.messages import MEDIA_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pysfu.participant import Participant
    from pysfu.track import Track
from pysfu.transport import Transport


class PendingOffer:
    """An offer of ours that waits for its answer. Used with `async with`, it is given up unless accepted by the end."""

    def __init__(
        self, participant: Participant, transport: Transport, *, sdp: str, pending: bytes, play: Sequence[Track]
    ) -> None:
        self.sdp = sdp
        self._participant = participant
        self._transport = transport
        self._pending = pending
        self._play = play
        self._accepted = False

    async def accept(self, answer: str) -> Transport:
        """Takes the answer.

        Raises:
            InvalidSdpError: it does not fit the offer; another may be tried.
        """
        session = _compiled.accept(self._pending, answer)
        transport = self._transport
        try:
            transport.sdp = self.sdp
            await transport.apply_session(session)
            await transport.publish(kinds=MEDIA_KINDS, sources={}, encrypted=False)
            for track in self._play:
                await transport.play(track)
            await self._participant.attach(transport)
        except BaseException:
            self._participant.abandon(transport)
            raise
        self._accepted = True
        return transport

    async def cancel(self) -> None:
        """Gives the offer up."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._accepted:
            await self.cancel()
