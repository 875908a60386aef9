//! What the next few datagrams and peers will touch, fetched into the caches together, level after level: what a level
//! finds is what the next one follows. Reads only; leaving it out changes nothing but the time, and it is left out for good
//! once it broke.

use arrayvec::ArrayVec;

use super::Engine;
use super::member::Member;
use super::transmit::Datagram;
use crate::demux::{DatagramKind, Demux, classify};
use crate::forward::router::{Encoding, Track};
use crate::ids::{PeerId, Ssrc, TrackId};
use crate::peer::srtp::SrtpOutbound;
use crate::prefetch::{prefetch, prefetch_start};
use crate::rtp::header;
use crate::session::MediaKind;

/// Datagrams or peers looked at together: their lines fit the first-level cache beside the work.
pub(super) const GROUP: usize = 8;
/// Subscriptions of a track that are fetched: those of a small room. In a large one the caches learn the way by themselves.
const SUBSCRIPTIONS: usize = 4;
/// Payload types of a track that are fetched: those that its sender prefers.
const USUAL_PAYLOAD_TYPES: usize = 2;

/// A packet on its way in, as far as it is known before it is opened.
#[derive(Clone, Copy)]
struct Coming {
    publisher: PeerId,
    /// `None` for RTCP.
    rtp: Option<(Ssrc, u16)>,
    /// How many of the same stream come one after the other, and their bytes.
    packets: usize,
    bytes: usize,
}

/// A packet of media whose track is known.
#[derive(Clone, Copy)]
struct Media {
    track: TrackId,
    encoding: u8,
    sequence_number: u16,
    coming: Coming,
}

/// Whose address each datagram of a group came from, found on the way: looked up once, not twice.
#[derive(Default)]
pub(super) struct Senders {
    peers: ArrayVec<Option<PeerId>, GROUP>,
    /// Of the table when they were looked up.
    version: u64,
}

impl Senders {
    /// The sender of the datagram at `place`, unless that is unknown or may have changed since.
    #[inline]
    pub(super) fn of(&self, place: usize, demux: &Demux) -> Option<PeerId> {
        self.peers.get(place).copied().flatten().filter(|_| self.version == demux.version())
    }
}

