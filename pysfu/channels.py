"""The data channels of a transport (RFC 8831)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pysfu import messages
from pysfu.errors import OnlyRelaysError

if TYPE_CHECKING:
    from pysfu.transport import Transport


class DataChannels:
    """The data channels of one transport. Either end may open one; no two have the same label."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def open(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
    ) -> None:
        """Opens a channel, once the transport has connected.

        Args:
            label: its name.
            ordered: whether messages arrive in order.
            max_retransmits: how often one is sent again that was lost; None: until it is there.

        Raises:
            ChannelInUseError: there is one of that label.
            UnknownChannelError: it has not connected yet, or no data channels were agreed on.
            FullError: there are as many as may be.
        """
        reliability: Literal["reliable"] | dict[str, int] = "reliable"
        if max_retransmits is not None:
            reliability = {"max_retransmits": max_retransmits}
        peer = self._transport.number
        opening = messages.OpenData(peer=peer, label=label, ordered=ordered, reliability=reliability)
        await self._transport.done(opening)

    async def hold(self) -> None:
        """Has what the other end says go on only where it is sent: for protocols in which the server looks at it first.

        It is for life. Done before the other end knows of the transport, no message of it escapes that.
        """
        await self._transport.done(messages.HoldData(peer=self._transport.number))

    async def send(
        self, label: str, payload: bytes, *, binary: bool = True, publisher: Transport | None = None
    ) -> None:
        """Sends a message on the open channel of that label.

        Args:
            label: the channel.
            payload: what.
            binary: whether it is binary rather than text.
            publisher: whose message it is: it leaves only while `Participant.allow_data` lets it. None: the server's.

        Raises:
            NotAllowedError: nobody lets that publisher's messages flow to this one.
            OnlyRelaysError: the publisher is on another worker, from which no messages come.
            OtherRoomError: the publisher is in another room.
            UnknownChannelError: no channel of that label is open.
            MessageTooLargeError: it is longer than the other end takes.
            FullError: as much waits as may.
        """
        if publisher is not None:
            self._transport.participant.check_same_room(publisher.participant)
            # Its number is somebody else's here, who may be allowed what it is not.
            if publisher.worker != self._transport.worker:
                raise OnlyRelaysError("the participants are on different workers, between which no messages go")
        await self._transport.done(
            messages.SendData(
                peer=self._transport.number,
                publisher=publisher.number if publisher is not None else None,
                label=label,
                payload=payload,
                binary=binary,
            )
        )
