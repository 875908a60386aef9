"""The composition root: builds every part, runs them in one task group, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import APIRouter

from signalling.certificate import CertificateError, LiveCertificate, follow
from signalling.clocks import steady
from signalling.config import ConfigError, Settings
from signalling.domain.heartbeat import LOOK_EVERY, Heartbeat
from signalling.domain.notices import Notice, Reason
from signalling.figures import MediaWarning, WorkerFailed
from signalling.http.app import build, own_version
from signalling.http.parts import Parts, State
from signalling.keeping import kept
from signalling.listening import bind, check_media_ports
from signalling.media import EngineLateError, EngineStartError, MediaEngine, MediaError, ReplacedError
from signalling.media_events import (
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    MediaEvent,
    PeerSaid,
    PictureChosen,
    Speaking,
)
from signalling.meetings.administering import Administering
from signalling.meetings.edge import LiveMeetings
from signalling.metrics import Metrics
from signalling.pysfu_engine import ProcessSettings, PysfuEngine
from signalling.rooms import Rooms
from signalling.serving import Uvicorn, configured, signals
from signalling.store.base import RoomStore
from signalling.tokens import Tokens
from signalling.webhooks.telling import Webhooks, webhooks_of

log = structlog.get_logger(__name__)

CLOSE_LIMIT_S = 2.0  # Rooms end within milliseconds, or a worker hangs.
BEAT_INTERVAL_S = LOOK_EVERY.total_seconds()
LAG_INTERVAL_S = 0.5  # Often enough to catch a stall of a tenth of a second now and then, at no cost.


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Where the server can be reached."""

    listen: str
    media: tuple[str, ...]

    def __str__(self) -> str:
        return f"Listening on TCP {self.listen}; clients are told to send media to UDP {', '.join(self.media)}."


class WorkerHungError(Exception):
    """The server stopped, but a media worker did not: it hung. The message is one clear line."""


