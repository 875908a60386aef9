"""A stand-in for the compiled engine that keeps rooms, peers, tracks and edges; and offers for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter, deque

import msgspec

from pysfu import messages

LOCAL = messages.LocalTransport(
    ufrag="ufrag",
    pwd="a-password-of-22-chars",
    fingerprint=messages.Fingerprint(algorithm="sha-256", value=bytes(32)),
    candidates=["192.0.2.1:7882"],
    ssrc_base=1_000,
)


DESCRIPTION = messages.RelayDescription(
    source="camera",
    encrypted=False,
    extensions=[],
    media=messages.ReceiveMedia(mid="0", kind="video", payload_types=[], encodings=[]),
)


class FakeCore:
    """Carries out all commands each time it is drained, in the order in which they came: nothing overtakes here."""

    workers = 2
    warnings = msgspec.msgpack.encode([])
    addresses = (["192.0.2.1:7882"], ["192.0.2.1:7883"])

    def __init__(self, config: bytes) -> None:
        msgspec.msgpack.decode(config, type=messages.DriverConfig)
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.queue: deque[tuple[int, messages.Request]] = deque()
        self.out: list[tuple[int, messages.Outgoing]] = []
        self.log: list[tuple[int, messages.Command]] = []
        self.rooms: set[tuple[int, int]] = set()
        self.failed_rooms: set[tuple[int, int]] = set()
        self.peers: dict[tuple[int, int], messages.PeerState] = {}
        self.tracks: dict[tuple[int, int], int] = {}
        self.edges: set[tuple[int, int, int]] = set()
        self.data_edges: set[tuple[int, int, int]] = set()
        self.channels: set[tuple[int, int, str]] = set()
        self.published: dict[tuple[int, int, str], int] = {}
        self.said: list[messages.SendData] = []
        self.held = False
        self.silent = False
        self.busy = False
        self.busy_workers: set[int] = set()
        self.refuse: dict[type, object] = {}
        self.refuse_tracks: dict[int, str] = {}  # why they cannot be played
        self.numbers: Counter[int] = Counter()  # each worker counts for itself
        self.version = 0
        self.restarted = LOCAL
        self.snapshot_versions: list[int] = []
        self.hangs: list[int] = []

    def submit(self, worker: int, request: bytes) -> bool:
        if self.busy or worker in self.busy_workers:
            return False
        self.queue.append((worker, msgspec.msgpack.decode(request, type=messages.Request)))
        os.eventfd_write(self.event_fd, 1)
        return True

    def drain(self) -> list[tuple[int, bytes]]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event_fd)
        while self.queue and not self.held:
            worker, request = self.queue.popleft()
            self.log.append((worker, request.command))
            refusal = self.refuse.get(type(request.command))
            if refusal is None:
                reply = self.carry_out(worker, request.command)
                outgoing = (
                    messages.Refused(id=request.id, refusal=reply)
                    if isinstance(reply, str)
                    else messages.Reply(id=request.id, reply=reply)
                )
            else:
                outgoing = messages.Refused(id=request.id, refusal=refusal)
            if not self.silent:
                self.out.append((worker, outgoing))
        out, self.out = self.out, []
        return [(worker, msgspec.msgpack.encode(outgoing)) for worker, outgoing in out]

    def carry_out(self, worker: int, command: messages.Command) -> messages.AnyReply | str:
        self.numbers[worker] += 1
        number = self.numbers[worker]
        match command:
            case messages.CreateRoom():
                self.rooms.add((worker, number))
                return messages.RoomReply(room=number)
            case messages.RemoveRoom(room=room):
                if (worker, room) not in self.rooms:
                    return "unknown_room"
                self.rooms.remove((worker, room))
                for peer in [peer for (at, peer), state in self.peers.items() if (at, state.room) == (worker, room)]:
                    self.remove_peer(worker, peer)
            case messages.CreatePeer(room=room, participant=participant):
                state = messages.PeerState(
                    peer=number, room=room, participant=participant, state="connecting", playing=[]
                )
                self.peers[worker, number] = state
                return messages.PeerReply(peer=number, local=LOCAL)
            case (
                messages.Connect(peer=peer)
                | messages.RestartIce(peer=peer)
                | messages.Publish(peer=peer)
                | messages.HoldData(peer=peer)
                | messages.OpenData(peer=peer)
            ) if (worker, peer) not in self.peers:
                return "unknown_peer"
            case messages.RestartIce(peer=peer):
                return messages.PeerReply(peer=peer, local=self.restarted)
            case messages.RemovePeer(peer=peer):
                if (worker, peer) not in self.peers:
                    return "unknown_peer"
                self.remove_peer(worker, peer)
            case messages.Publish(peer=peer, mid=mid):
                if (worker, peer, mid) in self.published:
                    return "mid_in_use"
                self.published[worker, peer, mid] = number
                self.tracks[worker, number] = peer
                return messages.TrackReply(track=number)
            case messages.Unpublish(track=track):
                if self.tracks.pop((worker, track), None) is None:
                    return "unknown_track"
                self.published = {
                    key: each for key, each in self.published.items() if (key[0], each) != (worker, track)
                }
                self.edges = {edge for edge in self.edges if edge[:2] != (worker, track)}
            case messages.RelayOut(track=track):
                if (worker, track) not in self.tracks:
                    return "unknown_track"
                room = self.peers[worker, self.tracks[worker, track]].room
                self.peers[worker, number] = messages.PeerState(
                    peer=number, room=room, participant=0, state="connecting", playing=[], relay=1
                )
                return messages.RelayReply(peer=number, description=DESCRIPTION)
            case messages.RelayIn(room=room, participant=participant):
                self.peers[worker, number] = messages.PeerState(
                    peer=number, room=room, participant=participant, state="connecting", playing=[], relay=1
                )
                self.numbers[worker] += 1  # a peer and its track have no number in common
                self.tracks[worker, number + 1] = number
                return messages.RelayedReply(peer=number, track=number + 1)
            case messages.Subscribe(track=track) if track in self.refuse_tracks:
                return self.refuse_tracks[track]
            case messages.Subscribe(peer=peer, track=track) | messages.LimitLayer(subscriber=peer, track=track) if (
                self.are_apart(worker, peer, self.tracks.get((worker, track)))
            ):
                return "other_room"
            case messages.Allow(track=track, subscriber=subscriber):
                if (worker, subscriber) not in self.peers:
                    return "unknown_peer"
                if (worker, track) not in self.tracks:
                    return "unknown_track"
                if self.are_apart(worker, subscriber, self.tracks[worker, track]):
                    return "other_room"
                self.edges.add((worker, track, subscriber))
            case messages.Revoke(track=track, subscriber=subscriber):
                self.edges.discard((worker, track, subscriber))
            case messages.AllowData(publisher=publisher, subscriber=subscriber):
                if not {(worker, publisher), (worker, subscriber)} <= self.peers.keys():
                    return "unknown_peer"
                if self.are_apart(worker, publisher, subscriber):
                    return "other_room"
                self.data_edges.add((worker, publisher, subscriber))
            case messages.RevokeData(publisher=publisher, subscriber=subscriber):
                self.data_edges.discard((worker, publisher, subscriber))
            case messages.OpenData(peer=peer, label=label):
                if (worker, peer, label) in self.channels:
                    return "channel_in_use"
                self.channels.add((worker, peer, label))
            case messages.SendData(peer=peer, publisher=publisher, label=label):
                if publisher is not None and (worker, publisher) not in self.peers:
                    return "unknown_peer"
                if publisher is not None and (worker, publisher, peer) not in self.data_edges:
                    return "not_allowed"
                if (worker, peer, label) not in self.channels:
                    return "unknown_peer" if (worker, peer) not in self.peers else "unknown_channel"
                self.said.append(command)
            case messages.Mute(track=track) if (worker, track) not in self.tracks:
                return "unknown_track"
            case messages.Stats():
                return messages.StatsReply(stats=messages.EngineFigures(rooms=len(self.rooms)))
            case messages.Snapshot():
                rooms = [room for at, room in self.rooms - self.failed_rooms if at == worker]
                peers = [state for (at, _), state in self.peers.items() if at == worker]
                data = [messages.DataState(publisher=edge[1], subscriber=edge[2]) for edge in self.data_edges]
                version = self.snapshot_versions.pop(0) if self.snapshot_versions else self.version
                state = messages.State(
                    version=version, rooms=rooms, peers=peers, tracks=[], rosters=self.rosters(worker), data=data
                )
                return messages.SnapshotReply(snapshot=state)
        return messages.DoneReply()

    def are_apart(self, worker: int, one: int, other: int | None) -> bool:
        """Whether two peers that are there are in different rooms."""
        states = [self.peers[worker, peer] for peer in (one, other) if peer and (worker, peer) in self.peers]
        return len({state.room for state in states}) == 2

    def rosters(self, worker: int) -> list[messages.RosterState]:
        rosters: dict[int, set[int]] = {}
        for at, _, subscriber in self.edges | self.data_edges:
            if at == worker:
                peer = self.peers[worker, subscriber]
                rosters.setdefault(peer.room, set()).add(peer.participant)
        return [messages.RosterState(room=room, listeners=sorted(who)) for room, who in rosters.items()]

    def remove_peer(self, worker: int, peer: int) -> None:
        del self.peers[worker, peer]
        self.channels = {channel for channel in self.channels if channel[:2] != (worker, peer)}
        gone = [key for key, publisher in self.tracks.items() if key[0] == worker and publisher == peer]
        for key in gone:
            del self.tracks[key]
        self.data_edges = {edge for edge in self.data_edges if edge[0] != worker or peer not in edge[1:]}
        theirs = {edge for edge in self.edges if (edge[0], edge[2]) == (worker, peer)}
        self.edges = {edge for edge in self.edges - theirs if edge[:2] in self.tracks}

    def tell(self, event: messages.AnyEvent | messages.WorkerFailed | messages.Warned, *, worker: int = 0) -> None:
        self.out.append((worker, self.outgoing(event)))
        os.eventfd_write(self.event_fd, 1)

    def outgoing(self, event: messages.AnyEvent | messages.WorkerFailed | messages.Warned) -> messages.Outgoing:
        if isinstance(event, messages.WorkerFailed | messages.Warned):
            return event
        if isinstance(event, messages.Resync):
            self.version = max(self.version, event.version)
        elif not isinstance(event, messages.Speakers | messages.LayerChanged):
            self.version += 1
        return messages.Event(version=self.version, event=event)

    def release(self) -> None:
        self.held = False
        os.eventfd_write(self.event_fd, 1)

    def counters(self) -> bytes:
        figures = {name: 0 for name in messages.Counters.__struct_fields__ if name != "forward_s"}
        zero = messages.Counters(**figures)
        return msgspec.msgpack.encode([zero, zero])

    def close(self) -> list[int]:
        os.close(self.event_fd)
        return self.hangs


async def settle() -> None:
    """Lets everything happen that waits for nothing but its turn: the stand-in answers as soon as the loop looks."""
    for _ in range(20):
        await asyncio.sleep(0)


_HEADER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {mids}
"""
_TRANSPORT = """c=IN IP4 0.0.0.0
a=ice-ufrag:remo
a=ice-pwd:remote-password-22-characters
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=rtcp-mux
"""
_AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\n{transport}a=mid:{mid}\na={direction}\na=rtpmap:111 opus/48000/2\n"
_VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\n{transport}a=mid:{mid}\na={direction}\na=rtpmap:96 VP8/90000\n"
_DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n{transport}a=mid:{mid}\na=sctp-port:5000\n"
_SECTIONS = {"audio": _AUDIO, "video": _VIDEO, "data": _DATA}


def offer(*sections: tuple[str, str]) -> str:
    """Makes an offer with sections of a kind, `audio`, `video` or `data`, and a direction."""
    transport = _TRANSPORT.format(fingerprint=":".join(["AB"] * 32))
    text = _HEADER.format(mids=" ".join(str(mid) for mid in range(len(sections))))
    for mid, (kind, direction) in enumerate(sections):
        text += _SECTIONS[kind].format(transport=transport, mid=mid, direction=direction)
    return text.replace("\n", "\r\n")


SENDS_BOTH = offer(("audio", "sendonly"), ("video", "sendonly"))
TAKES_BOTH = offer(("audio", "recvonly"), ("video", "recvonly"))
