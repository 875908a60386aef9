"""The engine's figures as Prometheus metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from signalling.figures import Histogram, MediaFigures

# Counter of the engine → name, help text and labels of the metric.
COUNTERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rtp_packets_in": ("sfu_rtp_packets", "Authenticated RTP packets", {"dir": "in"}),
    "rtp_packets_out": ("sfu_rtp_packets", "Authenticated RTP packets", {"dir": "out"}),
    "rtp_bytes_in": ("sfu_rtp_bytes", "Bytes of those packets", {"dir": "in"}),
    "rtp_bytes_out": ("sfu_rtp_bytes", "Bytes of those packets", {"dir": "out"}),
    "rtx_packets_out": ("sfu_rtx_packets", "Packets sent again", {}),
    "relay_packets_out": ("sfu_relay_packets", "RTP packets handed to another worker, for those of a room there", {}),
    "lost_packets_in": ("sfu_rtp_lost_packets", "Packets lost on the way", {"dir": "in"}),
    "lost_packets_out": ("sfu_rtp_lost_packets", "Packets lost on the way", {"dir": "out"}),
    "nacked_packets_in": ("sfu_rtp_nacked_packets", "Packets asked for again", {"dir": "in"}),
    "nacked_packets_out": ("sfu_rtp_nacked_packets", "Packets asked for again", {"dir": "out"}),
    "keyframe_requests_in": ("sfu_keyframe_requests", "Keyframe requests", {"dir": "in"}),
    "keyframe_requests_out": ("sfu_keyframe_requests", "Keyframe requests", {"dir": "out"}),
    "unauthorized_forwards": (
        "sfu_unauthorized_forward",
        "Packets that should not have passed: must be 0",
        {},
    ),
    "panics": ("sfu_panics", "Times a room lost its media by a bug of ours", {}),
    "layer_switches": ("sfu_layer_switches", "Switches of encoding", {}),
    "publisher_limits": (
        "sfu_publisher_limits",
        "Times a publisher of one encoding was asked to send less, as somebody could not take what it sent",
        {},
    ),
    "stun_replays": (
        "sfu_stun_replays",
        "STUN requests that repeat one heard from another address: replayed, sent on, or from behind an address"
        " translation that changed between two tries. They change nothing",
        {},
    ),
}

JOIN_HELP = (
    "To answer a request to publish or play (signal);"
    " from a remote's description to its address and keys (connect); of that ICE, and DTLS from when it could begin,"
    " which overlap; then, of those who publish, to their first packet"
)

ANSWER_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""As the engine has for the other stages of a join."""

# Histogram of the engine, or of a worker's rim, or the one that is kept here → the same.
HISTOGRAMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "join_signal_s": ("sfu_join_duration_seconds", JOIN_HELP, {"stage": "signal"}),
    "join_s": ("sfu_join_duration_seconds", JOIN_HELP, {"stage": "connect"}),
    "join_ice_s": ("sfu_join_duration_seconds", JOIN_HELP, {"stage": "ice"}),
    "join_dtls_s": ("sfu_join_duration_seconds", JOIN_HELP, {"stage": "dtls"}),
    "join_first_packet_s": ("sfu_join_duration_seconds", JOIN_HELP, {"stage": "first_packet"}),
    "rtt_s": ("sfu_rtt_seconds", "Round trips, once a second and stream", {}),
    "jitter_s": ("sfu_jitter_seconds", "Interarrival jitter, once a second and stream", {"dir": "in"}),
    "jitter_out_s": ("sfu_jitter_seconds", "Interarrival jitter, once a second and stream", {"dir": "out"}),
    "loss_in": ("sfu_rtp_loss_ratio", "Share lost, once a second and stream", {"dir": "in"}),
    "loss_out": ("sfu_rtp_loss_ratio", "Share lost, once a second and stream", {"dir": "out"}),
    "estimate_bps": ("sfu_bwe_bits_per_second", "What a downlink is taken to carry, once a second", {"dir": "out"}),
    "send_queue_s": ("sfu_send_queue_seconds", "Wait of a downlink's oldest packet, once a second", {}),
    "forward_s": (
        "sfu_forward_duration_seconds",
        "From the start of a turn that took datagrams in to when the kernel had what left in it, for each datagram that"
        " left. Not in it: the wait in the socket before the turn, and the pacer's before it (sfu_send_queue_seconds)",
        {},
    ),
}

# Counter of a worker's rim → the same; workers are added up.
RIM_COUNTERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "datagrams_in": ("sfu_datagrams", "Datagrams that passed the sockets", {"dir": "in"}),
    "datagrams_out": ("sfu_datagrams", "Datagrams that passed the sockets", {"dir": "out"}),
    "bytes_in": ("sfu_datagram_bytes", "Bytes of those datagrams", {"dir": "in"}),
    "bytes_out": ("sfu_datagram_bytes", "Bytes of those datagrams", {"dir": "out"}),
    "receive_calls": ("sfu_socket_calls", "System calls for them", {"dir": "in"}),
    "send_calls": ("sfu_socket_calls", "System calls for them", {"dir": "out"}),
    "receive_errors": ("sfu_socket_errors", "System calls that failed", {"dir": "in"}),
    "kernel_drops": ("sfu_socket_drops", "Datagrams lost at the sockets", {"reason": "receive_buffer_full"}),
    "truncated": ("sfu_socket_drops", "Datagrams lost at the sockets", {"reason": "oversize"}),
    "unreachable": ("sfu_socket_drops", "Datagrams lost at the sockets", {"reason": "unreachable"}),
    "socket_full": ("sfu_socket_full", "Times the kernel took no more for sending", {}),
    "commands": ("sfu_commands", "Commands carried out or refused", {}),
    "revocations": ("sfu_revocations", "Revocations among them", {}),
    "events_coalesced": ("sfu_events_coalesced", "Levels replaced by newer ones before anyone read them", {}),
    "events_lost": ("sfu_events_lost", "Events lost because nobody read them", {}),
    "messages_lost": ("sfu_messages_lost", "Messages on data channels not told because nobody read them", {}),
    "bot_drops": ("sfu_bot_drops", "Packets of bots that were not taken in time", {}),
    "relay_drops": ("sfu_relay_drops", "Packets, reports and requests that another worker did not take in time", {}),
}

