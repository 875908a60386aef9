"""The demo with a key and ports that are given, so that it can be started anew. SIGUSR1 breaks its rooms."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator

from signalling import config, logs, server
from signalling.config import Settings
from signalling.demo import PAGE_PREFIX, Demo, routes
from signalling.media import MediaEngine
from signalling.media_events import MediaEvent, RoomGone
from signalling.pysfu_engine import PysfuEngine


class Breaking(PysfuEngine):
    """The real engine, whose rooms end when told to, as a fault of its own ends them."""

    async def events(self) -> AsyncIterator[MediaEvent]:
        happened: asyncio.Queue[MediaEvent] = asyncio.Queue()

        async def follow() -> None:
            async for event in super(Breaking, self).events():
                await happened.put(event)

        async def break_rooms() -> None:
            for room in self._sfu.rooms:
                await room.close()
                await happened.put(RoomGone(media_room=room.id))

        tasks = [asyncio.create_task(follow())]
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.append(asyncio.create_task(break_rooms())))
        while True:
            yield await happened.get()


def engine(settings: Settings) -> MediaEngine:
    media = settings.media
    return Breaking(
        host=str(media.host), port=media.port, workers=1, announced_addresses=[*map(str, media.announced_addresses)]
    )


def main(key: str, port: str, media_port: str) -> None:
    logs.configure(level="info")
    values = {
        "http": {"port": int(port)},
        "media": {"port": int(media_port)},
        "admin": {"bearer": key},
        "tokens": {"keys": {"demo": "k" * 32}},
    }
    extension = server.Extension(routers=(routes(Demo(key=key)),), page_prefix=PAGE_PREFIX)
    with tempfile.TemporaryDirectory() as folder:
        settings = config.build(values | {"store": {"path": f"{folder}/pysfu.db"}})
        asyncio.run(server.serve(settings, engine, extension, on_start=lambda _: print("started", flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
