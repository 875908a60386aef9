"""What the media engine says of itself: figures, warnings, failures. No value says who or where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from signalling.domain.link import Link

COUNTERS = (
    "rtp_packets_in",
    "rtp_packets_out",
    "rtp_bytes_in",
    "rtp_bytes_out",
    "rtx_packets_out",
    "relay_packets_out",
    "lost_packets_in",
    "lost_packets_out",
    "nacked_packets_in",
    "nacked_packets_out",
    "keyframe_requests_in",
    "keyframe_requests_out",
    "unauthorized_forwards",
    "panics",
    "layer_switches",
    "publisher_limits",
    "stun_replays",
)
"""What the engine counts."""

DROPS = (
    "unknown_source",
    "unauthenticated",
    "replayed",
    "malformed",
    "not_published",
    "rewrite_rejected",
    "send_queue_full",
    "too_late",
    "revoked",
    "socket_full",
    "no_route",
    "unknown_ufrag",
    "rate_limited",
)
"""Why a datagram or packet went no further."""


HISTOGRAMS = (
    "join_s",
    "join_ice_s",
    "join_dtls_s",
    "join_first_packet_s",
    "rtt_s",
    "jitter_s",
    "jitter_out_s",
    "loss_in",
    "loss_out",
    "estimate_bps",
    "send_queue_s",
)
"""What the engine measures again and again."""

RIM_HISTOGRAMS = ("forward_s",)
"""What each worker measures where it meets the sockets."""

RIM = (
    "busy_us",
    "elapsed_us",
    "worst_lag_us",
    "datagrams_in",
    "datagrams_out",
    "bytes_in",
    "bytes_out",
    "receive_calls",
    "receive_errors",
    "send_calls",
    "truncated",
    "kernel_drops",
    "socket_full",
    "unreachable",
    "segmentation",
    "commands",
    "revocations",
    "events_coalesced",
    "events_lost",
    "messages_lost",
    "bot_drops",
    "relay_drops",
)
"""What each worker counts where it meets sockets and Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How a quantity was spread: observations up to each bound, and, in one count more, those above all bounds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    def plus(self, other: Histogram | None) -> Histogram:
        """Returns both together; they have the same bounds."""
        if other is None:
            return self
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(bounds=self.bounds, counts=counts, sum=self.sum + other.sum)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFigures:
    """Counters and states of the engine. Drops are by reason, from a fixed set of words.

    Args:
        rooms: now.
        peers: now.
        connected_peers: now.
        handshakes: under way now.
        edges: now.
        counters: those in `COUNTERS`.
        drops: those in `DROPS`.
        histograms: those in `HISTOGRAMS` and `RIM_HISTOGRAMS`.
        rims: for each worker, those in `RIM`; there also when the worker hangs.
        silent: workers that did not answer in time.
    """

    rooms: int = 0
    peers: int = 0
    connected_peers: int = 0
    handshakes: int = 0
    edges: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    rims: tuple[Mapping[str, int], ...] = ()
    silent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaWarning:
    """Something works, but not as well as it could."""

    code: str
    remedy: str | None = None
    worker: int | None = None
    figures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailed:
    """A fault of its own ended a worker with all its rooms, each of which is told too."""

    worker: int


def figures_of(stats: Any, known: dict[int, Any]) -> MediaFigures:
    """Takes what the server shows from pysfu's figures.

    Args:
        stats: pysfu's figures; what is there only because rooms are on several workers is not shown as rooms or people.
        known: the last figures of each worker, brought up to date here. What has been counted by a worker that does not
            answer stays counted; what it held is not there.
    """
    workers = stats.workers
    known.update({number: worker.engine for number, worker in enumerate(workers) if worker.engine is not None})
    present = [worker.engine for worker in workers if worker.engine is not None]

    def now(name: str) -> int:
        return sum(getattr(engine, name) for engine in present)

    return MediaFigures(
        rooms=max(0, now("rooms") - stats.further_rooms),
        peers=max(0, now("peers") - 2 * stats.relays),
        connected_peers=max(0, now("connected_peers") - 2 * stats.relays),
        handshakes=now("handshakes"),
        edges=max(0, now("edges") - stats.relays),
        counters={name: sum(getattr(engine, name) for engine in known.values()) for name in COUNTERS},
        drops={name: sum(getattr(engine.drops, name) for engine in known.values()) for name in DROPS},
        histograms=_histograms((engine.quality for engine in known.values()), HISTOGRAMS)
        | _histograms((worker.rim for worker in workers), RIM_HISTOGRAMS),
        rims=tuple({name: getattr(worker.rim, name) for name in RIM} for worker in workers),
        silent=tuple(number for number, worker in enumerate(workers) if worker.engine is None),
    )


def link_of(figures: Any) -> Link:
    """Takes how well packets get through from the figures of pysfu's transport."""
    return Link(
        came=sum(stream.packets for stream in figures.receive),
        lost=sum(max(stream.lost, 0) for stream in figures.receive),
        loss_out=max((stream.loss for stream in figures.send), default=0.0),
        rtt=timedelta(seconds=figures.rtt_s) if figures.rtt_s is not None else None,
    )


def _histograms(measured: Iterable[Any], names: Sequence[str]) -> dict[str, Histogram]:
    """Adds up what the workers measured."""
    total: dict[str, Histogram] = {}
    for source in measured:
        for name in names:
            theirs = getattr(source, name)
            histogram = Histogram(bounds=tuple(theirs.bounds), counts=tuple(theirs.counts), sum=theirs.sum)
            total[name] = histogram.plus(total.get(name))
    return total
