"""Prometheus metrics, with `engine_metrics.py` all of them; no label can say who or where somebody is."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from signalling.domain.flow import Cause, Observed
from signalling.domain.heartbeat import WorkerFault
from signalling.engine_metrics import EngineCollector
from signalling.figures import MediaWarning
from signalling.media import MediaEngine, MediaError
from signalling.media_events import (
    EngineNotStarted,
    EngineRestarted,
    MediaEvent,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    Resynced,
    RoomGone,
)

RENDER_TIMEOUT_S = 3.0  # The engine bounds itself at a second; collectors give up after ten.
_HTTP_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZE_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)  # Most meetings of a hospital are of two to four.
_REMOVAL_BUCKETS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5)
_GAP_BUCKETS = (2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)  # What is shorter than 1.4 s is no stall (`domain/flow.py`).
_KINDS = ("audio", "video")
_LAG_BUCKETS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """What `/metrics` shows."""

    def __init__(self, engine: MediaEngine, *, version: str) -> None:
        # Each counter and histogram would have one more series, which says since when: Prometheus makes nothing of it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._engine = engine
        self._engine_figures = EngineCollector()
        self.registry = CollectorRegistry()
        self.registry.register(self._engine_figures)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Gauge("sfu_build_info", "Which build this is", ["version", "python"], registry=self.registry)
        build.labels(version, platform.python_version()).set(1)
        self._state = Gauge("sfu_node_state", "1 for the present state", ["state"], registry=self.registry)
        started = Gauge("sfu_start_time_seconds", "When this process began to serve", registry=self.registry)
        started.set(time.time())
        self._show_rooms()
        self._show_engine()
        self._show_transports()
        self._show_flow()
        self._show_requests()
        self._begin_at_nothing()
        self.on_state("starting")

    def _show_rooms(self) -> None:
        self.participants = Gauge("sfu_participants", "People in rooms now", registry=self.registry)
        self.tracks = Gauge(
            "sfu_tracks",
            "Tracks that are published, and how often each is played, now",
            ["kind", "dir"],
            registry=self.registry,
        )
        self.rooms_quarantined = Gauge(
            "sfu_rooms_quarantined", "Rooms that rest after repeated failures now", registry=self.registry
        )
        self.rooms_waiting = Gauge(
            "sfu_rooms_waiting", "Rooms that lost their media and wait for other media now", registry=self.registry
        )
        self.event_streams = Gauge(
            "sfu_event_streams", "Those who wait to hear of the end of their connection now", registry=self.registry
        )
        self.signal_connections = Gauge(
            "sfu_signal_connections", "WebSockets of clients that are in meetings now", registry=self.registry
        )
        self.room_participants = Histogram(
            "sfu_room_participants", "People in a room after each join", registry=self.registry, buckets=_SIZE_BUCKETS
        )
        self._moves = Counter(
            "sfu_room_moves", "Rooms that got other media", ["reason", "outcome"], registry=self.registry
        )
        self.removals = Counter("sfu_removals", "Participants removed by an administrator", registry=self.registry)
        self.removal_duration = Histogram(
            "sfu_removal_duration_seconds",
            "From the request to remove somebody to when nothing flows to or from them any more",
            registry=self.registry,
            buckets=_REMOVAL_BUCKETS,
        )

    def _show_engine(self) -> None:
        self._restarts = Counter(
            "sfu_engine_restarts", "Times the media process was started anew", registry=self.registry
        )
        self._failed_starts = Counter(
            "sfu_engine_failed_starts", "Times the media process could not be started", registry=self.registry
        )
        self._workers = Gauge("sfu_worker_up", "1 while a media worker goes round", ["shard"], registry=self.registry)
        self._warnings = Counter(
            "sfu_warnings", "What works, but not as well as it could", ["code"], registry=self.registry
        )

    def _show_transports(self) -> None:
        self._reconnects = Counter(
            "sfu_reconnects", "Transports that came back, or restarted ICE", ["kind"], registry=self.registry
        )
        self._joins = Counter(
            "sfu_joins", "Requests to publish, to play, or to join", ["outcome"], registry=self.registry
        )
        self._ended = Counter(
            "sfu_transport_ends",
            "Transports that ended without being asked to",
            ["reason"],
            registry=self.registry,
        )
        self._profiles = Counter(
            "sfu_srtp_profile_sessions",
            "Transports by encryption",
            ["profile", "dtls"],
            registry=self.registry,
        )

    def _show_flow(self) -> None:
        self._stalled = Gauge(
            "sfu_media_stalled",
            "Tracks of which nothing arrives, and subscriptions to which nothing goes, now",
            ["kind", "cause"],
            registry=self.registry,
        )
        self._stalls = Counter(
            "sfu_media_stalls", "Times one of these has begun", ["kind", "cause"], registry=self.registry
        )
        self._interruptions = Histogram(
            "sfu_media_interruption_seconds",
            "How long one of these lasted, when it is over",
            ["cause"],
            registry=self.registry,
            buckets=_GAP_BUCKETS,
        )

    def _show_requests(self) -> None:
        self._auths = Counter(
            "sfu_auth_attempts", "Tokens and bearers that were shown", ["method", "outcome"], registry=self.registry
        )
        self._requests = Counter("sfu_http_requests", "Requests", ["route", "method", "code"], registry=self.registry)
        self._durations = Histogram(
            "sfu_http_request_duration_seconds",
            "Time to answer",
            ["route"],
            registry=self.registry,
            buckets=_HTTP_BUCKETS,
        )
        self._webhooks = Counter(
            "sfu_webhooks",
            "Webhooks that were taken, were dropped, or failed once and are tried again",
            ["outcome"],
            registry=self.registry,
        )
        self.webhooks_waiting = Gauge(
            "sfu_webhooks_waiting", "Webhooks that wait for their first try now", registry=self.registry
        )
        self.event_loop_lag = Histogram(
            "sfu_event_loop_lag_seconds",
            "Delay of the event loop",
            registry=self.registry,
            buckets=_LAG_BUCKETS,
        )
        self.certificate_expiry = Gauge(
            "sfu_certificate_expiry_timestamp_seconds",
            "When a certificate ends",
            ["usage"],
            registry=self.registry,
        )

    def _begin_at_nothing(self) -> None:
        """Shows what has not happened: of a series that begins with its first count, that is not seen to rise."""
        for cause in Cause:
            self._interruptions.labels(cause.value)
            for kind in _KINDS:
                self._stalls.labels(kind, cause.value)
                self._stalled.labels(kind, cause.value)
        for outcome in ("ok", "denied", "error"):
            self._joins.labels(outcome)
        for method in ("token", "admin", "metrics"):
            for outcome in ("ok", "denied"):
                self._auths.labels(method, outcome)
        for outcome in ("ok", "retried"):
            self._moves.labels("failure", outcome)
        for outcome in ("ok", "retried", "dropped"):
            self._webhooks.labels(outcome)

    async def render(self) -> bytes:
        """Asks the engine and writes everything in Prometheus' text format."""
        try:
            async with asyncio.timeout(RENDER_TIMEOUT_S):
                self._engine_figures.show(await self._engine.figures())
        except (MediaError, TimeoutError):
            self._engine_figures.up = False
        return generate_latest(self.registry)

    def on_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(route, method, f"{status // 100}xx").inc()
        self._durations.labels(route).observe(seconds)

    def on_join(self, outcome: str) -> None:
        """Counts an attempt to publish or play: `ok`, `denied` or `error`."""
        self._joins.labels(outcome).inc()

    def on_answer(self, seconds: float) -> None:
        """Counts how long it took to answer somebody who was let in."""
        self._engine_figures.observe_answer(seconds)

    def on_auth(self, method: str, *, is_ok: bool) -> None:
        """Counts a token, or the bearer of an administrator or of who reads metrics, that was shown."""
        self._auths.labels(method, "ok" if is_ok else "denied").inc()

    def on_webhook(self, outcome: str) -> None:
        """Counts what became of a webhook, or of a try: `ok`, `retried` or `dropped`."""
        self._webhooks.labels(outcome).inc()

    def on_move(self, outcome: str) -> None:
        """Counts a room that has other media after a fault, `ok`, or is tried again, `retried`."""
        self._moves.labels("failure", outcome).inc()

    def on_look(self, observed: Observed) -> None:
        """Counts what does not flow, or flows again."""
        for stall in observed.stalls:
            if stall.lasted is None:
                self._stalls.labels(stall.kind, stall.cause.value).inc()
            else:
                self._interruptions.labels(stall.cause.value).observe(stall.lasted.total_seconds())
        for cause in Cause:
            for kind in _KINDS:
                self._stalled.labels(kind, cause.value).set(observed.standing.get((kind, cause), 0))

    def on_event(self, event: MediaEvent) -> None:
        """Counts what the engine told."""
        match event:
            case PeerConnected():
                self._profiles.labels(event.srtp_profile, event.dtls_version).inc()
            case PeerReconnected():
                self.on_reconnect("resume")
            case MediaWarning():
                self.on_warning(event)
            case PeerGone():
                self._ended.labels(event.reason).inc()
            case Resynced():
                self._ended.labels("lost").inc()
            case RoomGone():
                self._ended.labels("room").inc()
            case EngineRestarted():
                self._restarts.inc()
            case EngineNotStarted():
                self._failed_starts.inc()

    def on_reconnect(self, kind: str) -> None:
        """Counts a transport that came back: `resume`, or `ice_restart` when asked for."""
        self._reconnects.labels(kind).inc()

    def on_warning(self, warning: MediaWarning) -> None:
        """Counts what is amiss."""
        self._warnings.labels(warning.code).inc()

    def on_workers(self, count: int, faults: Mapping[int, WorkerFault]) -> None:
        """Notes which workers go round."""
        for worker in range(count):
            self._workers.labels(str(worker)).set(0 if worker in faults else 1)

    def on_state(self, state: str) -> None:
        """Notes the state of the node: starting, serving, draining or stopping."""
        for name in ("starting", "serving", "draining", "stopping"):
            self._state.labels(name).set(1 if name == state else 0)
