//! What comes next is fetched into the caches while what is at hand is worked on. What is found in memory says what is needed
//! after it, so there are stages: while some packets are taken in, those of the next have their queues fetched, those after them
//! the subscriptions that name these, and so on. Each stage finds what it reads already there.
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

/// Runs that go through a stage together: one after the other, the calls would cost more.
const RUNS: usize = 4;
/// Peers that are looked at together: their lines fit the first-level cache beside the work.
pub(super) const PEERS: usize = 8;
/// Subscriptions of a track that are fetched: those of a small room. In a large one the caches learn the way by themselves.
const SUBSCRIPTIONS: usize = 4;
/// Payload types of a track that are fetched: those that its sender prefers.
const USUAL_PAYLOAD_TYPES: usize = 2;

/// Something to fetch for each of some items, of which the stage before fetched where it lies.
type Stage<T> = fn(&Engine, &mut [T]);

/// How to look ahead along a list.
pub(super) struct Lookahead<T: 'static> {
    stages: &'static [Stage<T>],
    /// Items that go through a stage together.
    together: usize,
}

impl<T> Lookahead<T> {
    /// Call it before working on `items[at]`, for each `at` in turn: the last stage for that item, the one before for the next
    /// item, and so on.
    #[inline]
    pub(super) fn advance(&self, engine: &mut Engine, items: &mut [T], at: usize) {
        if at.is_multiple_of(self.together) {
            engine.look_ahead(|engine| self.fetch(engine, items, at));
        }
    }

    fn fetch(&self, engine: &Engine, items: &mut [T], at: usize) {
        if at == 0 {
            // Nothing is on its way yet: stage after stage for the first few, so that they wait together.
            for (done, stage) in self.stages.iter().enumerate() {
                let count = items.len().min((self.stages.len() - done - 1) * self.together);
                stage(engine, &mut items[..count]);
            }
        }
        for (distance, stage) in self.stages.iter().rev().enumerate() {
            let Some(rest) = items.get_mut(at + distance * self.together..) else { break };
            let count = rest.len().min(self.together);
            stage(engine, &mut rest[..count]);
        }
    }
}

/// What is needed to take in datagrams.
pub(super) const FOR_RUNS: Lookahead<Run> = Lookahead {
    together: RUNS,
    stages: &[
        |engine, runs| runs.iter_mut().for_each(|run| find_sender(engine, run)),
        |engine, runs| runs.iter().for_each(|run| with_member(engine, run, fetch_member)),
        |engine, runs| {
            for run in runs {
                with_member(engine, run, fetch_transport);
                find_track(engine, run);
            }
        },
        |engine, runs| {
            for run in runs {
                with_member(engine, run, fetch_keys);
                fetch_track(engine, run);
            }
        },
        |engine, runs| runs.iter().for_each(|run| with_track(engine, run, fetch_subscriptions)),
        |engine, runs| runs.iter().for_each(|run| with_track(engine, run, fetch_subscribers)),
        |engine, runs| runs.iter().for_each(|run| with_track(engine, run, fetch_queues)),
    ],
};

/// Fetches what [`super::flush`] will touch for each of `peers`, all steps at once: a large audience is in the caches anyway, and
/// stages would cost it more than they gain.
pub(super) fn of_peers(engine: &Engine, peers: &[PeerId]) {
    #[cfg(test)]
    assert!(engine.broken_ahead.is_none_or(|broken| !peers.contains(&broken)), "the test wants this to break");
    for member in members(engine, peers) {
        prefetch(&member.link);
        prefetch(&member.route);
        prefetch(&member.rtcp);
        member.outbound.prefetch();
    }
    for member in members(engine, peers) {
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
    }
    for member in members(engine, peers) {
        if let Some(srtp) = member.peer().and_then(|peer| peer.srtp.as_ref()) {
            srtp.outbound.prefetch();
        }
        let Some(queued) = member.outbound.pacer.peek() else { continue };
        engine.gate.prefetch(queued.edge);
        engine.witness.prefetch(queued.track);
        if let Some(track) = engine.tracks.find(queued.track)
            && let Some(encoding) = track.encodings.get(usize::from(queued.encoding))
        {
            prefetch(&track.id);
            prefetch(&encoding.ring);
        }
    }
}

/// What is needed to report to peers: the timers name them, see [`super::report`].
pub(super) const FOR_REPORTS: Lookahead<PeerId> = Lookahead {
    together: PEERS,
    stages: &[
        find_peers,
        |engine, peers| {
            for member in members(engine, peers) {
                prefetch(&member.link);
                prefetch(&member.rtcp);
                prefetch(&member.armed);
                prefetch(&member.outbound.report_at);
                prefetch(&member.outbound.round_trip);
                member.inbound.prefetch();
            }
        },
        |engine, peers| {
            for member in members(engine, peers) {
                member.inbound.arrivals.prefetch_report();
                for &(_, track) in &member.inbound.tracks {
                    engine.tracks.prefetch_start(track, offset_of!(Track, encodings) + size_of::<Encoding>());
                }
            }
        },
    ],
};

fn find_peers(engine: &Engine, peers: &mut [PeerId]) {
    for &mut peer in peers {
        #[cfg(test)]
        assert!(engine.broken_ahead != Some(peer), "the test wants this to break");
        engine.peers.prefetch(peer);
    }
}

#[inline]
fn members<'a>(engine: &'a Engine, peers: &[PeerId]) -> impl Iterator<Item = &'a Member> {
    peers.iter().filter_map(|&peer| engine.peers.find(peer))
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
        encoding.ring.prefetch(sequence_number, run.datagrams.len(), run.bytes);
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
