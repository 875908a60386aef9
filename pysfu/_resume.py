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
from pysfu.errors import RefusedError
from pysfu.room import Room
from pysfu.transport import TransportState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pysfu._bridge import Bridge
    from pysfu.participant import Participant
    from pysfu.sfu import Sfu
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
        late: workers that have not told in time what goes on there. Whatever that is ends as soon as they do anything.
        failed: workers that will never tell.
    """

    rooms: list[Room] = field(default_factory=list)
    ended: list[bytes] = field(default_factory=list)
    late: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)


async def resume_all(sfu: Sfu, bridge: Bridge, rooms: dict[tuple[int, int], Room], versions: dict[int, int]) -> Resumed:
    """Asks every worker what goes on, and makes its rooms anew.

    Args:
        sfu: whose rooms they are.
        bridge: to the workers.
        rooms: gets those that go on, by worker and number, before anything that the worker said after its answer is
            looked at, so that nothing is missed.
        versions: gets how old the state of each worker is, at the same time.
    """
    notes = _Notes(*_notes.read(bridge.notes()))
    found = Resumed()
    waiting = set(range(bridge.workers))

    def on_reply(worker: int, reply: messages.AnyReply | RefusedError) -> None:
        if worker not in waiting:
            end_all(bridge, worker, reply)
        elif isinstance(reply, messages.SnapshotReply):
            for room in _resume(sfu, bridge, found, worker=worker, state=reply.snapshot, notes=notes):
                rooms[worker, room.number] = room
            versions[worker] = reply.snapshot.version
        else:
            found.failed.add(worker)
            _end_unknown(bridge, found, worker=worker, notes=notes)
        waiting.discard(worker)

    asked = [bridge.ask(worker, messages.Snapshot(), on_reply=partial(on_reply, worker)) for worker in tuple(waiting)]
    await asyncio.wait(asked, timeout=RESUME_TIMEOUT_S)
    for future in asked:
        if future.done():
            future.exception()  # which has been seen to
    for worker in tuple(waiting):
        logger.error("worker %d does not tell what goes on there: it ends as soon as it goes on", worker)
        waiting.discard(worker)
        found.late.add(worker)
        _end_unknown(bridge, found, worker=worker, notes=notes)
    return found


def end_all(bridge: Bridge, worker: int, reply: messages.AnyReply | RefusedError) -> None:
    """Ends all rooms of a worker, of which nobody knows any more what they were."""
    if isinstance(reply, messages.SnapshotReply):
        for number in reply.snapshot.rooms:
            bridge.note(worker, _notes.forgotten_room(number))
            bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
        for peer in reply.snapshot.peers:
            bridge.note(worker, _notes.forgotten_peer(peer.peer))


@dataclass(frozen=True, slots=True)
class _Notes:
    """What was left on rooms and peers, by worker and number."""

    rooms: dict[tuple[int, int], bytes]
    peers: dict[tuple[int, int], _notes.PeerNote]

    def rooms_of(self, worker: int) -> list[int]:
        return [number for at, number in self.rooms if at == worker]

    def peers_of(self, worker: int) -> list[int]:
        return [number for at, number in self.peers if at == worker]


def _end_unknown(bridge: Bridge, found: Resumed, *, worker: int, notes: _Notes) -> None:
    """Ends what there may be in a worker that tells nothing; its rooms can go on elsewhere."""
    _forget(bridge, found, worker=worker, rooms=notes.rooms_of(worker), peers=notes.peers_of(worker), notes=notes)


def _forget(
    bridge: Bridge, found: Resumed, *, worker: int, rooms: Iterable[int], peers: Iterable[int], notes: _Notes
) -> None:
    for number in rooms:
        # Of one that failed there is still its place in the engine.
        bridge.note(worker, _notes.forgotten_room(number))
        bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
        found.ended.append(notes.rooms[worker, number])
    for number in peers:
        bridge.note(worker, _notes.forgotten_peer(number))


def _resume(
    sfu: Sfu, bridge: Bridge, found: Resumed, *, worker: int, state: messages.State, notes: _Notes
) -> list[Room]:
    resumed: dict[int, Room] = {}
    for number in state.rooms:
        if (worker, number) in notes.rooms:
            resumed[number] = Room(sfu, bridge, worker=worker, number=number, note=notes.rooms[worker, number])
        else:
            bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
    transports = _transports(bridge, resumed, worker=worker, state=state, peers=notes.peers)
    _rights(transports, state)
    for roster in state.rosters:
        if roster.room in resumed:
            room = resumed[roster.room]
            room.listeners = tuple(map(room.name_of, roster.listeners))
    ended = [number for number in notes.rooms_of(worker) if number not in resumed]
    gone = [number for number in notes.peers_of(worker) if number not in transports]
    _forget(bridge, found, worker=worker, rooms=ended, peers=gone, notes=notes)
    logger.info("worker %d: %d rooms go on, %d have ended", worker, len(resumed), len(ended))
    found.rooms += resumed.values()
    return list(resumed.values())


def _transports(
    bridge: Bridge,
    rooms: dict[int, Room],
    *,
    worker: int,
    state: messages.State,
    peers: dict[tuple[int, int], _notes.PeerNote],
) -> dict[int, Transport]:
    """Makes the transports and their tracks anew, and ends those that nobody can name."""
    transports: dict[int, Transport] = {}
    participants: dict[tuple[int, int], Participant] = {}
    for peer in state.peers:
        room, note = rooms.get(peer.room), peers.get((worker, peer.peer))
        if room is None:
            continue
        if note is None:
            bridge.fire_and_forget(worker, messages.RemovePeer(peer=peer.peer))
            continue
        participant = participants.get((peer.room, peer.participant))
        if participant is None:
            participant = room.resume_participant(peer.participant, note=note.participant)
            participants[peer.room, peer.participant] = participant
        transports[peer.peer] = participant.resume_transport(peer.peer, note)
        if peer.state != "connecting":
            transports[peer.peer].set_state(TransportState(peer.state))
    tracks = {}
    for track in state.tracks:
        if track.peer in transports:
            tracks[track.track] = transports[track.peer].resume_track(track)
    for peer in state.peers:
        if peer.peer in transports:
            playing = {section.mid: tracks[section.track] for section in peer.playing if section.track in tracks}
            transports[peer.peer].resume_playing(playing)
    return transports


def _rights(transports: dict[int, Transport], state: messages.State) -> None:
    """Notes who may receive what: the engine's word."""
    for track in state.tracks:
        if track.peer not in transports:
            continue
        publisher = transports[track.peer].participant
        for subscriber in track.allowed:
            if subscriber in transports:
                theirs = transports[subscriber].participant
                theirs.resume_right(publisher.room.tracks[track.track], echo=theirs is publisher)
    for right in state.data:
        if right.publisher in transports and right.subscriber in transports:
            subscriber_ = transports[right.subscriber].participant
            subscriber_.resume_data(transports[right.publisher].participant)
