"""One server after another: what the next one finds."""

from __future__ import annotations

from collections.abc import Collection

from conftest import Bench, settings
from fake_peers import FakePeer, FakeTransport
from fake_sdp import answer_to

from signalling.media import ResumedPeer, ResumedRoom


def next_server(bench: Bench, *, has_ended: Collection[str] = ()) -> Bench:
    """Makes the server after one that was killed, with what its media process still has.

    Args:
        bench: the server that was killed.
        has_ended: of which of the engine's participants the transport has ended since.
    """
    after = Bench(settings(), clock=bench.clock, store=bench.store)
    after.engine.numbers = bench.engine.numbers
    for room in bench.engine.rooms:
        room.engine = after.engine
        for peer in room.peers:
            peer.engine = after.engine
        if room.closed:
            after.engine.lost += [room.note] if room.note else []
        else:
            after.engine.rooms.append(room)
            peers = [resumed(peer, has_ended=peer.id in has_ended) for peer in room.peers if not peer.removed]
            after.engine.found.append(ResumedRoom(room=room, note=room.note, peers=tuple(peers)))
    return after


def resumed(peer: FakePeer, *, has_ended: bool) -> ResumedPeer:
    transports = peer.transports or [FakeTransport(answer_to("v=0", 1), peer, list(peer.tracks))]
    return ResumedPeer(peer=peer, transports=tuple(transports), note=peer.note, has_ended=has_ended)


async def taken_up(after: Bench) -> None:
    await after.parts.rooms.resume(await after.store.load())
    await after.settle()


def after_both_died(bench: Bench) -> Bench:
    """Makes the server after one that was killed with its media process."""
    return Bench(settings(), clock=bench.clock, store=bench.store)
