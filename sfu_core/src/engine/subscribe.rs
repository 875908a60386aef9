//! Wiring tracks to media sections of subscribers, and granting and taking the right to receive them. The wire is no right:
//! packets flow while there is both.

use std::time::Instant;

use crate::bwe::allocator::Target;
use crate::forward::redundancy::Since;
use crate::forward::rewriter::Rewriter;
use crate::forward::router::{MAX_SUBSCRIPTIONS_PER_TRACK, PayloadRoute, Subscription, Track};
use crate::forward::selector::Selector;
use crate::forward::watch::Watch;
use crate::gate::Flow;
use crate::ids::{Mid, PeerId, TrackId};
use crate::session::MediaKind;

use super::command::{Cap, LayerLimit, Refusal, Reply};
use super::event::Event;
use super::{Engine, allocate, control, relay};

pub(super) fn subscribe(
    engine: &mut Engine,
    peer: PeerId,
    mid: Mid,
    id: TrackId,
    now: Instant,
) -> Result<Reply, Refusal> {
    let subscriber = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    let track = engine.tracks.find_mut(id).ok_or(Refusal::UnknownTrack)?;
    if subscriber.room != track.room {
        return Err(Refusal::OtherRoom);
    }
    let (send_index, section) = subscriber.outbound.section(mid).ok_or(Refusal::UnknownMid)?;
    if section.track.is_some() || track.subscription_mut(peer).is_some() {
        return Err(Refusal::MidInUse);
    }
    if section.kind != track.kind {
        return Err(Refusal::NoCommonCodec);
    }
    let routes = track.routes_to(&section.payload_types);
    // A track whose section is inactive just now has no payload types.
    if !routes.is_empty() && routes.iter().all(|route| *route == PayloadRoute::Nowhere) {
        return Err(Refusal::NoCommonCodec);
    }
    if track.subscriptions.len() >= MAX_SUBSCRIPTIONS_PER_TRACK {
        return Err(Refusal::Full(Cap::SubscriptionsPerPeer));
    }
    section.track = Some(id);
    section.watch = Watch::default();
    // A number left out, so that nobody takes a first frame in which no keyframe can be seen for a sequel to the track before.
    let hole = u64::from(track.encrypted && track.kind == MediaKind::Video && section.packets > 0);
    let mut selector = Selector::new(track.encodings.len() as u8);
    selector.set_target(Target::whole(u8::MAX));
    let since = Since::after(track.highest_sequence());
    track.subscriptions.push(Subscription {
        subscriber: peer,
        send_index,
        edge: engine.gate.find(Flow::Track(id), peer),
        selector,
        rewriter: Rewriter::new(section.next_index + hole, section.last_timestamp.wrapping_add(1), now),
        routes,
        limit: LayerLimit::BEST,
        announced: None,
        is_young: true,
        since,
        share: None,
        too_much: false,
    });
    subscriber.outbound.number_beside_pictures();
    start(engine, id, peer, now);
    Ok(Reply::Done)
}

/// `peer` has negotiated anew: what it publishes and what it receives goes on under the new numbers, or stops where a section was
/// made inactive or refused, until it is offered again.
pub(super) fn renegotiated(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find(peer) else { return };
    let (mut changed, mut described_otherwise) = (Vec::new(), Vec::new());
    for &(mid, id) in &member.inbound.tracks {
        let Some(track) = engine.tracks.find_mut(id) else { continue };
        if track.renegotiate(member.inbound.media(mid)) {
            changed.extend(track.subscriptions.iter().map(|subscription| (id, subscription.subscriber)));
            described_otherwise.push(id);
        }
    }
    changed.extend(member.outbound.send.iter().filter_map(|section| Some((section.track?, peer))));
    changed.retain(|&(track, subscriber)| reroute(engine, track, subscriber).unwrap_or(false));
    changed.sort_unstable_by_key(|(_, subscriber)| *subscriber);
    changed.dedup_by_key(|(_, subscriber)| *subscriber);
    for (_, subscriber) in changed {
        allocate::allocate(engine, subscriber, now);
    }
    for track in described_otherwise {
        relay::track_ended(engine, track);
    }
}

/// Finds anew how the payload types of a track leave for one subscriber. Says whether that changed.
fn reroute(engine: &mut Engine, id: TrackId, subscriber: PeerId) -> Option<bool> {
    let track = engine.tracks.find_mut(id)?;
    let send_index = track.subscription_mut(subscriber)?.send_index;
    let section = engine.peers.find(subscriber)?.outbound.send.get(usize::from(send_index))?;
    let routes = track.routes_to(&section.payload_types);
    let subscription = track.subscription_mut(subscriber)?;
    let changed = subscription.routes != routes;
    if changed {
        let stopped = subscription.is_stopped();
        subscription.routes = routes;
        if stopped || subscription.is_stopped() {
            subscription.selector.reset();
        }
    }
    Some(changed)
}

pub(super) fn unsubscribe(engine: &mut Engine, peer: PeerId, mid: Mid) -> Result<Reply, Refusal> {
    let subscriber = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    let (send_index, section) = subscriber.outbound.section(mid).ok_or(Refusal::UnknownMid)?;
    let track = section.track.ok_or(Refusal::UnknownTrack)?;
    detach(engine, track, peer, send_index);
    Ok(Reply::Done)
}