US_PER_S = 1_000_000


class EngineCollector(Collector):
    """Shows the figures last fetched from the engine."""

    def __init__(self) -> None:
        self.up = False
        self._figures = MediaFigures()
        self._answers = Histogram(bounds=ANSWER_BOUNDS_S, counts=(0,) * (len(ANSWER_BOUNDS_S) + 1), sum=0.0)
        self._busy: dict[int, tuple[int, int]] = {}
        self._ratios: dict[int, float] = {}

    def show(self, figures: MediaFigures) -> None:
        """Takes figures to show from now on."""
        self._figures = figures
        self.up = not figures.silent
        for worker, rim in enumerate(figures.rims):
            self._measure(worker, rim)

    def observe_answer(self, seconds: float) -> None:
        """Counts how long it took to answer somebody who joined."""
        bucket = bisect_left(ANSWER_BOUNDS_S, seconds)
        counts = tuple(int(at == bucket) for at in range(len(ANSWER_BOUNDS_S) + 1))
        self._answers = Histogram(bounds=ANSWER_BOUNDS_S, counts=counts, sum=seconds).plus(self._answers)

    def _measure(self, worker: int, rim: Mapping[str, int]) -> None:
        """Takes the share of time that a worker was busy since it was last looked at."""
        now = (rim["busy_us"], rim["elapsed_us"])
        busy, elapsed = self._busy.get(worker, (0, 0))
        if now[1] > elapsed:
            self._ratios[worker] = min(1.0, (now[0] - busy) / (now[1] - elapsed))
            self._busy[worker] = now

    def collect(self) -> Iterator[Metric]:
        """Yields one family per name."""
        figures = self._figures
        yield GaugeMetricFamily("sfu_engine_up", "Whether every worker answered", value=1 if self.up else 0)
        yield GaugeMetricFamily("sfu_rooms", "Rooms now", value=figures.rooms)
        yield GaugeMetricFamily("sfu_edges", "Live edges (track to subscriber) now", value=figures.edges)
        yield GaugeMetricFamily("sfu_handshakes_inflight", "Handshakes under way now", value=figures.handshakes)
        connections = GaugeMetricFamily("sfu_transport_connections", "Transports now", labels=["state"])
        connections.add_metric(["connected"], figures.connected_peers)
        connections.add_metric(["connecting"], max(0, figures.peers - figures.connected_peers))
        yield connections
        yield from _counters(COUNTERS, figures.counters)
        drops = CounterMetricFamily(
            "sfu_dropped_packets", "Datagrams and packets that went no further", labels=["reason"]
        )
        for reason, count in sorted(figures.drops.items()):
            drops.add_metric([reason], count)
        yield drops
        yield from self._histograms()
        yield from self._rims()

    def _histograms(self) -> Iterator[Metric]:
        families: dict[str, HistogramMetricFamily] = {}
        measured = {**self._figures.histograms, "join_signal_s": self._answers}
        for name, (metric, text, labels) in HISTOGRAMS.items():
            family = families.setdefault(metric, HistogramMetricFamily(metric, text, labels=list(labels)))
            histogram = measured.get(name)
            if histogram is not None:
                bounds = [*map(str, histogram.bounds), "+Inf"]
                buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
                family.add_metric(list(labels.values()), buckets, histogram.sum)
        yield from families.values()

    def _rims(self) -> Iterator[Metric]:
        rims = self._figures.rims
        totals = {name: sum(rim[name] for rim in rims) for name in RIM_COUNTERS}
        yield from _counters(RIM_COUNTERS, totals)
        busy = GaugeMetricFamily(
            "sfu_core_busy_ratio", "Share of time a worker was busy since the last look", labels=["shard"]
        )
        lag = GaugeMetricFamily("sfu_worst_lag_seconds", "The latest a worker ever met a deadline", labels=["shard"])
        offload = GaugeMetricFamily(
            "sfu_segmentation", "1 while the kernel cuts groups for us, 0 after falling back", labels=["shard"]
        )
        for worker, rim in enumerate(rims):
            busy.add_metric([str(worker)], self._ratios.get(worker, 0.0))
            lag.add_metric([str(worker)], rim["worst_lag_us"] / US_PER_S)
            offload.add_metric([str(worker)], rim["segmentation"])
        yield from (busy, lag, offload)


def _counters(table: Mapping[str, tuple[str, str, dict[str, str]]], values: Mapping[str, int]) -> Iterator[Metric]:
    families: dict[str, CounterMetricFamily] = {}
    for counter, (name, text, labels) in table.items():
        family = families.setdefault(name, CounterMetricFamily(name, text, labels=list(labels)))
        family.add_metric(list(labels.values()), values.get(counter, 0))
    yield from families.values()
