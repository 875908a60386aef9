"""Taking up what goes on in a media process that somebody else controlled before: rooms, participants and their rights.

What runs is the truth, the notes say what it means. Whatever nobody can name is ended: it could be taken from nobody.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _notes, messages
from pysfu._part import Part
from pysfu._stalls import note_stalls
from pysfu.errors import RefusedError
from pysfu.room import Room
from pysfu.transport import TransportState

if TYPE_CHECKING:
    from pysfu._bridge import Bridge
    from pysfu.sfu import Sfu
    from pysfu.track import Track
    from pysfu.transport import Transport

logger = logging.getLogger("pysfu")

RESUME_TIMEOUT_S = 2.0
"""How long a worker may take to tell what goes on; it answers within milliseconds, or hangs."""


@dataclass(slots=True)
class Resumed:
    """What goes on.

    Attributes:
        rooms: all rooms.
        ended: the notes on those that have ended since anybody knew of them, or that a late worker has.
        versions: how old the state of each worker is.
        late: workers that have not told in time what goes on there. Whatever that is ends as soon as they do anything.
        failed: workers that will never tell.
    """

    rooms: list[Room] = field(default_factory=list)
    ended: list[bytes] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)


async def resume_all(sfu: Sfu, bridge: Bridge) -> Resumed:
    """Asks every worker what goes on, and makes its rooms anew.

    What a worker says after its answer must be looked at once the rooms are there.
    """
    found, states = Resumed(), dict[int, messages.State]()
    notes, instance = _notes.read(bridge.notes()), bridge.instance
    waiting = set(range(bridge.workers))

    def on_reply(worker: int, reply: messages.AnyReply | RefusedError) -> None:
        if worker not in waiting:
            end_all(bridge, worker, reply)
        elif isinstance(reply, messages.SnapshotReply):
            states[worker] = reply.snapshot
        else:
            found.failed.add(worker)
        waiting.discard(worker)

    asked = [bridge.ask(worker, messages.Snapshot(), on_reply=partial(on_reply, worker)) for worker in sorted(waiting)]
    await asyncio.wait(asked, timeout=RESUME_TIMEOUT_S)
    for future in asked:
        if future.done():
            future.exception()  # which has been seen to
    for worker in sorted(waiting):
        logger.error("worker %d does not tell what goes on there: it ends as soon as it goes on", worker)
    found.late |= waiting
    waiting.clear()
    if not bridge.has(instance):
        states.clear()  # what they were about has ended meanwhile
    found.versions |= {worker: state.version for worker, state in states.items()}
    _Resumption(sfu, bridge, states, notes).resume(found)
    return found


def end_all(bridge: Bridge, worker: int, reply: messages.AnyReply | RefusedError) -> None:
    """Ends all rooms of a worker, of which nobody knows any more what they were."""
    if isinstance(reply, messages.SnapshotReply):
        for number in reply.snapshot.rooms:
            bridge.note(worker, _notes.forgotten_room(number))
            bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
        for peer in reply.snapshot.peers:
            bridge.note(worker, _notes.forgotten_peer(peer.peer))


class _Resumption:
    """Makes anew what goes on, from what the workers say and the notes. Everything is kept by worker and number."""

    def __init__(self, sfu: Sfu, bridge: Bridge, states: dict[int, messages.State], notes: _notes.Notes) -> None:
        self._sfu = sfu
        self._bridge = bridge
        self._states = states
        self._notes = notes
        self._rooms: dict[tuple[int, int], Room] = {}
        self._transports: dict[tuple[int, int], Transport] = {}
        self._tracks: dict[tuple[int, int], Track] = {}

    def resume(self, found: Resumed) -> None:
        """Notes what goes on and what has ended; ends the rest."""
        found.ended += self._resume_rooms()
        found.rooms += dict.fromkeys(self._rooms.values())
        for worker, state in self._states.items():
            self._resume_transports(worker, state)
            self._resume_published(worker, state)
        for worker, number in self._notes.peers.keys() - self._transports.keys():
            self._bridge.note(worker, _notes.forgotten_peer(number))
        self._resume_relays()
        for worker, state in self._states.items():
            self._resume_playing(worker, state)
            note_stalls(worker, state, self._tracks, self._transports)
            self._resume_rights(worker, state)
        for track in tuple(self._tracks.values()):
            track.publisher.room.relays.settle(track)
        logger.info("%d rooms go on, %d have ended", len(found.rooms), len(found.ended))

    def _resume_rooms(self) -> list[bytes]:
        """Makes the rooms anew of which every part goes on, and returns the notes on the others."""
        going_on = {(worker, number) for worker, state in self._states.items() for number in state.rooms}
        broken = {home for part, home in self._notes.parts.items() if part not in going_on}
        for (worker, number), note in self._notes.rooms.items():
            if (worker, number) in going_on - broken:
                room = Room(self._sfu, self._bridge, worker=worker, number=number, note=note)
                self._rooms[worker, number] = room
        for part, home in self._notes.parts.items():
            if home in self._rooms:
                self._rooms[part] = self._rooms[home]
                self._rooms[home].parts[part[0]] = Part(*part, index=self._sfu.index)
        known = going_on | self._notes.rooms.keys() | self._notes.parts.keys()
        for worker, number in sorted(known - self._rooms.keys()):
            # Of one that failed there is still its place in the engine.
            self._bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
            self._bridge.note(worker, _notes.forgotten_room(number))
        return [note for home, note in self._notes.rooms.items() if home not in self._rooms]

    def _resume_transports(self, worker: int, state: messages.State) -> None:
        """Makes the transports anew, and ends those that nobody can name."""
        for peer in state.peers:
            room, note = self._rooms.get((worker, peer.room)), self._notes.peers.get((worker, peer.peer))
            if room is None or peer.relay is not None:
                continue
            if note is None:
                self._bridge.fire_and_forget(worker, messages.RemovePeer(peer=peer.peer))
                continue
            participant = room.resume_participant(peer.participant, worker=worker, note=note.participant)
            transport = self._transports[worker, peer.peer] = participant.resume_transport(peer.peer, note)
            if peer.state != "connecting":
                transport.set_state(TransportState(peer.state))

    def _resume_published(self, worker: int, state: messages.State) -> None:
        """Makes the tracks anew, and notes who hears and sees."""
        for track in state.tracks:
            if (worker, track.peer) in self._transports:
                self._tracks[worker, track.track] = self._transports[worker, track.peer].resume_track(track)
        for roster in state.rosters:
            if (worker, roster.room) in self._rooms:
                self._rooms[worker, roster.room].parts[worker].listeners = tuple(roster.listeners)

    def _resume_relays(self) -> None:
        """Takes up the relays that have both ends and their track, and ends the others."""
        nears: dict[int, tuple[int, int]] = {}
        fars: dict[int, tuple[int, int, int]] = {}
        for worker, state in self._states.items():
            published = {track.peer: track.track for track in state.tracks}
            for peer in [peer for peer in state.peers if peer.relay is not None and (worker, peer.room) in self._rooms]:
                assert peer.relay is not None, "chosen so"
                self._sfu.resume_relays(peer.relay)
                if peer.state == "closed":
                    self._bridge.fire_and_forget(worker, messages.RemovePeer(peer=peer.peer))
                elif peer.peer in published:
                    fars[peer.relay] = worker, peer.peer, published[peer.peer]
                else:
                    nears[peer.relay] = worker, peer.peer
        carried = {
            (worker, peer): self._tracks[worker, track.track]
            for worker, state in self._states.items()
            for track in state.tracks
            for peer in track.allowed
            if (worker, track.track) in self._tracks
        }
        for relay in nears.keys() | fars.keys():
            self._resume_relay(carried.get(nears[relay]) if relay in nears else None, nears.get(relay), fars.get(relay))

    def _resume_relay(
        self, track: Track | None, near: tuple[int, int] | None, far: tuple[int, int, int] | None
    ) -> None:
        if track is not None and near is not None and far is not None:
            worker, peer, number = far
            track.publisher.room.relays.resume(track, worker, near=near[1], far=peer, number=number)
            self._tracks[worker, number] = track
            return
        for worker, peer in [end[:2] for end in (near, far) if end is not None]:
            self._bridge.fire_and_forget(worker, messages.RemovePeer(peer=peer))

    def _resume_playing(self, worker: int, state: messages.State) -> None:
        """Notes what media sections carry: the engine's word."""
        for peer in state.peers:
            transport = self._transports.get((worker, peer.peer))
            if transport is not None:
                carried = {section.mid: self._tracks.get((worker, section.track)) for section in peer.playing}
                transport.resume_playing({mid: track for mid, track in carried.items() if track is not None})

    def _resume_rights(self, worker: int, state: messages.State) -> None:
        """Notes who may receive what, likewise."""
        for granted in state.tracks:
            track = self._tracks.get((worker, granted.track))
            for subscriber in granted.allowed if track is not None else ():
                transport = self._transports.get((worker, subscriber))
                if track is not None and transport is not None:
                    participant = transport.participant
                    participant.resume_right(track, echo=participant is track.publisher)
        for right in state.data:
            publisher = self._transports.get((worker, right.publisher))
            subscribing = self._transports.get((worker, right.subscriber))
            if publisher is not None and subscribing is not None:
                subscribing.participant.resume_data(publisher.participant)