/// Takes the wire away. The section's numbering goes on after every number that was handed out, sent or not: the next
/// subscription shares its SSRC and its key.
pub(super) fn detach(engine: &mut Engine, track: TrackId, subscriber: PeerId, send_index: u8) {
    let Some(state) = engine.tracks.find_mut(track) else { return };
    let Some(place) = state.subscriptions.iter().position(|subscription| subscription.subscriber == subscriber) else {
        return;
    };
    let subscription = state.subscriptions.remove(place);
    state.cancel_unneeded_keyframes();
    let Some(member) = engine.peers.find_mut(subscriber) else { return };
    let mut was_stalled = false;
    if let Some(section) = member.outbound.send.get_mut(usize::from(send_index)) {
        section.track = None;
        was_stalled = section.stall.take().is_some();
        section.last_video = None;
        section.lossy_reports = 0;
        section.next_index = section.next_index.max(subscription.rewriter.next_sequence());
        section.last_timestamp = subscription.rewriter.last_timestamp();
    }
    member.outbound.number_beside_pictures();
    if was_stalled {
        engine.emit(Event::SubscriptionStalled { subscriber, track, cause: None });
    }
}

pub(super) fn allow(
    engine: &mut Engine,
    track: TrackId,
    subscriber: PeerId,
    echo: bool,
    now: Instant,
) -> Result<Reply, Refusal> {
    let state = engine.tracks.find(track).ok_or(Refusal::UnknownTrack)?;
    let member = engine.peers.find(subscriber).ok_or(Refusal::UnknownPeer)?;
    if state.room != member.room {
        return Err(Refusal::OtherRoom);
    }
    if member.relay().is_some() {
        return relay::allow(engine, track, subscriber);
    }
    if state.participant == member.participant && !echo {
        return Err(Refusal::EchoNotAsked);
    }
    let known = engine.gate.find(Flow::Track(track), subscriber).is_some();
    let edge = engine.gate.allow(Flow::Track(track), subscriber).ok_or(Refusal::Full(Cap::Edges))?;
    if !known {
        engine.listener_gained(subscriber);
    }
    if let Some(state) = engine.tracks.find_mut(track) {
        let before = state.highest_sequence();
        if let Some(subscription) = state.subscription_mut(subscriber) {
            subscription.edge = Some(edge);
            if !known {
                subscription.begin_anew(before);
            }
        }
    }
    start(engine, track, subscriber, now);
    Ok(Reply::Done)
}

pub(super) fn revoke(engine: &mut Engine, track: TrackId, subscriber: PeerId) -> Result<Reply, Refusal> {
    engine.tracks.find(track).ok_or(Refusal::UnknownTrack)?;
    let member = engine.peers.find(subscriber).ok_or(Refusal::UnknownPeer)?;
    if member.relay().is_some() {
        relay::revoke(engine, track, subscriber);
        return Ok(Reply::Done);
    }
    let (room, participant) = (member.room, member.participant);
    let was_live = engine.gate.revoke(Flow::Track(track), subscriber);
    if let Some(state) = engine.tracks.find_mut(track) {
        if let Some(subscription) = state.subscription_mut(subscriber) {
            subscription.edge = None;
            subscription.selector.reset();
            // Nothing that went out before can be asked for again, even if the right comes back.
            subscription.rewriter.forget();
        }
        state.cancel_unneeded_keyframes();
    }
    if was_live {
        engine.listener_lost(room, participant);
    }
    Ok(Reply::Done)
}

pub(super) fn limit(
    engine: &mut Engine,
    track: TrackId,
    subscriber: PeerId,
    limit: LayerLimit,
    now: Instant,
) -> Result<Reply, Refusal> {
    let state = engine.tracks.find_mut(track).ok_or(Refusal::UnknownTrack)?;
    let holds = state.holds_encodings();
    let subscription = state.subscription_mut(subscriber).ok_or(Refusal::UnknownPeer)?;
    if holds && subscription.selector.current().is_some_and(|current| limit.encoding < current) {
        return Err(Refusal::EncodingHeld);
    }
    subscription.limit = limit;
    allocate::allocate(engine, subscriber, now);
    Ok(Reply::Done)
}

/// A subscription that has both wire and right begins at the next keyframe: ask for one.
fn start(engine: &mut Engine, track: TrackId, subscriber: PeerId, now: Instant) {
    allocate::allocate(engine, subscriber, now);
    let Some(track) = engine.tracks.find_mut(track) else { return };
    want_keyframes(track, now);
    let publisher = track.publisher;
    control::schedule_feedback(engine, publisher, now);
}

/// Asks for the keyframes that subscriptions with a right wait for.
pub(super) fn want_keyframes(track: &mut Track, now: Instant) {
    for encoding in 0..track.encodings.len() as u8 {
        let mut entitled = track.subscriptions.iter().filter(|subscription| subscription.edge.is_some());
        if entitled.any(|subscription| subscription.selector.needs_keyframe() == Some(encoding)) {
            track.want_keyframe(encoding, now);
        }
    }
}
