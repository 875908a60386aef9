//! What comes next is fetched into the caches while what is at hand is worked on. What is found in memory says what is needed
//! after it, so there are stages: while one peer's packets leave, those of the next have their keys fetched, those of the one
//! after it the transport in which these are found, and so on. Each stage finds what it reads already there.
//!
//! Reads only; leaving it out changes nothing but the time, and it is left out for good once it broke.

use std::mem::offset_of;

use super::Engine;
use super::ingest::Run;
use super::member::Member;
use super::path;
use crate::forward::router::{Encoding, Track};
use crate::ids::{PeerId, Ssrc};
use crate::peer::srtp::SrtpOutbound;
use crate::prefetch::{prefetch, prefetch_start};
use crate::session::MediaKind;

/// Subscriptions of a track that are fetched: those of a small room. In a large one the caches learn the way by themselves.
const SUBSCRIPTIONS: usize = 4;
/// Payload types of a track that are fetched: those that its sender prefers.
const USUAL_PAYLOAD_TYPES: usize = 2;

/// Something to fetch for one item, of which the stage before fetched where it lies.
type Stage<T> = fn(&Engine, &mut T);

/// What is needed to take in datagrams.
pub(super) const RUN_STAGES: [Stage<Run>; 7] = [
    find_sender,
    |engine, run| with_member(engine, run, fetch_member),
    |engine, run| {
        with_member(engine, run, fetch_transport);
        find_track(engine, run);
    },
    |engine, run| {
        with_member(engine, run, fetch_keys);
        fetch_track(engine, run);
    },
    |engine, run| with_track(engine, run, fetch_subscriptions),
    |engine, run| with_track(engine, run, fetch_subscribers),
    |engine, run| with_track(engine, run, fetch_queues),
];

/// What is needed to send to a peer.
pub(super) const PEER_STAGES: [Stage<PeerId>; 4] = [
    |engine, peer| {
        #[cfg(test)]
        assert!(engine.broken_ahead != Some(*peer), "the test wants this to break");
        engine.peers.prefetch(*peer);
    },
    |engine, peer| {
        let Some(member) = engine.peers.find(*peer) else { return };
        prefetch(&member.link);
        prefetch(&member.route);
        prefetch(&member.rtcp);
        member.outbound.prefetch();
    },
    |engine, peer| {
        let Some(member) = engine.peers.find(*peer) else { return };
        if let Some(peer) = member.peer() {
            prefetch_start(&peer.srtp, size_of::<SrtpOutbound>());
        }
        member.outbound.history.prefetch_next();
        if let Some(queued) = member.outbound.pacer.peek() {
            prefetch(queued);
        }
        for send in member.outbound.send.iter().take(SUBSCRIPTIONS) {
            prefetch(send);
        }
    },
    |engine, peer| {
        let Some(member) = engine.peers.find(*peer) else { return };
        if let Some(srtp) = member.peer().and_then(|peer| peer.srtp.as_ref()) {
            srtp.outbound.prefetch();
        }
        let Some(queued) = member.outbound.pacer.peek() else { return };
        engine.gate.prefetch(queued.edge);
        engine.witness.prefetch(queued.track);
        if let Some(track) = engine.tracks.find(queued.track)
            && let Some(encoding) = track.encodings.get(usize::from(queued.encoding))
        {
            track.prefetch(queued.encoding);
            prefetch(&encoding.ring);
        }
    },
];

/// What is needed to report to a peer: the timers name it, see [`super::report`].
pub(super) const TIMER_STAGES: [Stage<PeerId>; 3] = [
    |engine, peer| {
        #[cfg(test)]
        assert!(engine.broken_ahead != Some(*peer), "the test wants this to break");
        engine.peers.prefetch(*peer);
    },
    |engine, peer| {
        let Some(member) = engine.peers.find(*peer) else { return };
        prefetch(&member.link);
        prefetch(&member.rtcp);
        prefetch(&member.armed);
        prefetch(&member.outbound.report_at);
        prefetch(&member.outbound.round_trip);
        member.inbound.prefetch();
    },
    |engine, peer| {
        let Some(member) = engine.peers.find(*peer) else { return };
        member.inbound.arrivals.prefetch_report();
        for &(_, track) in &member.inbound.tracks {
            engine.tracks.prefetch_start(track, offset_of!(Track, encodings) + size_of::<Encoding>());
        }
    },
];

