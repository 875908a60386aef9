"""aiortc at the other end of the wire: who publishes, who receives, and what reached the socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import av
import httpx
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCCertificate,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from footage import follows, frequency_of, read, samples_of
from relay import Relay

HANG_S = 60.0  # Only catches hangs: a machine at full load is slow.
SDP = {"Content-Type": "application/sdp"}


async def until(true: Callable[[], bool], what: str) -> None:
    """Waits until something is so."""
    try:
        async with asyncio.timeout(HANG_S):
            while not true():  # noqa: ASYNC110 - aiortc tells no event for most of this
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


class Caller:
    """One end of a call, as an `RTCPeerConnection`."""

    def __init__(
        self,
        look: Callable[[av.VideoFrame], Any] = read,
        *,
        certificate: RTCCertificate | None = None,
        relay: Relay | None = None,
        bundle: RTCBundlePolicy = RTCBundlePolicy.BALANCED,
    ) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(bundlePolicy=bundle))
        if certificate is not None:
            self.connection._RTCPeerConnection__certificates = [certificate]  # there is no other way to set it
        self.pictures: list[Any] = []
        self.waves: list[np.ndarray] = []
        self.messages: list[tuple[str, str | bytes]] = []
        self._look = look
        self._relay = relay
        self._readers: set[asyncio.Task[None]] = set()
        self.connection.on("track", self._on_track)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        for reader in self._readers:
            reader.cancel()  # that of a track of which nothing ever came would wait for ever
        for ended in await asyncio.gather(*self._readers, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    # --- what it sends and takes ---

    def send(self, *tracks: MediaStreamTrack, codec: str | None = None) -> Self:
        """Adds what it sends, the video as one codec only."""
        for track in tracks:
            transceiver = self.connection.addTransceiver(track, direction="sendonly")
            if codec is not None and track.kind == "video":
                known = RTCRtpReceiver.getCapabilities("video").codecs
                transceiver.setCodecPreferences([each for each in known if each.mimeType.endswith("/" + codec)])
        return self

    def take(self, *kinds: str) -> Self:
        """Adds what it receives."""
        for kind in kinds:
            self.connection.addTransceiver(kind, direction="recvonly")
        return self

    async def offer(self) -> str:
        """Makes its offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Takes the answer, and begins to connect: through the relay, where there is one."""
        answer = answer if self._relay is None else self._relay.through(answer)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def answer(self, offer: str, *tracks: MediaStreamTrack) -> str:
        """Answers an offer: sends these tracks in the sections that are there for it, and receives in the others."""
        offer = offer if self._relay is None else self._relay.through(offer)
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        unsent = list(tracks)
        for transceiver in self.connection.getTransceivers():
            if f"a=mid:{transceiver.mid}" in _sections_that_receive(offer):
                track = next(track for track in unsent if track.kind == transceiver.kind)
                unsent.remove(track)
                transceiver.sender.replaceTrack(track)
                transceiver.direction = "sendonly"
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription.sdp

    def renew(self) -> str:
        """Draws other ICE credentials, which aiortc never does, and returns them as a fragment (RFC 8840)."""
        ufrag, password = secrets.token_hex(4), secrets.token_hex(16)
        for ice in _ice(self.connection):
            ice._local_username, ice._local_password = ufrag, password
        return f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"

    async def checked(self, description: str) -> None:
        """Takes other ICE credentials of the other end, which aiortc passes over, and checks the way with them."""
        ufrag, password = (re.search(rf"a=ice-{name}:(\S+)", description)[1] for name in ("ufrag", "pwd"))
        for ice in _ice(self.connection):
            if ice.remote_username in (None, ufrag):
                continue
            ice.remote_username, ice.remote_password = ufrag, password
            for pair in ice._nominated.values():
                request, key = ice.build_request(pair, nominate=True), password.encode()
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key)

    async def connected(self) -> None:
        """Waits until media can flow."""
        await until(lambda: self.connection.connectionState == "connected", "a connection")

    # --- what came ---

    async def watched(self, frames: int) -> list[Any]:
        """Waits until that many pictures were decoded."""
        await until(lambda: len(self.pictures) >= frames, f"{frames} pictures, {len(self.pictures)} came")
        return list(self.pictures)

    async def more(self, pictures: int) -> None:
        """Waits until so many more pictures came."""
        already = len(self.pictures)
        await until(lambda: len(self.pictures) >= already + pictures, "more pictures")

    async def heard(self, seconds: float = 1.0) -> float:
        """Returns the frequency of the latest sound, after the decoder has settled."""
        samples = int(seconds * 48_000)
        already = len(self.waves)
        enough = lambda: sum(map(len, self.waves[already:])) >= samples  # noqa: E731
        await until(enough, "sound")
        return frequency_of(np.concatenate(self.waves[already:])[-samples:])

    def _on_track(self, track: MediaStreamTrack) -> None:
        reader = asyncio.ensure_future(self._read(track))
        self._readers.add(reader)

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.pictures.append(self._look(frame))
                else:
                    self.waves.append(samples_of(frame))


def _sections_that_receive(description: str) -> str:
    return "".join(section for section in description.split("m=") if "a=recvonly" in section)


def gaps(numbers: list[int]) -> list[tuple[int, int]]:
    """Returns where a row of frame numbers is not gap-free."""
    return [(a, b) for a, b in itertools.pairwise(numbers) if not follows(a, b)]


class Wire:
    """The datagrams that reach a caller's sockets, before any of them is decrypted."""

    def __init__(self, caller: Caller) -> None:
        self.rtp = 0
        self._sockets: list[socket.socket] = []
        for ice in _ice(caller.connection):
            for protocol in ice._protocols:
                self._tap(protocol)

    def close(self) -> None:
        """Forgets the sockets."""
        for each in self._sockets:
            each.close()

    def flush(self) -> None:
        """Throws away what the kernel holds already: it was sent before now."""
        for each in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.recv(2_048)

    def _tap(self, protocol: asyncio.DatagramProtocol) -> None:
        own = protocol.transport.get_extra_info("socket")
        self._sockets.append(socket.socket(fileno=os.dup(own.fileno())))
        received = protocol.datagram_received

        def count(data: bytes, address: object) -> None:
            # RFC 7983: 128..191 is RTP or RTCP, and RFC 5761 tells those apart.
            if data and 128 <= data[0] <= 191 and not 192 <= data[1] <= 223:
                self.rtp += 1
            received(data, address)

        protocol.datagram_received = count


