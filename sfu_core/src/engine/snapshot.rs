//! The state of everything, for a reader that missed events or was restarted.

use super::event::{DataSnapshot, PeerSnapshot, PeerState, PlayingSnapshot, RosterSnapshot, Snapshot, TrackSnapshot};
use super::{Engine, relay};
use crate::gate::Flow;
use crate::peer::Peer;
use crate::stats::{EngineStats, PeerStats, ReceiveStats, SendStats};
use std::time::Instant;

use super::member::Member;
use super::send_track::SendTrack;

/// What there is now.
pub(super) fn take(engine: &Engine) -> Snapshot {
    Snapshot {
        version: engine.version,
        rooms: engine.rooms.iter().filter(|(_, state)| !state.failed).map(|(room, _)| room).collect(),
        peers: engine
            .peers
            .iter()
            .map(|(peer, member)| PeerSnapshot {
                peer,
                room: member.room,
                participant: member.participant,
                state: member.state,
                playing: playing(member),
                relay: member.relay().map(relay::Relay::id),
            })
            .collect(),
        tracks: engine
            .tracks
            .iter()
            .map(|(id, track)| TrackSnapshot {
                track: id,
                peer: track.publisher,
                mid: track.mid,
                kind: track.kind,
                source: track.source,
                muted: track.muted,
                holds_encodings: track.holds_encodings(),
                stalled: track.stalled,
                allowed: engine.gate.subscribers(Flow::Track(id)),
            })
            .collect(),
        rosters: engine
            .rooms
            .iter()
            .filter(|(_, state)| !state.listeners.is_empty())
            .map(|(room, state)| RosterSnapshot { room, listeners: state.listeners.keys().copied().collect() })
            .collect(),
        data: engine.gate.data_edges().map(|(publisher, subscriber)| DataSnapshot { publisher, subscriber }).collect(),
    }
}

fn playing(member: &Member) -> Vec<PlayingSnapshot> {
    let sections = member.outbound.send.iter();
    let carries = |send: &SendTrack| Some(PlayingSnapshot { mid: send.mid, track: send.track?, stalled: send.stall });
    sections.filter_map(carries).collect()
}

/// The figures of the whole engine.
pub(super) fn engine_stats(engine: &Engine) -> EngineStats {
    EngineStats {
        rooms: engine.rooms.len() as u64,
        peers: engine.peers.len() as u64,
        connected_peers: engine.peers.iter().filter(|(_, member)| member.state == PeerState::Connected).count() as u64,
        handshakes: engine.peers.iter().filter(|(_, member)| is_joining(member)).count() as u64,
        tracks: engine.tracks.len() as u64,
        edges: engine.gate.len() as u64,
        unauthorized_forwards: engine.witness.violations() + engine.data_witness.violations(),
        ..engine.stats.clone()
    }
}

fn is_joining(member: &Member) -> bool {
    member.peer().is_some_and(Peer::is_joining)
}

/// The figures of one peer.
pub(super) fn peer_stats(engine: &Engine, member: &Member, now: Instant) -> PeerStats {
    PeerStats {
        connected: member.state == PeerState::Connected,
        rtt_s: member.round_trip().map(|rtt| rtt.as_secs_f64()),
        estimate_bps: member.outbound.estimate.target.as_bps(),
        send_queue_s: member.outbound.pacer.oldest_wait(engine.epoch.nanos_at(now)).as_secs_f64(),
        receive: member.inbound.tracks.iter().flat_map(|(_, track)| receive_stats(engine, *track, now)).collect(),
        send: member.outbound.send.iter().enumerate().map(|(index, _)| send_stats(engine, member, index)).collect(),
    }
}

fn receive_stats(engine: &Engine, track: crate::ids::TrackId, now: Instant) -> Vec<ReceiveStats> {
    let Some(track) = engine.tracks.find(track) else { return Vec::new() };
    let clock_rate = track.payload_types.first().map_or(90_000, |payload| payload.clock_rate_hz);
    let figures = |(index, encoding): (usize, &crate::forward::router::Encoding)| ReceiveStats {
        mid: track.mid.as_str().to_owned(),
        encoding: index as u8,
        packets: encoding.reception.received(),
        bytes: encoding.reception.bytes().as_bytes(),
        lost: encoding.reception.lost(),
        jitter_s: f64::from(encoding.reception.jitter_ticks()) / f64::from(clock_rate.max(1)),
        bitrate_bps: encoding.reception.bitrate(now).as_bps(),
    };
    track.encodings.iter().enumerate().map(figures).collect()
}

fn send_stats(engine: &Engine, member: &Member, index: usize) -> SendStats {
    let send = &member.outbound.send[index];
    let encoding = send
        .track
        .and_then(|track| engine.tracks.find(track))
        .and_then(|track| track.subscriptions.iter().find(|subscription| subscription.subscriber == member.id))
        .and_then(|subscription| subscription.selector.current());
    SendStats {
        mid: send.mid.as_str().to_owned(),
        packets: send.packets + send.retransmitted,
        bytes: send.bytes + send.retransmitted_bytes,
        retransmitted: send.retransmitted,
        loss: send.loss,
        encoding,
    }
}