/// Call it before working on `items[at]`, for each `at` in turn: the last stage for that item, the one before for the next item,
/// and so on.
pub(super) fn advance<T>(engine: &mut Engine, stages: &[Stage<T>], items: &mut [T], at: usize) {
    engine.look_ahead(|engine| {
        if at == 0 {
            // Nothing is on its way yet: stage after stage for the first few, so that they wait together.
            for (done, stage) in stages.iter().enumerate() {
                items.iter_mut().take(stages.len() - done - 1).for_each(|item| stage(engine, item));
            }
        }
        for (distance, stage) in stages.iter().rev().enumerate() {
            let Some(item) = items.get_mut(at + distance) else { break };
            stage(engine, item);
        }
    });
}

fn find_sender(engine: &Engine, run: &mut Run) {
    run.sender = engine.demux.peer_at(run.source);
    let Some(sender) = run.sender else { return };
    #[cfg(test)]
    assert!(engine.broken_ahead != Some(sender), "the test wants this to break");
    engine.peers.prefetch(sender);
}

#[inline]
fn with_member(engine: &Engine, run: &Run, fetch: impl FnOnce(&Member, &Run)) {
    if let Some(member) = run.sender.and_then(|sender| engine.peers.find(sender)) {
        fetch(member, run);
    }
}

#[inline]
fn with_track(engine: &Engine, run: &Run, fetch: impl FnOnce(&Engine, &Track, &Encoding, &Run)) {
    if let Some(source) = run.found
        && let Some(track) = engine.tracks.find(source.track)
        && let Some(encoding) = track.encodings.get(usize::from(source.encoding))
    {
        fetch(engine, track, encoding, run);
    }
}

fn fetch_member(member: &Member, run: &Run) {
    prefetch(&member.link);
    prefetch(&member.armed);
    if run.rtp.is_some() {
        member.inbound.prefetch();
    } else {
        member.outbound.prefetch();
    }
}

fn fetch_transport(member: &Member, run: &Run) {
    if let Some(peer) = member.peer() {
        prefetch(&peer.srtp);
    }
    if run.rtp.is_some() {
        member.inbound.arrivals.prefetch();
    } else {
        member.outbound.controller.prefetch();
        member.outbound.prefetch_estimate();
        member.outbound.history.prefetch_recent();
    }
}

fn find_track(engine: &Engine, run: &mut Run) {
    let Some(Ssrc(ssrc)) = run.rtp.map(|(ssrc, _)| ssrc) else { return };
    let member = run.sender.and_then(|sender| engine.peers.find(sender));
    run.found = member.and_then(|member| member.inbound.source_of(Ssrc(ssrc)));
    if let Some(source) = run.found {
        engine.tracks.prefetch(source.track);
    }
}

fn fetch_keys(member: &Member, run: &Run) {
    if let Some(srtp) = member.peer().and_then(|peer| peer.srtp.as_ref()) {
        srtp.inbound.prefetch(run.rtp.is_some());
    }
    if run.rtp.is_none() {
        member.outbound.controller.prefetch_arrivals();
    }
}

fn fetch_track(engine: &Engine, run: &Run) {
    if let Some(source) = run.found
        && let Some(track) = engine.tracks.find(source.track)
    {
        track.prefetch(source.encoding);
    }
}

fn fetch_subscriptions(engine: &Engine, track: &Track, encoding: &Encoding, run: &Run) {
    if let Some(room) = engine.rooms.find(track.room).filter(|_| track.kind == MediaKind::Audio) {
        room.speakers.prefetch();
    }
    prefetch(&track.payload_types[..track.payload_types.len().min(USUAL_PAYLOAD_TYPES)]);
    for subscription in track.subscriptions.iter().take(SUBSCRIPTIONS) {
        subscription.prefetch();
    }
    if let Some((_, sequence_number)) = run.rtp {
        encoding.ring.prefetch(sequence_number, run.datagrams.len());
        engine.log.prefetch(run.bytes);
    }
}

fn fetch_subscribers(engine: &Engine, track: &Track, _encoding: &Encoding, _run: &Run) {
    if let Some(room) = engine.rooms.find(track.room).filter(|_| track.kind == MediaKind::Audio) {
        room.speakers.prefetch_voices();
    }
    for subscription in track.subscriptions.iter().take(SUBSCRIPTIONS) {
        subscription.rewriter.prefetch_ring();
        if let Some(subscriber) = engine.peers.find(subscription.subscriber) {
            prefetch(&subscriber.outbound.pacer);
            prefetch(&subscriber.pending);
        }
    }
}

fn fetch_queues(engine: &Engine, track: &Track, _encoding: &Encoding, run: &Run) {
    let kind = path::pace_kind(track.kind);
    for subscription in track.subscriptions.iter().take(SUBSCRIPTIONS) {
        if let Some(subscriber) = engine.peers.find(subscription.subscriber) {
            subscriber.outbound.pacer.prefetch(kind, run.datagrams.len());
        }
    }
}