/// Fetches what [`Engine::ingest_one`] will touch for each of `group`, and says who sent it.
pub(super) fn of_datagrams(engine: &Engine, group: &[Datagram<'_>]) -> Senders {
    let mut senders = Senders { version: engine.demux.version(), ..Senders::default() };
    let coming = recognised(engine, group, &mut senders.peers);
    for next in &coming {
        if let Some(member) = engine.peers.find(next.publisher) {
            fetch_member(member, next.rtp.is_some());
        }
    }
    let media = find_media(engine, &coming);
    for next in &coming {
        if let Some(srtp) = engine.peers.find(next.publisher).and_then(|member| member.peer()?.srtp.as_ref()) {
            srtp.inbound.prefetch(next.rtp.is_some());
        }
    }
    for next in coming.iter().filter(|next| next.rtp.is_none()) {
        if let Some(member) = engine.peers.find(next.publisher) {
            member.outbound.controller.prefetch_arrivals();
        }
    }
    for fetch in [fetch_subscriptions, fetch_subscribers, fetch_queues] {
        for next in &media {
            if let Some(track) = engine.tracks.find(next.track) {
                fetch(engine, track, next);
            }
        }
    }
    senders
}

/// The packets of known senders, those of one stream that follow each other taken as one.
fn recognised(
    engine: &Engine,
    group: &[Datagram<'_>],
    senders: &mut ArrayVec<Option<PeerId>, GROUP>,
) -> ArrayVec<Coming, GROUP> {
    let mut coming: ArrayVec<Coming, GROUP> = ArrayVec::new();
    for datagram in group.iter().take(GROUP) {
        let rtp = match classify(datagram.bytes) {
            DatagramKind::Rtp => header::peek(datagram.bytes).ok().map(|header| (header.ssrc, header.sequence_number)),
            DatagramKind::Rtcp => None,
            _ => {
                senders.push(None);
                continue;
            }
        };
        let publisher = engine.demux.peer_at(datagram.source);
        senders.push(publisher);
        let Some(publisher) = publisher else { continue };
        #[cfg(test)]
        assert!(engine.broken_ahead != Some(publisher), "the test wants this to break");
        let stream = rtp.map(|(ssrc, _)| ssrc);
        let same = |last: &&mut Coming| last.publisher == publisher && last.rtp.map(|(ssrc, _)| ssrc) == stream;
        if let Some(last) = coming.last_mut().filter(same) {
            last.packets += 1;
            last.bytes += datagram.bytes.len();
        } else {
            coming.push(Coming { publisher, rtp, packets: 1, bytes: datagram.bytes.len() });
        }
    }
    coming
}

/// Fetches the transports of the senders, and finds and fetches the tracks of those who send media.
fn find_media(engine: &Engine, coming: &[Coming]) -> ArrayVec<Media, GROUP> {
    let mut media = ArrayVec::new();
    for &coming in coming {
        let Some(member) = engine.peers.find(coming.publisher) else { continue };
        fetch_transport(member, coming.rtp.is_some());
        let Some((ssrc, sequence_number)) = coming.rtp else { continue };
        let Some(source) = member.inbound.source_of(ssrc) else { continue };
        engine.tracks.prefetch(source.track);
        media.push(Media { track: source.track, encoding: source.encoding, sequence_number, coming });
    }
    for next in &media {
        let Some(track) = engine.tracks.find(next.track) else { continue };
        track.prefetch();
        if let Some(encoding) = track.encodings.get(usize::from(next.encoding)) {
            prefetch(encoding);
        }
    }
    media
}

fn fetch_subscriptions(engine: &Engine, track: &Track, next: &Media) {
    if let Some(room) = engine.rooms.find(track.room).filter(|_| track.kind == MediaKind::Audio) {
        room.speakers.prefetch();
    }
    prefetch(&track.payload_types[..track.payload_types.len().min(USUAL_PAYLOAD_TYPES)]);
    for subscription in track.subscriptions.iter().take(SUBSCRIPTIONS) {
        subscription.prefetch();
    }
    if let Some(encoding) = track.encodings.get(usize::from(next.encoding)) {
        encoding.ring.prefetch(next.sequence_number, next.coming.packets, next.coming.bytes);
    }
}

fn fetch_subscribers(engine: &Engine, track: &Track, _next: &Media) {
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

fn fetch_queues(engine: &Engine, track: &Track, _next: &Media) {
    for subscription in track.subscriptions.iter().take(SUBSCRIPTIONS) {
        if let Some(subscriber) = engine.peers.find(subscription.subscriber) {
            subscriber.outbound.pacer.prefetch();
        }
    }
}

fn fetch_member(member: &Member, rtp: bool) {
    prefetch(&member.link);
    prefetch(&member.armed);
    if rtp {
        member.inbound.prefetch();
    } else {
        member.outbound.prefetch();
    }
}

fn fetch_transport(member: &Member, rtp: bool) {
    if let Some(peer) = member.peer() {
        prefetch(&peer.srtp);
    }
    if rtp {
        member.inbound.arrivals.prefetch();
    } else {
        member.outbound.controller.prefetch();
        member.outbound.prefetch_estimate();
        member.outbound.history.prefetch_recent();
    }
}

/// Fetches what [`super::report`] will touch for `first` and those whose timers come next.
pub(super) fn of_timers(engine: &Engine, first: PeerId) {
    let peers: ArrayVec<PeerId, GROUP> = std::iter::once(first).chain(engine.timers.coming()).take(GROUP).collect();
    #[cfg(test)]
    assert!(engine.broken_ahead.is_none_or(|broken| !peers.contains(&broken)), "the test wants this to break");
    let members = || peers.iter().filter_map(|&id| engine.peers.find(id));
    for member in members() {
        prefetch(&member.link);
        prefetch(&member.rtcp);
        prefetch(&member.armed);
        prefetch(&member.outbound.report_at);
        prefetch(&member.outbound.round_trip);
        member.inbound.prefetch();
    }
    for member in members() {
        member.inbound.arrivals.prefetch_report();
        for &(_, track) in &member.inbound.tracks {
            if let Some(track) = engine.tracks.find(track) {
                prefetch_start(&track.encodings, size_of::<Encoding>());
            }
        }
    }
}

/// Fetches what [`super::flush`] will touch for each of `peers`.
pub(super) fn of_peers(engine: &Engine, peers: &[PeerId]) {
    #[cfg(test)]
    assert!(engine.broken_ahead.is_none_or(|broken| !peers.contains(&broken)), "the test wants this to break");
    let members = || peers.iter().filter_map(|&id| engine.peers.find(id));
    for member in members() {
        prefetch(&member.link);
        prefetch(&member.route);
        prefetch(&member.rtcp);
        member.outbound.prefetch();
    }
    for member in members() {
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
    for member in members() {
        if let Some(srtp) = member.peer().and_then(|peer| peer.srtp.as_ref()) {
            srtp.outbound.prefetch();
        }
        let Some(queued) = member.outbound.pacer.peek() else { continue };
        engine.gate.prefetch(queued.edge);
        engine.witness.prefetch(queued.track);
        if let Some(track) = engine.tracks.find(queued.track)
            && let Some(encoding) = track.encodings.get(usize::from(queued.encoding))
        {
            track.prefetch();
            prefetch(&encoding.ring);
        }
    }
}
