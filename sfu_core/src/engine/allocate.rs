//! The choice of layers: what one peer's downlink carries, divided among what it receives (`bwe/allocator.rs` decides).

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::bwe::allocator::{Allocator, Demand, Target, UP_SHARE};
use crate::bwe::estimator::Limit;
use crate::forward::router::{Subscription, Track};
use crate::ids::{PeerId, TrackId};
use crate::session::{MAX_ENCODINGS, MediaKind, TrackSource};
use crate::units::Bitrate;

use super::ceiling::{Downlink, Wanted};
use super::event::Event;
use super::outbound::MAX_SUBSCRIPTIONS_PER_PEER;
use super::{Engine, ceiling, control};

/// While loss leaves this share of what everything takes at its lowest, nothing is paused for it.
const REPAIRABLE: f64 = 0.65;

/// For so many a choice is made anew in one turn: a large meeting, in a few milliseconds.
const MAX_CHOSEN_AT_ONCE: usize = 64;

/// Divides what the peer's downlink carries among what it receives.
pub(super) fn allocate(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    let mut demands: ArrayVec<Demand, MAX_SUBSCRIPTIONS_PER_PEER> = ArrayVec::new();
    let mut wanted: ArrayVec<Wanted, MAX_SUBSCRIPTIONS_PER_PEER> = ArrayVec::new();
    // Who is not heard of has no downlink to speak of.
    let silent = member.outbound.estimate.limit == Limit::Silence;
    for id in member.outbound.send.iter().filter_map(|send| send.track) {
        let Some(track) = engine.tracks.find(id) else { continue };
        let Some(subscription) = track.subscriptions.iter().find(|known| known.subscriber == peer) else { continue };
        demands.push(demand(track, subscription, now));
        let paused = subscription.too_much && !silent;
        let (share, heeded) = (subscription.share, track.ceiling.may_ask(now));
        wanted.push(Wanted { id, publisher: track.publisher, share, heeded, paused });
    }
    let (target, lowest) = (member.outbound.estimate.target, lowest_of(&demands));
    let estimate = match member.outbound.estimate.limit {
        // No sign that anything is too much: nobody is paused for what was only never tried.
        Limit::None => target.max(lowest),
        // Radio loses at any rate, and repairs make up for it.
        Limit::Loss if target >= lowest * REPAIRABLE => target.max(lowest),
        _ => target,
    };
    member.outbound.force_rate(if estimate > target { estimate } else { Bitrate::ZERO });
    let desired = Allocator::desired(&demands);
    let reachable = member.is_reachable();
    let is_full = estimate < lowest && !silent;
    let voice_broken = member.outbound.is_voice_broken(now);
    let downlink = Downlink { subscriber: peer, reachable, target, is_full, voice_broken };
    let held_back = ceiling::hold_down(engine, downlink, &mut wanted, &mut demands, now);
    let Some(member) = engine.peers.find_mut(peer) else { return };
    member.outbound.controller.set_desired(desired + held_back);
    let mut targets = std::mem::take(&mut member.outbound.targets);
    member.outbound.allocator.allocate(estimate, &demands, &mut targets, now);
    for ((&Wanted { id, .. }, demand), &target) in wanted.iter().zip(&demands).zip(&targets) {
        let too_much = reachable && demand.limit.is_some() && target.encoding.is_none();
        // What cannot leave would only grow old in the queue; the keyframe to begin with is asked for once it can.
        let target = if reachable { target } else { Target::PAUSED };
        retarget(engine, peer, id, target, too_much, now);
    }
    if let Some(member) = engine.peers.find_mut(peer) {
        member.outbound.targets = targets;
    }
}