EngineFactory = Callable[[Settings], MediaEngine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Routes and pages that are added to the server, such as the demo's."""

    routers: tuple[APIRouter, ...] = ()
    page_prefix: str | None = None


def pysfu_engine(settings: Settings) -> MediaEngine:
    """Makes the real engine."""
    media = settings.media
    return PysfuEngine(
        host=str(media.host),
        port=media.port,
        workers=media.workers,
        room_spread_over=media.room_spread_over,
        pin_workers=media.pin_workers,
        announced_addresses=[str(address) for address in media.announced_addresses],
        max_dtls_version=media.max_dtls_version,
        aead_only=media.aead_only,
        process=ProcessSettings(
            control_socket=media.control_socket,
            spawn=media.process == "own",
            orphan_limit=timedelta(seconds=media.orphan_limit_s),
            user=media.user,
        )
        if media.process != "inside"
        else None,
    )


def tls(settings: Settings) -> LiveCertificate | None:
    """Loads the certificate, if there is one.

    Raises:
        ConfigError: it cannot be used.
    """
    if settings.http.certificate is None or settings.http.key is None:
        return None
    try:
        return LiveCertificate(settings.http.certificate, settings.http.key)
    except CertificateError as error:
        raise ConfigError([f"http.certificate: {error}"]) from error


def tokens(settings: Settings) -> Tokens:
    """Makes the signer of tokens; without a configured key, with one that lives as long as this process."""
    keys = {issuer: secret.get_secret_value().encode() for issuer, secret in settings.tokens.keys.items()}
    if not keys:
        log.warning("no key configured: tokens end with this process", component="tokens")
        keys = {"process": secrets.token_bytes(32)}
    return Tokens(keys, max_life=timedelta(seconds=settings.tokens.max_life_s))


async def serve(
    settings: Settings,
    make_engine: EngineFactory,
    extension: Extension | None = None,
    *,
    on_start: Callable[[Started], object] = lambda _: None,
) -> None:
    """Runs the server until SIGTERM, SIGINT or the end of a drain.

    Raises:
        ConfigError: it cannot start with these settings.
        WorkerHungError: it stopped, but not all of it in order.
    """
    extension = extension or Extension()
    certificate = tls(settings)
    with contextlib.closing(bind(settings)) as listening:
        async with kept(settings) as store, _started(make_engine(settings), settings) as engine:
            parts, meetings, webhooks = _parts(settings, engine, store)
            app = build(parts, more=extension.routers, page_prefix=extension.page_prefix)
            http = Uvicorn(configured(settings, app, certificate))
            async with webhooks.running():
                try:
                    await _run(parts, meetings, store, engine, http, listening, certificate, on_start)
                finally:
                    parts.rooms.give_up()
    for worker in engine.left_behind:
        log.error("media worker hangs: the process ends without it", worker=worker)
    if engine.left_behind:
        workers = ", ".join(map(str, engine.left_behind))
        raise WorkerHungError(f"stopped, although media worker {workers} hung; please report it")
    log.info("server stopped")


@contextlib.asynccontextmanager
async def _started(engine: MediaEngine, settings: Settings) -> AsyncIterator[MediaEngine]:
    """Starts the engine, and stops it at the end."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            started = await stack.enter_async_context(engine)
        except EngineStartError as error:
            check_media_ports(settings)  # names the setting, where it is that
            raise ConfigError([f"media: {error}"]) from error
        yield started


def _parts(settings: Settings, engine: MediaEngine, store: RoomStore) -> tuple[Parts, LiveMeetings, Webhooks]:
    heartbeat, limits, signer = Heartbeat(), settings.rooms, tokens(settings)
    metrics = Metrics(engine, version=own_version())
    webhooks = webhooks_of(settings.webhooks, signer, on_outcome=metrics.on_webhook)
    metrics.webhooks_waiting.set_function(webhooks.waiting)
    rooms = Rooms(
        engine,
        store,
        max_rooms=limits.max_rooms,
        max_participants=limits.max_participants,
        hanging=lambda: heartbeat.faults,
        tell=webhooks.tell if settings.webhooks.urls else None,
    )
    meetings = LiveMeetings(rooms, signer, utc=lambda: datetime.now(UTC))
    parts = Parts(
        settings=settings,
        rooms=rooms,
        meetings=meetings,
        administered=Administering(rooms, meetings),
        heartbeat=heartbeat,
        tokens=signer,
        metrics=metrics,
    )
    return parts, meetings, webhooks


async def _run(
    parts: Parts,
    meetings: LiveMeetings,
    store: RoomStore,
    engine: MediaEngine,
    http: Uvicorn,
    listening: socket.socket,
    certificate: LiveCertificate | None,
    on_start: Callable[[Started], object],
) -> None:
    """Runs all tasks. When any of them ends or fails, all stop, in order."""
    taken_up = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(_follow_events(parts, meetings, engine, taken_up), name="events"),
            tasks.create_task(_measure_lag(parts.metrics), name="lag"),
            tasks.create_task(_follow_beats(parts, engine), name="beats"),
            tasks.create_task(parts.rooms.flowing.follow(parts.metrics.on_look), name="flows"),
            tasks.create_task(parts.rooms.linking.follow(), name="links"),
        ]
        await asyncio.sleep(0)  # From here on nothing that happens is missed.
        # Only now that no other server has the engine, which might make rooms still; and before anyone asks for one.
        taking_up = parts.rooms.resume(await store.load())
        meetings.take_up()
        background.append(tasks.create_task(meetings.follow_time(), name="meetings"))
        tasks.create_task(_follow(taking_up), name="resume")
        taken_up.set()
        stop, reread = asyncio.Event(), asyncio.Event()
        if certificate is not None:
            expiry = parts.metrics.certificate_expiry.labels("http")
            following = follow(certificate, asked=reread, on_expiry=lambda at: expiry.set(at.timestamp()))
            background.append(tasks.create_task(following, name="certificate"))
        with signals(stop, reread, http):
            listening.listen()  # before anyone is told where
            serving = tasks.create_task(http.serve([listening]), name="http")
            parts.enter(State.SERVING)
            for warning in engine.warnings:
                _report(parts, warning)
            started = Started(listen=_endpoint(parts.settings), media=tuple(engine.addresses))
            log.info("server started", listen=started.listen, media=started.media)
            on_start(started)
            leaves = await _wait_for_end(parts, engine, stop, [serving, *background])
            parts.rooms.drain()
            parts.enter(State.STOPPING)
            # Before the requests are waited for: those who wait to hear of this would hold them up.
            ending = Notice(reason=Reason.STOPPING, welcome=parts.settings.shutdown.reconnect)
            parts.rooms.tell_all(None if leaves else ending)
            http.should_exit = True
            await serving
            closing = asyncio.ensure_future(_leave(parts) if leaves else parts.rooms.close_all())
            await asyncio.wait([closing], timeout=CLOSE_LIMIT_S)
            for task in background:
                task.cancel()
            await _stop_engine(engine, closing)


async def _leave(parts: Parts) -> None:
    """Ends no room: the next server takes them up."""
    log.info("rooms go on without this server", count=parts.rooms.census.rooms())


async def _stop_engine(engine: MediaEngine, closing: asyncio.Future[None]) -> None:
    """Stops the engine. Whoever waits for a worker that hangs is told by that, the end of the rooms too."""
    if not closing.done():
        log.error("rooms do not end: the engine is stopped without them")
    await engine.__aexit__(None, None, None)
    try:
        await closing
    except MediaError as error:
        log.warning("rooms ended with the engine", error=type(error).__name__)


def _endpoint(settings: Settings) -> str:
    host = settings.http.host
    return f"[{host}]:{settings.http.port}" if host.version == 6 else f"{host}:{settings.http.port}"


async def _wait_for_end(
    parts: Parts, engine: MediaEngine, stop: asyncio.Event, parts_of_us: list[asyncio.Task[None]]
) -> bool:
    """Returns when a drain is over, or a part has ended that never should.

    A signal begins a drain or cuts it short, unless the calls need not end: then this returns that they are left. So
    does this at once when they are another server's.
    """
    over = asyncio.ensure_future(parts.draining.over())
    replaced = asyncio.ensure_future(parts.rooms.control.lost.wait())
    signalled = asyncio.ensure_future(stop.wait())
    ends = [over, replaced, *parts_of_us]
    try:
        await asyncio.wait([signalled, *ends], return_when=asyncio.FIRST_COMPLETED)
        if signalled.done() and not any(end.done() for end in ends):
            if engine.goes_on:
                return True
            stop.clear()
            parts.draining.begin(timedelta(seconds=parts.settings.shutdown.drain_s), final=True)
            signalled = asyncio.ensure_future(stop.wait())
            await asyncio.wait([signalled, *ends], return_when=asyncio.FIRST_COMPLETED)
        return replaced.done()
    finally:
        for waiting in (over, replaced, signalled):
            waiting.cancel()


async def _follow_events(parts: Parts, meetings: LiveMeetings, engine: MediaEngine, taken_up: asyncio.Event) -> None:
    # What one event asks of a worker that hangs is never done: the next event is not kept waiting for that.
    async with asyncio.TaskGroup() as following:
        async for event in engine.events():
            await taken_up.wait()  # What ends a connection that nobody knows of yet would never be heard of again.
            _report(parts, event)
            meetings.on_event(event)
            if isinstance(event, PeerSaid | Speaking | PictureChosen):
                continue  # There may be thousands, and nothing ends by them.
            following.create_task(_follow(parts.rooms.on_event(event)), name="event")


async def _follow(ending: Awaitable[None]) -> None:
    try:
        await ending
    except ReplacedError:
        log.info("event not followed: its call is another server's", component="media")
    except EngineLateError:
        log.warning("media worker does not answer: what ends goes on ending", component="media")
    except MediaError as error:
        log.exception("event not followed", exc_info=error)


def _report(parts: Parts, event: MediaEvent) -> None:
    """Counts an event, and tells the operator of what concerns the whole engine."""
    parts.metrics.on_event(event)
    match event:
        case MediaWarning():
            log.warning("media engine", code=event.code, worker=event.worker, remedy=event.remedy, **event.figures)
        case WorkerFailed():
            log.error(
                "media worker failed: its rooms move; it is back once no other one carries calls", worker=event.worker
            )
        case EngineTakenOver():
            log.critical("another server has taken control of the media process: this one can do nothing and stops")
        case EngineLost():
            log.error("media process lost: started anew", reason=event.reason, seconds=event.pause.total_seconds())
        case EngineNotStarted():
            seconds = event.pause.total_seconds()
            log.error("media process does not start: tried again", reason=event.reason, seconds=seconds)
        case EngineRestarted():
            parts.heartbeat.begin_anew()
            log.error(
                "media process started anew: all rooms get other media",
                count=parts.rooms.census.rooms(),
                reason=event.cause,
            )


async def _follow_beats(parts: Parts, engine: MediaEngine) -> None:
    while True:
        for worker, fault in parts.heartbeat.observe(engine.beats(), now=steady()).items():
            log.error("media worker does not go round", worker=worker, state=fault.value)
        parts.metrics.on_workers(parts.heartbeat.workers, parts.heartbeat.faults)
        await asyncio.sleep(BEAT_INTERVAL_S)


async def _measure_lag(metrics: Metrics) -> None:
    while True:
        began = steady()
        await asyncio.sleep(LAG_INTERVAL_S)
        metrics.event_loop_lag.observe(max(0.0, (steady() - began).total_seconds() - LAG_INTERVAL_S))
