"""Rows about processes that are killed: the signalling process under calls, and the media process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import measure
from figures import Gaps, Span, above_jitter, p95
from loads import Calls
from measure import Sampled, Shape
from restartable import Restartable, restartable
from rig import Rig

TIMES = 50
CALLS = Shape(3, 3)
"""Few, as the server's start has the same two processors."""
GAP_STEP_MS = 10
MEDIA_GAP_MS = 40
"""Longer than a stream is silent of itself: the gap that a kill makes longer began so long before it at most."""
AFTERMATH_S = 0.1
"""After the next server is ready: what it does then must disturb nobody either."""
SIGNALLING_LIMIT_S = 240
BACK_LIMIT_S = 10.0
BACK_LOOK_S = 0.001
BACK_RUN_LIMIT_S = 60

SIGNALLING = "server/signalling-kill-gap"
SIGNALLING_ROWS = (
    SIGNALLING,
    f"{SIGNALLING}-jitter",
    f"{SIGNALLING}-jitter-busy",
    f"{SIGNALLING}-longest",
    "server/signalling-kill-lost",
)
BACK = "server/media-kill-back"
BACK_ROWS = (BACK, f"{BACK}-longest")


def signalling(rig: Rig) -> Sampled:
    """Kills the signalling process under calls, starts it again, and then leaves it alone for as long.

    Then, for as long again, another Python loads what the server loads when it starts: what that does to the calls is
    the machine's, which has as few processors for the one as for the other.

    Raises:
        RuntimeError: a server did not come back, or without its calls, or with another media process.
        LoadError: the calls were over too soon.
    """
    settings = measure.load_settings(CALLS, steady_ms=SIGNALLING_LIMIT_S * 1_000, gap_span_ms=GAP_STEP_MS)
    with restartable(rig) as server, Calls(rig, settings | {"target": server.target}, limit_s=300) as calls:
        begin_ns = calls.wait_for("begin")["at_ns"]
        media, roster = server.media_pid, server.roster()
        kills = []
        time.sleep(AFTERMATH_S)  # what the start stirred up is no part of the first span
        for _ in range(TIMES):
            span = _kill_signalling(server, media, roster)
            kills.append(span)
            time.sleep(span.length_ns / 1e9)  # the quiet span that this one is compared with
            server.load_as_at_start(span.length_ns / 1e9)
        report = calls.end()
    return _gaps(kills, Gaps(begin_ns, GAP_STEP_MS * 1_000_000, report["gaps"]), report)


def _kill_signalling(server: Restartable, media: int, roster: Mapping[tuple[str, str], list[str]]) -> Span:
    from_ns = time.time_ns() - MEDIA_GAP_MS * 1_000_000
    server.kill_signalling()
    server.start_signalling()
    if server.media_pid != media:
        raise RuntimeError("the calls have another media process than before the kill")
    if server.roster() != roster:
        raise RuntimeError("the server that was started again does not have the calls of the one before")
    time.sleep(AFTERMATH_S)  # a part of the span: what the server does once it is ready
    return Span(from_ns, time.time_ns() - MEDIA_GAP_MS * 1_000_000)


def _gaps(kills: list[Span], gaps: Gaps, report: Mapping[str, Any]) -> Sampled:
    disturbed = [gaps.longest_in(span) for span in kills]
    quiet = [gaps.longest_in(span.after()) for span in kills]
    busy = [gaps.longest_in(span.after().after()) for span in kills]
    rows = {
        SIGNALLING: (above_jitter(disturbed, quiet), "ms"),
        f"{SIGNALLING}-jitter": (p95(quiet), "ms"),
        f"{SIGNALLING}-jitter-busy": (p95(busy), "ms"),
        f"{SIGNALLING}-longest": (max(disturbed), "ms"),
        "server/signalling-kill-lost": (report["lost"], "packets"),
    }
    lengths = [round(span.length_ns / 1e6) for span in kills]
    kept = {"gaps_ms": disturbed, "quiet_ms": quiet, "busy_ms": busy, "spans_ms": lengths}
    return Sampled(rows, kept | {"sent_late_us": report["sent_late_us"]})


def media_back(rig: Rig) -> Sampled:
    """Kills the media process under calls, and asks for a room until the next one has made it.

    Raises:
        RuntimeError: none came.
        LoadError: nobody could call the next one.
    """
    took: list[float] = []
    with restartable(rig) as server:
        settings = measure.load_settings(CALLS, steady_ms=BACK_RUN_LIMIT_S * 1_000) | {"target": server.target}
        for _ in range(TIMES):
            with Calls(rig, settings | {"warm_up_ms": 0}, limit_s=BACK_RUN_LIMIT_S) as calls:
                calls.wait_for("begin")
                took.append(_kill_media(server))
            for room in server.rooms():
                server.told("DELETE", f"/rooms/{room}")
            # One that sees a second media process end within a minute waits before it starts a third.
            server.kill_signalling()
            server.start_signalling()
    return Sampled({BACK: (p95(took), "ms"), f"{BACK}-longest": (max(took), "ms")}, {"took_ms": took})


def _kill_media(server: Restartable) -> float:
    """Returns how long it took until the server was ready and a room was made in the next media process."""
    before = server.media_pid
    began = time.monotonic()
    os.kill(before, signal.SIGKILL)
    while not _takes_calls(server):
        if time.monotonic() - began > BACK_LIMIT_S:
            raise RuntimeError(f"no other media process within {BACK_LIMIT_S} s: {server.log()}")
        time.sleep(BACK_LOOK_S)  # it tells nobody but who asks
    took_s = time.monotonic() - began
    if server.media_pid == before:
        raise RuntimeError("the media process that was killed runs")
    return took_s * 1e3


def _takes_calls(server: Restartable) -> bool:
    """Whether a room can be made, which needs the media process, and the server says that it is ready."""
    return server.http.call("POST", "/rooms")[0] == 201 and server.http.call("GET", "/ready")[0] == 200
