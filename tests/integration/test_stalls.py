"""Sound one way and a black picture are told to both ends, and shown, while the connection itself is well."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import av
import httpx
from aiortc import MediaStreamTrack
from callers import HANG_S, Caller, Meeting
from footage import Camera, Tone
from prometheus_client.parser import text_string_to_metric_families
from servers import Server

NOTICED_WITHIN_S = 3.0
SLACK_S = 1.0  # A machine at full load is slow; that nothing is decided later is what unit tests hold.


class Covered(Camera):
    """A camera that can stop to give pictures without ending."""

    def __init__(self, camera: int) -> None:
        super().__init__(camera)
        self.gives = asyncio.Event()
        self.gives.set()

    async def recv(self) -> av.VideoFrame:
        await self.gives.wait()
        return await super().recv()


class Unplugged(MediaStreamTrack):
    """A microphone that never gives anything."""

    kind = "audio"

    async def recv(self) -> av.AudioFrame:
        await asyncio.Event().wait()
        raise AssertionError


class Ears:
    """Hears what is told of one connection."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def stalled(self) -> dict[str, str]:
        """Waits for what is told next, and returns what does not flow."""
        async with asyncio.timeout(HANG_S):
            async for line in self._lines:
                if line.startswith("data: "):
                    told: dict[str, dict[str, str]] = json.loads(line.removeprefix("data: "))
                    return told["stalled"]
        raise AssertionError("the connection has ended")


@contextlib.asynccontextmanager
async def hearing(room: Meeting, location: str, participant: str) -> AsyncIterator[Ears]:
    bearer = {"Authorization": f"Bearer {await room.token(participant)}"}
    events = room.http.stream("GET", f"{location}/events?events=media", headers=bearer, timeout=HANG_S)
    async with events as answer:
        assert answer.status_code == 200
        yield Ears(answer)


def standing(server: Server) -> dict[tuple[str, str], float]:
    """Returns what the server shows as not flowing now."""
    families = text_string_to_metric_families(httpx.get(f"{server.base_url}/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == "sfu_media_stalled"]
    return {(sample.labels["kind"], sample.labels["cause"]): sample.value for sample in samples if sample.value}


async def test_a_camera_that_stops_while_its_connection_lives_is_told_to_both_ends(
    room: Meeting, server: Server
) -> None:
    camera = Covered(6)
    async with Caller() as publisher, Caller() as viewer, contextlib.AsyncExitStack() as stack:
        published = await room.publish(publisher.send(camera, Tone(440)), "anna")
        await publisher.connected()
        played = await room.play(viewer.take("video", "audio"), "anna", "bela")
        await viewer.watched(20)
        ends = [
            await stack.enter_async_context(hearing(room, published, "anna")),
            await stack.enter_async_context(hearing(room, played, "bela")),
        ]
        before = standing(server)
        camera.gives.clear()
        began = asyncio.get_running_loop().time()
        for told in await asyncio.gather(*(end.stalled() for end in ends)):
            assert told == {"video": "nothing_arrives"}
        took = asyncio.get_running_loop().time() - began
        assert took < NOTICED_WITHIN_S + SLACK_S
        shown = standing(server)[("video", "nothing_arrives")]
        assert shown == before.get(("video", "nothing_arrives"), 0) + 1
        assert abs(await viewer.heard() - 440) <= 2, "its sound goes on"

        camera.gives.set()
        for told in await asyncio.gather(*(end.stalled() for end in ends)):
            assert told == {}
        await viewer.more(5)
        assert standing(server) == before


async def test_sound_that_comes_only_from_one_of_two_is_told_to_both_ends_of_the_other(
    room: Meeting, server: Server
) -> None:
    sends = {"anna": [Camera(1), Tone(440)], "bela": [Camera(2), Unplugged()]}
    async with contextlib.AsyncExitStack() as stack:
        ends: dict[str, list[Ears]] = {"anna": [], "bela": []}
        for name, tracks in sends.items():
            publisher = await stack.enter_async_context(Caller())
            published = await room.publish(publisher.send(*tracks), name)
            ends[name].append(await stack.enter_async_context(hearing(room, published, name)))
            await publisher.connected()
        viewers = {}
        for name, other in (("anna", "bela"), ("bela", "anna")):
            viewers[name] = await stack.enter_async_context(Caller())
            played = await room.play(viewers[name].take("video", "audio"), name, other)
            ends[name].append(await stack.enter_async_context(hearing(room, played, other)))
        for end in ends["bela"]:
            assert await end.stalled() == {"audio": "nothing_arrives"}
        assert abs(await viewers["anna"].heard() - 440) <= 2
        await viewers["bela"].watched(10)
        # What flows is told to nobody: when all that was told is read, there is nothing of the other.
        for end in ends["anna"]:
            told = asyncio.ensure_future(end.stalled())
            await viewers["anna"].more(10)
            assert not told.done()
            told.cancel()
        assert ("audio", "nothing_arrives") in standing(server)
        assert not any(cause in ("paused", "not_forwarded") for _, cause in standing(server))
