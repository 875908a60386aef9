"""Prometheus metrics. All names and labels are here; no label can say who or where somebody is."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from signalling.media import (
    MediaEngine,
    MediaError,
    MediaEvent,
    MediaFigures,
    PeerConnected,
    PeerGone,
    Resynced,
    RoomGone,
)

FORBIDDEN_LABELS = frozenset(
    {
        "room",
        "identity",
        "participant",
        "name",
        "user",
        "ip",
        "address",
        "phone",
        "track",
        "track_id",
        "session",
    }
)
_HTTP_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LAG_BUCKETS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0)

# Counter of the engine → name, help text and labels of the metric.
_COUNTERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rtp_packets_in": ("sfu_rtp_packets", "Authenticated RTP packets", {"dir": "in"}),
    "rtp_packets_out": ("sfu_rtp_packets", "Authenticated RTP packets", {"dir": "out"}),
    "rtp_bytes_in": ("sfu_rtp_bytes", "Bytes of those packets", {"dir": "in"}),
    "rtp_bytes_out": ("sfu_rtp_bytes", "Bytes of those packets", {"dir": "out"}),
    "rtx_packets_out": ("sfu_rtx_packets", "Packets sent again", {}),
    "nacked_packets_in": ("sfu_rtp_nacked_packets", "Packets asked for again", {"dir": "in"}),
    "nacked_packets_out": ("sfu_rtp_nacked_packets", "Packets asked for again", {"dir": "out"}),
    "keyframe_requests_in": ("sfu_keyframe_requests", "Keyframe requests", {"dir": "in"}),
    "keyframe_requests_out": ("sfu_keyframe_requests", "Keyframe requests", {"dir": "out"}),
    "unauthorized_forwards": (
        "sfu_unauthorized_forward",
        "Packets that should not have passed: must be 0",
        {},
    ),
    "panics": ("sfu_panics", "Rooms ended by a bug of ours", {}),
    "layer_switches": ("sfu_layer_switches", "Switches of encoding", {}),
}


class Metrics:
    """What `/metrics` shows."""

    def __init__(self, engine: MediaEngine, *, version: str) -> None:
        self._engine = engine
        self._engine_figures = _EngineCollector()
        self.registry = CollectorRegistry()
        self.registry.register(self._engine_figures)
        ProcessCollector(registry=self.registry)
        build = Gauge("sfu_build_info", "Which build this is", ["version", "python"], registry=self.registry)
        build.labels(version, platform.python_version()).set(1)
        self._state = Gauge("sfu_node_state", "1 for the present state", ["state"], registry=self.registry)
        self._joins = Counter("sfu_joins", "Requests to publish or play", ["outcome"], registry=self.registry)
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
        self._requests = Counter("sfu_http_requests", "Requests", ["route", "method", "code"], registry=self.registry)
        self._durations = Histogram(
            "sfu_http_request_duration_seconds",
            "Time to answer",
            ["route"],
            registry=self.registry,
            buckets=_HTTP_BUCKETS,
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
        self.on_state("starting")

    async def render(self) -> bytes:
        """Asks the engine and writes everything in Prometheus' text format."""
        try:
            self._engine_figures.figures = await self._engine.figures()
            self._engine_figures.up = True
        except MediaError:
            self._engine_figures.up = False
        return generate_latest(self.registry)

    def on_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(route, method, f"{status // 100}xx").inc()
        self._durations.labels(route).observe(seconds)

    def on_join(self, outcome: str) -> None:
        """Counts an attempt to publish or play: `ok`, `denied` or `error`."""
        self._joins.labels(outcome).inc()

    def on_event(self, event: MediaEvent) -> None:
        """Counts what the engine told."""
        match event:
            case PeerConnected():
                self._profiles.labels(event.srtp_profile, event.dtls_version).inc()
            case PeerGone():
                self._ended.labels(event.reason).inc()
            case Resynced():
                self._ended.labels("lost").inc()
            case RoomGone():
                self._ended.labels("room").inc()

    def on_state(self, state: str) -> None:
        """Notes the state of the node: starting, serving, draining or stopping."""
        for name in ("starting", "serving", "draining", "stopping"):
            self._state.labels(name).set(1 if name == state else 0)


class _EngineCollector(Collector):
    """Shows the figures last fetched from the engine."""

    def __init__(self) -> None:
        self.figures = MediaFigures()
        self.up = False

    def collect(self) -> Iterator[Metric]:
        """Yields one family per name."""
        yield GaugeMetricFamily("sfu_engine_up", "Whether the engine answered", value=1 if self.up else 0)
        figures = self.figures
        yield GaugeMetricFamily("sfu_rooms", "Rooms now", value=figures.rooms)
        yield GaugeMetricFamily("sfu_tracks", "Tracks now", value=figures.tracks)
        yield GaugeMetricFamily("sfu_edges", "Live edges (track to subscriber) now", value=figures.edges)
        connections = GaugeMetricFamily("sfu_transport_connections", "Transports now", labels=["state"])
        connections.add_metric(["connected"], figures.connected_peers)
        connections.add_metric(["connecting"], max(0, figures.peers - figures.connected_peers))
        yield connections
        yield from self._counters()

    def _counters(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for counter, (name, text, labels) in _COUNTERS.items():
            family = families.setdefault(name, CounterMetricFamily(name, text, labels=list(labels)))
            family.add_metric(list(labels.values()), self.figures.counters.get(counter, 0))
        yield from families.values()
        drops = CounterMetricFamily(
            "sfu_dropped_packets", "Datagrams and packets that went no further", labels=["reason"]
        )
        for reason, count in sorted(self.figures.drops.items()):
            drops.add_metric([reason], count)
        yield drops
