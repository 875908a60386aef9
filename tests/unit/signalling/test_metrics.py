"""Metrics and health."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from conftest import METRICS, SDP, Bench, settings

from pysfu import messages
from signalling import engine_metrics, homes, metrics
from signalling.domain.heartbeat import WorkerFault
from signalling.figures import COUNTERS, DROPS, HISTOGRAMS, RIM, RIM_HISTOGRAMS, MediaWarning
from signalling.http.parts import State
from signalling.media_events import PeerConnected, PeerGone, PeerReconnected


async def scrape(bench: Bench) -> str:
    async with bench.http(peer="127.0.0.1") as http:
        return (await http.get("/metrics")).text


async def some_traffic(bench: Bench, rooms: int = 3) -> None:
    for _ in range(rooms):
        room = await bench.room()
        async with await bench.participant(room, "p_canary") as alice:
            await bench.publish(room, alice)
            await bench.publish("elsewhere", alice)
            await alice.request("BREW", "/coffee")
    bench.parts.metrics.on_event(PeerConnected(peer="x", srtp_profile="AEAD_AES_256_GCM", dtls_version="1.2"))
    bench.parts.metrics.on_event(PeerGone(peer="x", reason="ice"))
    bench.parts.metrics.on_event(PeerReconnected(peer="x"))
    bench.parts.metrics.on_event(MediaWarning(code="no_segmentation"))
    bench.parts.metrics.on_workers(1, {})


async def test_the_engines_figures_have_the_documented_names(bench: Bench) -> None:
    await some_traffic(bench)
    text = await scrape(bench)
    for line in (
        'sfu_rtp_packets_total{dir="in"} 7.0',
        'sfu_rtp_packets_total{dir="out"} 21.0',
        "sfu_unauthorized_forward_total 0.0",
        'sfu_dropped_packets_total{reason="revoked"} 3.0',
        'sfu_srtp_profile_sessions_total{dtls="1.2",profile="AEAD_AES_256_GCM"} 1.0',
        'sfu_node_state{state="serving"} 1.0',
        'sfu_joins_total{outcome="ok"} 3.0',
        'sfu_joins_total{outcome="denied"} 3.0',
        'sfu_transport_ends_total{reason="ice"} 1.0',
        'sfu_http_requests_total{code="2xx",method="POST",route="/whip/{room}"} 3.0',
        'sfu_http_requests_total{code="4xx",method="OTHER",route="unmatched"} 3.0',
        "sfu_engine_up 1.0",
        "sfu_participants 3.0",
        'sfu_tracks{dir="pub",kind="audio"} 3.0',
        'sfu_tracks{dir="pub",kind="video"} 3.0',
        'sfu_tracks{dir="sub",kind="video"} 0.0',
        'sfu_auth_attempts_total{method="token",outcome="ok"} 6.0',
        'sfu_auth_attempts_total{method="admin",outcome="denied"} 0.0',
        'sfu_room_moves_total{outcome="ok",reason="failure"} 0.0',
        'sfu_media_stalls_total{cause="not_forwarded",kind="video"} 0.0',
        'sfu_room_participants_bucket{le="1.0"} 3.0',
        'python_gc_collections_total{generation="2"}',
        'sfu_reconnects_total{kind="resume"} 1.0',
        'sfu_warnings_total{code="no_segmentation"} 1.0',
        'sfu_worker_up{shard="0"} 1.0',
        'sfu_rtt_seconds_bucket{le="1.0"} 3.0',
        "sfu_rtt_seconds_count 4.0",
        "sfu_rtt_seconds_sum 3.5",
        'sfu_rtp_loss_ratio_bucket{dir="in",le="+Inf"} 4.0',
        'sfu_join_duration_seconds_count{stage="connect"} 4.0',
        'sfu_join_duration_seconds_count{stage="signal"} 3.0',
        'sfu_join_duration_seconds_count{stage="ice"} 4.0',
        'sfu_join_duration_seconds_count{stage="dtls"} 4.0',
        'sfu_join_duration_seconds_count{stage="first_packet"} 4.0',
        'sfu_jitter_seconds_count{dir="in"} 4.0',
        'sfu_jitter_seconds_count{dir="out"} 4.0',
        "sfu_forward_duration_seconds_count 4.0",
        "sfu_stun_replays_total 2.0",
        "sfu_relay_packets_total 5.0",
        "sfu_relay_drops_total 1e+06",
        'sfu_core_busy_ratio{shard="0"} 0.25',
        'sfu_datagrams_total{dir="out"} 1e+06',
        'sfu_socket_drops_total{reason="receive_buffer_full"} 1e+06',
        "sfu_events_lost_total 1e+06",
        'sfu_segmentation{shard="0"} 0.0',
    ):
        assert line in text


async def test_how_long_it_takes_to_remove_somebody_is_measured_until_nothing_flows(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as admin:
        await bench.publish(room, alice)
        bench.engine.peers()[0].held = held = asyncio.Event()
        removing = asyncio.ensure_future(admin.delete(f"/rooms/{room}/participants/alice"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert "sfu_removal_duration_seconds_count 0.0" in await scrape(bench)
        held.set()
        assert (await removing).status_code == 204
    assert "sfu_removal_duration_seconds_count 1.0" in await scrape(bench)


def test_every_counter_of_the_engine_has_a_metric() -> None:
    shown_per_worker = {"busy_us", "elapsed_us", "worst_lag_us", "segmentation"}
    assert set(COUNTERS) == set(engine_metrics.COUNTERS)
    ours = {"join_signal_s"}  # the engine is not asked when somebody joins, but afterwards
    assert {*HISTOGRAMS, *RIM_HISTOGRAMS} == set(engine_metrics.HISTOGRAMS) - ours
    assert set(DROPS) == set(messages.Drops.__struct_fields__)
    assert set(RIM) == set(engine_metrics.RIM_COUNTERS) | shown_per_worker


async def test_bearers_and_tokens_that_prove_nothing_are_counted(bench: Bench) -> None:
    room = await bench.room()
    for path in (f"/whip/{room}", f"/whip/{room}/resources/none/events"):
        async with bench.http(Authorization="Bearer guessed") as stranger:
            assert (await stranger.post(path, content="v=0", headers=SDP)).status_code == 401
    async with bench.http(Authorization="Bearer guessed") as stranger:
        assert (await stranger.get("/rooms")).status_code == 401
    text = await scrape(bench)
    assert 'sfu_auth_attempts_total{method="token",outcome="denied"} 2.0' in text
    assert 'sfu_auth_attempts_total{method="admin",outcome="denied"} 1.0' in text
    assert 'sfu_auth_attempts_total{method="admin",outcome="ok"} 1.0' in text


async def test_a_room_that_gets_other_media_is_counted_also_when_it_has_to_try_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "RETRY_S", (0.0,))
    await bench.room()
    bench.engine.unavailable = True
    await bench.parts.rooms.on_event(bench.engine.break_room(bench.engine.rooms[0]))
    await bench.settle()
    bench.engine.unavailable = False
    await bench.settle()
    text = await scrape(bench)
    assert 'sfu_room_moves_total{outcome="ok",reason="failure"} 1.0' in text
    assert 'sfu_room_moves_total{outcome="retried",reason="failure"} 0.0' not in text


async def test_an_engine_that_does_not_answer_is_shown_as_down(bench: Bench) -> None:
    bench.engine.unavailable = True
    assert "sfu_engine_up 0.0" in await scrape(bench)


async def test_metrics_come_in_bounded_time_although_the_engine_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "RENDER_TIMEOUT_S", 0)
    bench.engine.hung = True
    assert "sfu_engine_up 0.0" in await scrape(bench)


@pytest.mark.parametrize("fault", list(WorkerFault))
async def test_a_node_is_ready_while_one_worker_is_well_and_alive_without(bench: Bench, fault: WorkerFault) -> None:
    async with bench.http() as http:
        bench.parts.heartbeat.workers = 2
        bench.parts.heartbeat.faults[0] = fault
        assert (await http.get("/ready")).status_code == 200
        bench.parts.heartbeat.workers = 1
        assert (await http.get("/live")).status_code == 200
        answer = await http.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith(f"media worker 0 has {fault.value}: ")


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("192.0.2.9", {}, 403),
        ("::ffff:192.0.2.9", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.60"}, 403),
    ],
)
async def test_without_a_bearer_only_direct_loopback_connections_read_metrics(
    bench: Bench, peer: str, headers: dict[str, str], status: int
) -> None:
    async with bench.http(peer=peer) as http:
        assert (await http.get("/metrics", headers=headers)).status_code == status


async def test_with_a_bearer_configured_everyone_needs_it() -> None:
    bench = Bench(settings(metrics={"bearer": METRICS}))
    async with bench.http(peer="127.0.0.1") as http:
        assert (await http.get("/metrics")).status_code == 401
        allowed = await http.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"})
        assert allowed.status_code == 200
        wrong: httpx.Response = await http.get("/metrics", headers={"Authorization": "Bearer wrong"})
        assert wrong.json()["code"] == "token_invalid"


async def test_a_draining_node_is_alive_but_takes_no_calls(bench: Bench) -> None:
    async with bench.http() as http:
        assert (await http.get("/ready")).status_code == 200
        bench.parts.enter(State.DRAINING)
        bench.parts.rooms.drain()
        assert (await http.get("/live")).status_code == 200
        assert (await http.get("/ready")).status_code == 503
    async with bench.admin() as http:
        assert (await http.post("/rooms")).json()["code"] == "closing"
