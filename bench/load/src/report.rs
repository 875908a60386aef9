//! What a run tells: a line of JSON for each event, the last with all counts. Instants are nanoseconds since 1970.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::clock::wall_ns;
use crate::connection::Connection;
use crate::histogram::Histogram;
use crate::load::World;

/// Prints a line, at once.
pub(crate) fn line(event: &Value) {
    let mut out = std::io::stdout().lock();
    // Who does not read any more has seen enough.
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

/// Everybody hears everybody.
pub(crate) fn joined(world: &World, since_start_ns: u64) {
    let connections: Vec<&Connection> = world.connections.iter().flatten().collect();
    let protection = connections.first().and_then(|connection| connection.protection());
    let someone = connections.first().map(|connection| {
        json!({
            "remote": connection.opened.remote.to_string(),
            "ufrag": connection.opened.session.remote.ufrag,
        })
    });
    let (profile, dtls) = protection.unwrap_or_default();
    line(&json!({
        "event": "joined",
        "took_ms": since_start_ns / 1_000_000,
        "connections": connections.len(),
        "streams": world.settings.shape.streams(),
        "srtp_profile": profile,
        "dtls": dtls,
        "someone": someone,
        "publishing": publishing(&connections),
        "first_packet_ms": first_packets(&connections),
    }));
}

/// Who publishes, as the server calls them.
fn publishing(connections: &[&Connection]) -> Vec<Value> {
    let publishing = connections.iter().filter(|connection| connection.opened.source.is_some());
    publishing.map(|one| json!({"room": one.opened.room, "participant": one.opened.participant})).collect()
}

/// From the offer to the first packet, of those that receive, in the order in which they joined.
fn first_packets(connections: &[&Connection]) -> Vec<f64> {
    let receiving = connections.iter().filter_map(|connection| {
        let waited_ns = connection.first_media_ns?.saturating_sub(connection.opened.asked_ns);
        Some(waited_ns as f64 / 1e6)
    });
    receiving.collect()
}

/// Why it did not come to that.
pub(crate) fn not_joined(world: &World) -> String {
    let connections: Vec<&Connection> = world.connections.iter().flatten().collect();
    let connected = connections.iter().filter(|connection| connection.is_connected()).count();
    let flowing: usize = connections.iter().map(|connection| connection.receptions.len()).sum();
    let (all, wanted) = (connections.len(), world.settings.shape.streams());
    format!("{connected} of {all} connections are connected, {flowing} of {wanted} streams flow")
}

pub(crate) fn begun(wall_ns: u64) {
    line(&json!({"event": "begin", "at_ns": wall_ns}));
}

pub(crate) fn ended(wall_ns: u64, all_late: bool) {
    line(&json!({"event": "end", "at_ns": wall_ns, "all_late": all_late}));
}

/// All counts.
pub(crate) fn tell(world: &World) {
    let tally = &world.tally;
    let (from_ns, until_ns) = tally.span_ns;
    let fan_out = world.settings.shape.streams() as f64
        / (world.settings.shape.sources() * world.settings.shape.kinds().count()) as f64;
    let mut lost = 0;
    let mut longest = [0_u64; 2];
    let mut streams = Vec::new();
    // A stream that has ended has a gap up to the end of the span.
    let mut gaps = tally.gaps.clone();
    for connection in world.connections.iter().flatten() {
        for reception in &connection.receptions {
            let counted = reception.counted(until_ns);
            gaps.note(reception.last_ns(), until_ns);
            if !connection.opened.late {
                lost += counted.lost;
                let place = usize::from(reception.kind == sfu_core::session::MediaKind::Video);
                longest[place] = longest[place].max(counted.longest_gap_ns);
            }
            if world.settings.per_stream {
                streams.push(json!({
                    "room": connection.opened.room,
                    "seat": connection.opened.seat.number,
                    "participant": connection.opened.participant,
                    "heard": connection.opened.heard,
                    "late": connection.opened.late,
                    "kind": reception.kind,
                    "received": counted.received,
                    "lost": counted.lost,
                    "recovered": counted.recovered,
                    "longest_gap_ms": counted.longest_gap_ns as f64 / 1e6,
                    "gap_at_ns": counted.gap_at_ns,
                    "last_ns": reception.last_ns(),
                }));
            }
        }
    }
    line(&json!({
        "event": "report",
        "begin_ns": from_ns,
        "steady_ms": until_ns.saturating_sub(from_ns) / 1_000_000,
        "counts": tally,
        "expected": ((tally.sent.audio + tally.sent.video) as f64 * fan_out).round() as u64,
        "lost": lost,
        "longest_gap_audio_ms": longest[0] as f64 / 1e6,
        "longest_gap_video_ms": longest[1] as f64 / 1e6,
        "delay_us": quantiles(&tally.delay_audio.with(&tally.delay_video)),
        "delay_audio_us": quantiles(&tally.delay_audio),
        "delay_video_us": quantiles(&tally.delay_video),
        "sent_late_us": quantiles(&tally.late),
        "joined_ms": joined_ms(world),
        "interrupted_ns": world.interrupted_ns,
        "resumed": world.resumed,
        "told_at_ns": wall_ns(),
        "gaps": gaps.longest_ms(),
        "streams": streams,
        "connections": if world.settings.per_stream { latest(world) } else { Vec::new() },
    }));
}

/// From asking to hearing all who published already, of those latecomers who found somebody; null for who does not.
fn joined_ms(world: &World) -> Vec<Option<f64>> {
    let late = world.connections.iter().flatten().filter(|one| one.opened.late && !one.opened.awaits.is_empty());
    late.map(|connection| connection.waited_ns().map(|ns| ns as f64 / 1e6)).collect()
}

/// When the latest packets of each connection came.
fn latest(world: &World) -> Vec<Value> {
    let told = |connection: &Connection| {
        json!({
            "room": connection.opened.room,
            "participant": connection.opened.participant,
            "latest_ns": connection.latest.instants_ns(),
        })
    };
    world.connections.iter().flatten().map(told).collect()
}

/// The usual ones, in microseconds.
pub(crate) fn quantiles(histogram: &Histogram) -> Value {
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |per_mille| us(histogram.quantile_ns(per_mille));
    json!({
        "count": histogram.total(),
        "p50": at(500),
        "p99": at(990),
        "p99.9": at(999),
        "max": us(histogram.longest_ns()),
    })
}