def _ice(connection: RTCPeerConnection) -> list[Any]:
    """Returns what of aioice is below, once for each transport."""
    transports = [transceiver.receiver.transport.transport for transceiver in connection.getTransceivers()]
    transports += [connection.sctp.transport.transport] if connection.sctp else []
    return list({id(transport): transport._connection for transport in transports}.values())


class Meeting:
    """A room of a running server, over HTTP."""

    def __init__(self, http: httpx.AsyncClient, room: str, admin: dict[str, str]) -> None:
        self.http = http
        self.room = room
        self._admin = admin

    async def token(self, participant: str | None = None, **rights: bool) -> str:
        """Makes a token."""
        wanted = {"participant": participant, **rights} if participant else rights
        made = await self.http.post(f"/rooms/{self.room}/tokens", headers=self._admin, json=wanted)
        assert made.status_code == 201, made.text
        return made.json()["token"]

    async def roster(self) -> dict[str, list[str]]:
        """Returns who receives from whom."""
        view = (await self.http.get(f"/rooms/{self.room}", headers=self._admin)).json()
        return {seat["participant"]: seat["receives_from"] for seat in view["roster"]}

    async def joined(self, participant: str) -> None:
        """Waits until a program of another process is in."""
        async with asyncio.timeout(HANG_S):
            while participant not in await self.roster():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.1)

    async def publish(self, caller: Caller, participant: str) -> str:
        """Publishes by WHIP and returns the address of the resource."""
        bearer = {"Authorization": f"Bearer {await self.token(participant)}"}
        posted = await self.http.post(f"/whip/{self.room}", headers=SDP | bearer, content=await caller.offer())
        assert posted.status_code == 201, posted.text
        await caller.accept(posted.text)
        return posted.headers["Location"]

    async def play(self, caller: Caller, source: str, participant: str | None = None) -> str:
        """Plays a participant by WHEP and returns the address of the resource."""
        bearer = {"Authorization": f"Bearer {await self.token(participant)}"}
        offer = await caller.offer()
        posted = await self.http.post(f"/whep/{self.room}/{source}", headers=SDP | bearer, content=offer)
        assert posted.status_code == 201, posted.text
        await caller.accept(posted.text)
        return posted.headers["Location"]

    async def remove(self, participant: str) -> None:
        """Removes a participant, as an administrating system does."""
        removed = await self.http.delete(f"/rooms/{self.room}/participants/{participant}", headers=self._admin)
        assert removed.status_code == 204, removed.text

    async def end(self, resource: str) -> None:
        """Ends what somebody opened, as an administrating system does."""
        ended = await self.http.delete(resource, headers=self._admin)
        assert ended.status_code == 200, ended.text

    async def leave(self, resource: str, participant: str) -> None:
        """Ends what `publish` or `play` opened."""
        bearer = {"Authorization": f"Bearer {await self.token(participant)}"}
        ended = await self.http.delete(resource, headers=bearer)
        assert ended.status_code == 200, ended.text


@contextlib.asynccontextmanager
async def meeting(base_url: str, admin_bearer: str, verify: ssl.SSLContext | bool = True) -> AsyncIterator[Meeting]:
    """Makes a room and ends it."""
    admin = {"Authorization": f"Bearer {admin_bearer}"}
    # The server closes what was idle for 5 s: a request over what both give up at the same moment would be lost.
    kept = httpx.Limits(keepalive_expiry=1.0)
    async with httpx.AsyncClient(base_url=base_url, timeout=HANG_S, verify=verify, limits=kept) as http:
        made = await http.post("/rooms", headers=admin, json={})
        assert made.status_code == 201, made.text
        room = made.json()["room"]
        yield Meeting(http, room, admin)
        with contextlib.suppress(httpx.ConnectError):  # the server may have stopped, and the room with it
            await http.delete(f"/rooms/{room}", headers=admin)
