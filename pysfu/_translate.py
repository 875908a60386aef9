"""What the engine says by numbers, as events with the objects that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu import messages
from pysfu.events import (
    DataReceived,
    Event,
    LayerChanged,
    RosterChanged,
    SpeakersChanged,
    TrackStarted,
    TransportClosed,
    TransportConnected,
    TransportDisconnected,
    TransportFailed,
    TransportReconnected,
)
from pysfu.transport import TransportState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pysfu.room import Room
    from pysfu.track import Track
    from pysfu.transport import Transport


class Translator:
    """Knows the rooms by worker and number; `fail` is called with one that has failed."""

    def __init__(self, rooms: Mapping[tuple[int, int], Room], *, fail: Callable[[Room], None]) -> None:
        self._rooms = rooms
        self._fail = fail

    def _transport(self, worker: int, number: int) -> Transport | None:
        found = (room.transports.get(number) for room in self._rooms.values() if room.worker == worker)
        return next((transport for transport in found if transport is not None), None)

    def _track(self, worker: int, number: int) -> Track | None:
        found = (room.tracks.get(number) for room in self._rooms.values() if room.worker == worker)
        return next((track for track in found if track is not None), None)

    def translate(self, worker: int, event: messages.AnyEvent) -> Event | None:
        """Turns numbers into objects; None when the object is already gone here."""
        match event:
            case messages.Speakers(room=number, speakers=speakers):
                room = self._rooms.get((worker, number))
                levels = tuple((f"participant-{speaker.participant:x}", speaker.level) for speaker in speakers)
                return SpeakersChanged(room, levels) if room is not None else None
            case messages.Roster(room=number, listeners=listeners):
                room = self._rooms.get((worker, number))
                if room is None:
                    return None
                room.listeners = tuple(map(room.name_of, listeners))
                return RosterChanged(room, room.listeners)
            case messages.RoomFailed(room=number):
                room = self._rooms.get((worker, number))
                if room is not None:
                    self._fail(room)
                return None
            case messages.TrackStarted(track=number, codec=codec):
                track = self._track(worker, number)
                return TrackStarted(track, codec) if track is not None else None
            case messages.LayerChanged(subscriber=number, track=of, encoding=encoding):
                track, transport = self._track(worker, of), self._transport(worker, number)
                if track is None or transport is None:
                    return None
                return LayerChanged(transport, track, encoding)
            case messages.Resync():
                return None
            case _:
                transport = self._transport(worker, event.peer)
                return self._translate_peer(transport, event) if transport is not None else None

    def _translate_peer(
        self,
        transport: Transport,
        event: messages.PeerConnected
        | messages.PeerDisconnected
        | messages.PeerReconnected
        | messages.PeerFailed
        | messages.PeerClosed
        | messages.DataReceived,
    ) -> Event:
        match event:
            case messages.PeerConnected(srtp_profile=profile, dtls_version=version):
                transport.set_state(TransportState.CONNECTED)
                return TransportConnected(transport, profile, version)
            case messages.PeerDisconnected():
                transport.set_state(TransportState.DISCONNECTED)
                return TransportDisconnected(transport)
            case messages.PeerReconnected():
                transport.set_state(TransportState.CONNECTED)
                return TransportReconnected(transport)
            case messages.PeerFailed(reason=reason):
                transport.set_state(TransportState.FAILED)
                return TransportFailed(transport, reason)
            case messages.PeerClosed():
                transport.set_state(TransportState.CLOSED)
                return TransportClosed(transport)
            case messages.DataReceived(label=label, payload=payload, binary=binary):
                return DataReceived(transport, label, payload, binary)
