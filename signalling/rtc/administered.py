"""What an administrating system can do with those who are in a meeting, and with the meeting."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo

from signalling.domain.ids import ParticipantId, RoomId


class Administered(Protocol):
    """All meetings, as whoever administers them changes them. Rooms are there, or their end raises `NotFoundError`.

    Whoever is in a room by other means than LiveKit's protocol is listed. What cannot be done with them, as they could
    not be told of it, raises `NotFoundError("participant")`.
    """

    async def infos(self, room: RoomId) -> list[ParticipantInfo]:
        """Describes everybody in a room, in order of arrival."""

    async def update_participant(
        self,
        room: RoomId,
        participant: ParticipantId,
        *,
        name: str | None,
        metadata: str | None,
        attributes: Mapping[str, str] | None,
        permission: ParticipantPermission | None,
    ) -> ParticipantInfo:
        """Changes what somebody is called and may; None leaves it as it is. What flows by lost rights ends before.

        Args:
            room: where.
            participant: who.
            name: what others see them called.
            metadata: what is written on them.
            attributes: what is written over the same keys; one that is empty is taken away.
            permission: all that they may from now on; `with_permission` of `infos` reads it. It is on disk, and holds
                against all their older tokens.

        Raises:
            NotFoundError: nobody of that id is in the room.
            RefusedError: the rights of too many were changed in it, or there are too many attributes.
            StoreUnavailableError: the rights are changed, but that is not written down.
        """

    async def mute_track(self, room: RoomId, participant: ParticipantId, track_sid: str, *, muted: bool) -> TrackInfo:
        """Has nothing of a track flow, or lets it flow again; its publisher is told.

        Raises:
            NotFoundError: nobody of that id is in the room, or they publish no such track.
        """

    async def update_subscriptions(
        self, room: RoomId, participant: ParticipantId, track_sids: Collection[str], *, subscribe: bool
    ) -> None:
        """Takes on somebody's behalf what they want to receive, or no more; what is no track there is passed over.

        Raises:
            NotFoundError: nobody of that id is in the room.
        """

    async def send_data(
        self,
        room: RoomId,
        payload: bytes,
        *,
        reliable: bool,
        identities: Collection[str],
        sids: Collection[str],
        topic: str,
    ) -> None:
        """Sends a message from the server.

        Args:
            room: where.
            payload: what.
            reliable: whether it is sent until it arrives.
            identities: to whom, with `sids`; to everybody when both are empty. Who is not there is passed over.
            sids: to whom, by sid.
            topic: what it is about, for those who receive it.
        """

    async def update_metadata(self, room: RoomId, metadata: str) -> None:
        """Writes something else on a room, on disk too, and tells everybody in it.

        Raises:
            StoreUnavailableError: it cannot be written down, and stays as it was.
        """
