"""Taking up what goes on in a media process that somebody else controlled before: rooms, participants and their rights.

What runs is the truth, the notes say what it means. Whatever nobody can name is ended: it could be taken from nobody.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pysfu import _notes, messages
from pysfu.errors import RefusedError, UnavailableError
from pysfu.room import Room
from pysfu.transport import TransportState

if TYPE_CHECKING:
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
        ended: the notes on those that have ended since anybody knew of them.
        versions: how old the state of each worker is.
        silent: workers that have not told what goes on there.
    """

    rooms: list[Room] = field(default_factory=list)
    ended: list[bytes] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)


async def resume_all(sfu: Sfu, bridge: Bridge) -> Resumed:
    """Asks every worker what goes on, and makes its rooms anew."""
    rooms, peers = _notes.read(bridge.notes())
    found = Resumed()
    for worker in range(bridge.workers):
        try:
            async with asyncio.timeout(RESUME_TIMEOUT_S):
                state = (await bridge.call(worker, messages.Snapshot(), messages.SnapshotReply)).snapshot
        except (TimeoutError, UnavailableError):
            logger.error("worker %d does not tell what goes on there: it gets no rooms", worker)
            found.silent.add(worker)
            continue
        found.versions[worker] = state.version
        _resume(sfu, bridge, found, worker=worker, state=state, rooms=rooms, peers=peers)
    return found


def end_all(bridge: Bridge, worker: int, reply: messages.AnyReply | RefusedError) -> None:
    """Ends all rooms of a worker, of which nobody knows any more what they were."""
    if isinstance(reply, messages.SnapshotReply):
        for number in reply.snapshot.rooms:
            bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))


def _resume(
    sfu: Sfu,
    bridge: Bridge,
    found: Resumed,
    *,
    worker: int,
    state: messages.State,
    rooms: dict[tuple[int, int], bytes],
    peers: dict[tuple[int, int], _notes.PeerNote],
) -> None:
    resumed: dict[int, Room] = {}
    for number in state.rooms:
        if (worker, number) in rooms:
            resumed[number] = Room(sfu, bridge, worker=worker, number=number, note=rooms[worker, number])
        else:
            bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
    transports = _transports(bridge, resumed, worker=worker, state=state, peers=peers)
    _rights(transports, state)
    for roster in state.rosters:
        if roster.room in resumed:
            room = resumed[roster.room]
            room.listeners = tuple(map(room.name_of, roster.listeners))
    ended = [number for at, number in rooms if at == worker and number not in resumed]
    for number in ended:
        # Of one that failed there is still its place in the engine.
        bridge.note(worker, _notes.forgotten_room(number))
        bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
    for number in [number for at, number in peers if at == worker and number not in transports]:
        bridge.note(worker, _notes.forgotten_peer(number))
    logger.info("worker %d: %d rooms go on, %d have ended", worker, len(resumed), len(ended))
    found.rooms += resumed.values()
    found.ended += [rooms[worker, number] for number in ended]


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
