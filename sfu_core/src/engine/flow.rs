//! One-way sound and black pictures: whether what is published arrives, and goes on to whoever receives it. Each peer is looked
//! at twice a second; what changes is an event, and what is so now is in every snapshot.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::forward::router::Track;
use crate::forward::watch::Owed;
use crate::ids::{PeerId, TrackId};
use crate::session::MediaKind;

use super::Engine;
use super::event::{Event, PeerState};
use super::inbound::MAX_TRACKS_PER_PEER;

/// Seldom enough that it costs nothing, often enough for who is called with a black picture: see `forward/watch.rs`.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Why a subscription is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallCause {
    /// Nothing comes from its publisher.
    NothingArrives,
    /// No encoding of it goes out: the downlink carries no more, its section is inactive, or no keyframe has come to begin with.
    Paused,
    /// It arrives, and does not leave: a bug of ours.
    NotForwarded,
}

/// Looks at what `peer` publishes and receives, if that is due.
pub(super) fn on_timeout(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    if member.flow_at.is_none_or(|at| now < at) {
        return;
    }
    member.flow_at = Some(now + LOOK_INTERVAL);
    let is_connected = member.state == PeerState::Connected;
    let tracks: ArrayVec<TrackId, MAX_TRACKS_PER_PEER> = member.inbound.tracks.iter().map(|&(_, id)| id).collect();
    let sections = member.outbound.send.len();
    for track in tracks {
        look_at_track(engine, track, is_connected, now);
    }
    for section in 0..sections {
        look_at_section(engine, peer, section, is_connected, now);
    }
}

fn look_at_track(engine: &mut Engine, id: TrackId, is_connected: bool, now: Instant) {
    let Some(track) = engine.tracks.find_mut(id) else { return };
    // Of one that has begun more is owed also when its publisher is heard no more: whoever receives it sees nothing.
    let owed = if track.muted || !(is_connected || track.started) { Owed::Nothing } else { Owed::More };
    let packets = track.encodings.iter().map(|encoding| encoding.reception.received()).sum();
    track.watch.look(packets, owed, now);
    let stalled = track.watch.is_stalled();
    if stalled != track.stalled {
        track.stalled = stalled;
        engine.emit(Event::TrackStalled { track: id, stalled });
    }
}

fn look_at_section(engine: &mut Engine, peer: PeerId, section: usize, is_connected: bool, now: Instant) {
    let Some(send) = engine.peers.find(peer).and_then(|member| member.outbound.send.get(section)) else { return };
    let Some(track) = send.track.and_then(|id| engine.tracks.find(id)) else { return };
    // As long as it moves, nothing else has to be looked up.
    let moves = send.watch.has_moved(send.packets);
    let (owed, cause) = if moves { (Owed::More, None) } else { expected(engine, track, peer, is_connected, now) };
    let id = track.id;
    let Some(send) = engine.peers.find_mut(peer).and_then(|member| member.outbound.send.get_mut(section)) else {
        return;
    };
    send.watch.look(send.packets, owed, now);
    let is_told = cause == Some(StallCause::NothingArrives) || send.watch.is_stalled();
    let cause = cause.filter(|_| is_told);
    if std::mem::replace(&mut send.stall, cause) != cause {
        engine.emit(Event::SubscriptionStalled { subscriber: peer, track: id, cause });
    }
}

/// What is owed to `peer` of a track of which nothing leaves to it, and what is wrong if that lasts.
fn expected(
    engine: &Engine,
    track: &Track,
    peer: PeerId,
    is_connected: bool,
    now: Instant,
) -> (Owed, Option<StallCause>) {
    let subscription = track.subscriptions.iter().find(|subscription| subscription.subscriber == peer);
    let Some(subscription) = subscription.filter(|subscription| subscription.edge.is_some()) else {
        return (Owed::Nothing, None);
    };
    if track.muted || track.awaits_choice(now) || is_left_out(engine, track) {
        return (Owed::Nothing, None);
    }
    if track.stalled {
        return (Owed::Nothing, Some(StallCause::NothingArrives));
    }
    let is_paused = subscription.is_stopped() || subscription.selector.current().is_none();
    let cause = if is_paused { StallCause::Paused } else { StallCause::NotForwarded };
    let owed = if is_connected && !track.watch.is_still() { Owed::More } else { Owed::NotNow };
    (owed, Some(cause))
}

/// Whether it is one of the quieter voices in a large room.
fn is_left_out(engine: &Engine, track: &Track) -> bool {
    let is_forwarded = || engine.rooms.find(track.room).is_none_or(|room| room.speakers.forwards(track.id));
    track.kind == MediaKind::Audio && !is_forwarded()
}
