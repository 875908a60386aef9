"""The relays of one room: each carries one track to one other worker, for as long as somebody there plays it.

`_spread.relays` says which are needed; here they are made and ended. Nothing waits inside: each step is taken when the
answer to the one before is read, so that no caller who gives up leaves half a relay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _spread, messages
from pysfu._asked import all_asked
from pysfu.errors import PysfuError, RefusedError, UnavailableError, UnknownPeerError, UnknownTrackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pysfu.room import Room
    from pysfu.track import Track
    from pysfu.transport import Transport

logger = logging.getLogger("pysfu")

_GONE = (UnknownPeerError, UnknownTrackError)


class Relay:
    """One track on its way to one other worker.

    Attributes:
        number: what the track is there, once it is; rights to it can be granted from then on.
        near: the peer of the track's own worker that takes it.
        far: the peer of the other worker that publishes it.
        fault: why there is none, until it is tried again.
        wires: the media sections there that carry it, each with its limit.
    """

    def __init__(self, track: Track, worker: int) -> None:
        self.track = track
        self.worker = worker
        self.number: int | None = None
        self.near: int | None = None
        self.far: int | None = None
        self.fault: PysfuError | None = None
        self.is_over = False
        self.wires: dict[tuple[Transport, str], messages.LayerLimit | None] = {}
        self.made: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def played(self) -> dict[tuple[Transport, str], messages.LayerLimit | None]:
        """Returns the media sections that carry it still."""
        return {(to, mid): limit for (to, mid), limit in self.wires.items() if to.playing.get(mid) is self.track}

    def ends(self) -> Iterator[tuple[int, int]]:
        """Yields the peers that it is made of, each with its worker."""
        if self.near is not None:
            yield self.track.worker, self.near
        if self.far is not None:
            yield self.worker, self.far

    def settled(self) -> None:
        """Wakes those who wait: it is made, or will not be."""
        if not self.made.done():
            self.made.set_result(None)


class Relays:
    """The relays of one room, by track and the worker that it goes to."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bridge = room.bridge
        self._relays: defaultdict[Track, dict[int, Relay]] = defaultdict(dict)

    @property
    def count(self) -> int:
        """How many there are, and are being made."""
        return len(self._all())

    def number_now(self, track: Track, worker: int) -> int | None:
        """Returns what a track is on a worker, where it is at all."""
        if worker == track.worker:
            return track.number
        relay = self._find(track, worker)
        return relay.number if relay is not None else None

    def settle(self, track: Track) -> None:
        """Makes and ends relays, now that other transports play a track."""
        players = track.played_by if self._room.has(track) else ()
        needed = _spread.relays((track, track.worker, transport.worker) for transport in players)
        for relay in self._of(track):
            if (track, relay.worker) not in needed:
                self._end(relay)
            elif relay.fault is not None:
                self._replace(relay)
            else:
                relay.wires = relay.played()
        for _, worker in sorted(needed, key=lambda each: each[1]):
            if worker not in self._relays[track]:
                self._begin(track, worker)

    async def number_of(self, track: Track, worker: int) -> int:
        """Returns what a track that is played on a worker is there, once it is.

        Raises:
            UnknownTrackError: it has ended, or is played there no more.
            RefusedError: it cannot be relayed.
        """
        if worker == track.worker:
            return track.number
        while relay := self._find(track, worker):
            if not relay.made.done():
                await asyncio.shield(relay.made)
            elif relay.fault is not None:
                raise relay.fault
            elif relay.number is not None:
                return relay.number
        raise UnknownTrackError("the track has ended, or is not played any more")

    async def granted(self, track: Track, worker: int) -> None:
        """Waits until rights to a track are granted that wait for it to come to a worker, if it is on its way."""
        while (relay := self._find(track, worker)) is not None and not relay.made.done():
            await asyncio.shield(relay.made)

    def wired(self, transport: Transport, mid: str, track: Track) -> None:
        """Notes that a media section carries a track that may come through a relay."""
        relay = self._find(track, transport.worker)
        if relay is not None:
            relay.wires[transport, mid] = None

    def limited(self, transport: Transport, track: Track, limit: messages.LayerLimit) -> None:
        """Notes what is the most that a transport gets of a track that may come through a relay."""
        relay = self._find(track, transport.worker)
        if relay is not None:
            relay.wires |= {wire: limit for wire in relay.wires if wire[0] is transport}

    def forget(self, track: Track) -> None:
        """Ends the relays of a track that ends."""
        for relay in self._of(track):
            self._end(relay)

    def clear(self) -> None:
        """Forgets all: the room ends, and with it whatever is in it."""
        relays = self._all()
        self._relays.clear()
        for relay in relays:
            relay.is_over, relay.near, relay.far, relay.number = True, None, None, None
            relay.settled()

    def renegotiated(self, transport: Transport) -> None:
        """Tries again what could not be relayed, now that what a transport sends was agreed on anew."""
        for relay in [relay for track in transport.tracks for relay in self._of(track) if relay.fault is not None]:
            self._replace(relay)

    def on_closed(self, relay: Relay) -> None:
        """Makes a relay anew of which one end has closed: its track is no longer what the other end was told."""
        self._replace(relay)

    def check(self, worker: int, peers: Sequence[messages.PeerState]) -> None:
        """Does so for all ends on a worker that are not among these peers, or are closed."""
        alive = {peer.peer for peer in peers if peer.state != "closed"}
        for relay in {relay for peer, relay in self._room.parts[worker].ends.items() if peer not in alive}:
            self._replace(relay)

    def resume(self, track: Track, worker: int, *, near: int, far: int, number: int) -> None:
        """Takes up a relay that the engine has already."""
        relay = self._relays[track][worker] = Relay(track, worker)
        relay.near, relay.far, relay.number = near, far, number
        track.relayed_as[worker] = number
        for at, peer in relay.ends():
            self._room.parts[at].ends[peer] = relay
        self._room.parts[worker].tracks[number] = track
        relay.settled()

    # --- inside ---

    def _of(self, track: Track) -> list[Relay]:
        return list(self._relays[track].values()) if track in self._relays else []

    def _all(self) -> list[Relay]:
        return [relay for relays in self._relays.values() for relay in relays.values()]

    def _find(self, track: Track, worker: int) -> Relay | None:
        return self._relays[track].get(worker) if track in self._relays else None

    def _begin(self, track: Track, worker: int) -> Relay:
        relay = self._relays[track][worker] = Relay(track, worker)
        number = self._room.sfu.next_relay()
        self._ask(
            relay,
            track.worker,
            messages.RelayOut(track=track.number, relay=number),
            on_reply=partial(self._on_near, relay, number),
        )
        return relay

    def _ask(
        self,
        relay: Relay,
        worker: int,
        command: messages.Command,
        *,
        on_reply: Callable[[messages.AnyReply | RefusedError], None],
    ) -> None:
        try:
            # What comes of it is not awaited by anybody, but heard.
            self._bridge.ask(worker, command, on_reply=on_reply).cancel()
        except PysfuError as error:
            self._fail(relay, error)

    def _on_near(self, relay: Relay, number: int, reply: messages.AnyReply | RefusedError) -> None:
        if not isinstance(reply, messages.RelayReply):
            self._fail(relay, reply)
            return
        relay.near = reply.peer
        if relay.is_over:
            self._close(relay)
            return
        self._room.parts[relay.track.worker].ends[reply.peer] = relay
        track, part = relay.track, self._room.parts[relay.worker]
        command = messages.RelayIn(
            room=part.number, participant=track.publisher.number, relay=number, description=reply.description
        )
        self._ask(relay, relay.worker, command, on_reply=partial(self._on_far, relay))

    def _on_far(self, relay: Relay, reply: messages.AnyReply | RefusedError) -> None:
        if not isinstance(reply, messages.RelayedReply):
            self._fail(relay, reply)
            return
        relay.far = reply.peer
        if relay.is_over:
            self._close(relay)
            return
        self._room.parts[relay.worker].ends[reply.peer] = relay
        relay.number = relay.track.relayed_as[relay.worker] = reply.track
        self._room.parts[relay.worker].tracks[reply.track] = relay.track
        try:
            asked = all_asked(self._bridge.ask(worker, command) for worker, command in self._grants(relay))
        except PysfuError as error:
            self._fail(relay, error)
            return
        self._rewire(relay)
        asyncio.gather(*asked, return_exceptions=True).add_done_callback(partial(self._on_granted, relay))

    def _grants(self, relay: Relay) -> Iterator[tuple[int, messages.Command]]:
        """Yields the right of the relay itself, and those that participants there have had before it was there."""
        assert relay.near is not None, "it has been made"
        yield relay.track.worker, messages.Allow(track=relay.track.number, subscriber=relay.near, echo=False)
        for participant in self._room.participants:
            if participant.worker == relay.worker:
                for command in participant.grants(relay.track):
                    yield relay.worker, command

    def _rewire(self, relay: Relay) -> None:
        """Wires what was wired to the relay before this one."""
        assert relay.number is not None, "it has been made"
        for (transport, mid), limit in relay.wires.items():
            wire = messages.Subscribe(peer=transport.number, mid=mid, track=relay.number)
            self._bridge.fire_and_forget(relay.worker, wire)
            if limit is not None:
                limited = messages.LimitLayer(track=relay.number, subscriber=transport.number, limit=limit)
                self._bridge.fire_and_forget(relay.worker, limited)

    def _on_granted(self, relay: Relay, granted: asyncio.Future[list[messages.AnyReply | BaseException]]) -> None:
        for result in granted.result() if not granted.cancelled() else ():
            if isinstance(result, PysfuError) and not isinstance(result, _GONE):
                self._fail(relay, result)
        relay.settled()

    def _fail(self, relay: Relay, fault: object) -> None:
        """Ends a relay that cannot be made; it is kept, so that whoever plays the track is told why."""
        if not relay.is_over:
            relay.fault = (
                fault if isinstance(fault, PysfuError) else UnavailableError("the engine's answer makes no sense")
            )
            logger.warning("a track cannot be relayed to worker %d: %s", relay.worker, relay.fault)
        self._close(relay)

    def _replace(self, relay: Relay) -> None:
        self._end(relay)
        if any(transport.worker == relay.worker for transport in relay.track.played_by):
            self._begin(relay.track, relay.worker).wires = relay.played()

    def _end(self, relay: Relay) -> None:
        relays = self._relays[relay.track]
        if relays.get(relay.worker) is relay:
            del relays[relay.worker]
        if not relays:
            del self._relays[relay.track]
        self._close(relay)

    def _close(self, relay: Relay) -> None:
        """Removes what there is of a relay; what comes later finds that it is over."""
        relay.is_over = True
        part = self._room.parts.get(relay.worker)
        if relay.number is not None and part is not None:
            part.tracks.pop(relay.number, None)
        ends, relay.near, relay.far, relay.number = tuple(relay.ends()), None, None, None
        for worker, peer in ends:
            self._room.parts[worker].ends.pop(peer, None)
            self._bridge.fire_and_forget(worker, messages.RemovePeer(peer=peer))
        relay.settled()