/// What a subscriber would take of `track`.
fn demand(track: &Track, subscription: &Subscription, now: Instant) -> Demand {
    let highest = (track.encodings.len() as u8).saturating_sub(1);
    let mut rates = [None; MAX_ENCODINGS];
    for (rate, encoding) in rates.iter_mut().zip(&track.encodings) {
        *rate = Some(encoding.reception.bitrate(now)).filter(|rate| rate.as_bps() > 0);
    }
    if let Some(current) = subscription.selector.current().filter(|_| track.holds_encodings()) {
        keep_only(current, &mut rates);
    }
    let may_flow = subscription.edge.is_some() && !subscription.is_stopped() && !track.awaits_choice(now);
    Demand {
        key: track.id.as_u64(),
        kind: track.kind,
        priority: priority(track.source),
        limit: may_flow.then(|| subscription.limit.encoding.min(highest)),
        rates,
    }
}

/// Leaves an encoding that is kept as the only choice while it flows, or nothing does: a screen may be still. When it has
/// ended and others go on, one of them is chosen, for its picture stands anyway.
fn keep_only(current: u8, rates: &mut [Option<Bitrate>; MAX_ENCODINGS]) {
    let place = usize::from(current);
    let flows = rates.get(place).is_some_and(Option::is_some);
    if flows || rates.iter().all(Option::is_none) {
        let kept = rates.get(place).copied().flatten().unwrap_or(Bitrate::kbps(1));
        *rates = [None; MAX_ENCODINGS];
        if let Some(rate) = rates.get_mut(place) {
            *rate = Some(kept);
        }
    }
}

/// Chooses anew for those who receive a track of which it was not known before its first packet how to choose. In the largest
/// rooms the rest learn it with their next report, within a second.
pub(super) fn choose_anew(engine: &mut Engine, id: TrackId, now: Instant) {
    let Some(track) = engine.tracks.find(id).filter(|track| track.encrypted && track.encodings.len() > 1) else {
        return;
    };
    let subscribers = track.subscriptions.iter().map(|subscription| subscription.subscriber);
    let at_once: ArrayVec<PeerId, MAX_CHOSEN_AT_ONCE> = subscribers.take(MAX_CHOSEN_AT_ONCE).collect();
    for subscriber in at_once {
        allocate(engine, subscriber, now);
    }
}

/// What everything wanted takes at its lowest.
fn lowest_of(demands: &[Demand]) -> Bitrate {
    let lowest: Bitrate = demands
        .iter()
        .filter(|demand| demand.limit.is_some())
        .filter_map(|demand| demand.rates.iter().flatten().next())
        .copied()
        .sum();
    lowest * (1.0 / UP_SHARE + 0.05)
}

/// Lets one subscription go for its new target; a changed encoding is an event.
fn retarget(engine: &mut Engine, peer: PeerId, id: TrackId, target: Target, too_much: bool, now: Instant) {
    let Some(track) = engine.tracks.find_mut(id) else { return };
    let publisher = track.publisher;
    let kind = track.kind;
    let holds = track.holds_encodings();
    let Some(subscription) = track.subscription_mut(peer) else { return };
    subscription.too_much = too_much;
    let target = Target { temporal: target.temporal.min(subscription.limit.temporal), ..target };
    let before = subscription.selector.target().encoding;
    if holds && subscription.selector.current().is_some_and(|current| target.encoding != Some(current)) {
        subscription.selector.reset();
    }
    subscription.selector.set_target(target);
    let changed = subscription.edge.is_some() && subscription.announced != Some(target.encoding);
    if changed {
        subscription.announced = Some(target.encoding);
    }
    let wanted = subscription.edge.and(subscription.selector.needs_keyframe());
    if before != target.encoding {
        track.cancel_unneeded_keyframes();
    }
    if kind == MediaKind::Video
        && let Some(encoding) = wanted
        && !track.encodings.get(usize::from(encoding)).is_none_or(|encoding| encoding.keyframes.is_wanted())
    {
        track.want_keyframe(encoding, now);
        control::schedule_feedback(engine, publisher, now);
    }
    if changed && kind == MediaKind::Video {
        engine.emit(Event::LayerChanged { subscriber: peer, track: id, encoding: target.encoding });
    }
}

/// Whose picture suffers last.
const fn priority(source: TrackSource) -> u8 {
    match source {
        TrackSource::Microphone => 3,
        TrackSource::Screen => 2,
        TrackSource::ScreenAudio | TrackSource::Camera => 1,
    }
}
