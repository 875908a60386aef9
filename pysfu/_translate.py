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
    SubscriptionStalled,
    TrackStalled,
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

    from pysfu._index import Index
    from pysfu._part import Part
    from pysfu.room import Room
    from pysfu.transport import Transport


class Translator:
    """Knows the rooms by worker and number, what is in them by the index; `fail` is called with one that has failed."""

    def __init__(self, rooms: Mapping[tuple[int, int], Room], index: Index, *, fail: Callable[[Room], None]) -> None:
        self._rooms = rooms
        self._index = index
        self._fail = fail

    def translate(self, worker: int, event: messages.AnyEvent) -> Event | None:
        """Turns numbers into objects; None when the object is already gone here."""
        match event:
            case messages.Speakers() | messages.Roster() | messages.RoomFailed():
                room = self._rooms.get((worker, event.room))
                return self._translate_room(room, room.parts[worker], event) if room is not None else None
            case messages.TrackStarted(track=number, codec=codec):
                track = self._index.tracks.get((worker, number))
                # Where it is relayed to, it starts again.
                return TrackStarted(track, codec) if track is not None and track.worker == worker else None
            case messages.LayerChanged(subscriber=number, track=of, encoding=encoding):
                track, transport = self._index.tracks.get((worker, of)), self._index.transports.get((worker, number))
                if track is None or transport is None:
                    return None
                return LayerChanged(transport, track, encoding)
            case messages.TrackStalled() | messages.SubscriptionStalled():
                return self._translate_stall(worker, event)
            case messages.Resync():
                return None
            case messages.PeerClosed(peer=peer) if (worker, peer) in self._index.ends:
                relay = self._index.ends[worker, peer]
                relay.track.publisher.room.relays.on_closed(relay)
                return None
            case _:
                transport = self._index.transports.get((worker, event.peer))
                return self._translate_peer(transport, event) if transport is not None else None

    def _translate_stall(
        self, worker: int, event: messages.TrackStalled | messages.SubscriptionStalled
    ) -> Event | None:
        """Notes what does not flow, or flows again."""
        track = self._index.tracks.get((worker, event.track))
        match event:
            case messages.TrackStalled(stalled=stalled):
                if track is None or track.worker != worker:
                    return None  # Where it is relayed to, it is its subscribers who are told.
                track.stalled = stalled
                return TrackStalled(track, stalled)
            case messages.SubscriptionStalled(subscriber=number, cause=cause):
                transport = self._index.transports.get((worker, number))
                if track is None or transport is None or not track.stall(transport, cause):
                    return None
                return SubscriptionStalled(transport, track, cause)

    def _translate_room(
        self, room: Room, part: Part, event: messages.Speakers | messages.Roster | messages.RoomFailed
    ) -> Event | None:
        """Adds what one worker says of a room to what the others have said."""
        match event:
            case messages.Speakers(speakers=speakers):
                part.speakers = tuple((speaker.participant, speaker.level) for speaker in speakers)
                return SpeakersChanged(room, room.speakers)
            case messages.Roster(listeners=listeners):
                part.listeners = tuple(listeners)
                return RosterChanged(room, room.listeners)
            case messages.RoomFailed():
                self._fail(room)
                return None

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
