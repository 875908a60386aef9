//! The journey of one packet. READ THIS FIRST.
//!
//! In: [`open`] decrypts a datagram in place; [`on_rtp`] stores it once in its encoding's ring and puts a small note about it
//! into the queue of every subscription that wants it. Out: [`leave`] takes a note whose turn has come, asks the gate, writes the
//! packet for that one subscriber, stamps and seals it. Nothing is copied or sealed for a packet that does not leave.

use std::time::Instant;

use crate::bwe::pacer::PaceKind;
use crate::forward::DescriptorPatch;
use crate::forward::redundancy::Blocks;
use crate::forward::resend::{MAX_KEEP, Origin, Stored};
use crate::forward::rewriter::{Rewritten, SwitchClocks};
use crate::forward::router::{PayloadRoute, Subscription, Track};
use crate::forward::selector::Verdict;
use crate::gate::{EdgeRef, Gate};
use crate::ids::{PeerId, TrackId};
use crate::peer::srtp::SrtpError;
use crate::rtp::header::Packet;
use crate::session::{Codec, MediaKind};
use crate::slots::Slots;
use crate::stats::{Drops, EngineStats};
use crate::units::{DataSize, Epoch, Nanos};

use super::Engine;
use super::allocate;
use super::batch::{BatchWriter, Route};
use super::event::Event;
use super::intake::{self, Incoming};
use super::member::{Link, Member};
use super::outbound::QueuedPacket;
use super::pending::Pending;
use super::relay;
use super::seal::{self, Leaving, Outgoing};
use super::transmit::Sink;

/// What headers, extensions and tag add to a payload, for the pacer.
pub(super) const HEADERS: u16 = 44;

/// Opens one authentic or forged datagram that looks like RTP, in place, from an address that `from` has authenticated. What is
/// left of it is in the clear.
pub(super) fn open(engine: &mut Engine, from: PeerId, datagram: &mut [u8]) -> Option<usize> {
    let srtp = engine.peers.find_mut(from).and_then(|member| member.peer_mut()?.srtp.as_mut());
    let Some(srtp) = srtp else {
        engine.stats.drops.unauthenticated += 1;
        return None;
    };
    srtp.inbound.unprotect_rtp(datagram).map_err(|error| count_refused(&mut engine.stats.drops, error)).ok()
}

/// A packet in the clear: from a datagram that was opened, or from a bot in this process.
pub(super) fn on_rtp(engine: &mut Engine, from: PeerId, plain: &[u8], now: Instant) {
    engine.stats.rtp_packets_in += 1;
    engine.stats.rtp_bytes_in += plain.len() as u64;
    let Ok(packet) = Packet::parse(plain) else {
        return engine.stats.drops.malformed += 1;
    };
    let at = engine.epoch.nanos_at(now);
    let Some(publisher) = engine.peers.find_mut(from) else { return };
    let extensions = packet.extensions.read(&publisher.inbound.extensions);
    intake::note_arrival(publisher, &packet, &extensions, plain.len(), at, now);
    let Some((track, source)) = intake::find_track(publisher, &mut engine.tracks, &packet, &extensions) else {
        return engine.stats.drops.not_published += 1;
    };
    let Some(incoming) = intake::store(track, source, &packet, &extensions, at, now) else {
        return; // a repeat, or a probe
    };
    intake::arm_feedback(publisher, track, source.encoding, &mut engine.timers, now);
    let (room, muted) = (track.room, track.muted);
    if !std::mem::replace(&mut track.started, true) {
        track.started_at = Some(now);
        let span = publisher.joining.media_came(now);
        engine.stats.quality.join_first_packet_s.observe_span(span);
        engine.emit(Event::TrackStarted { track: source.track, codec: incoming.facts.codec });
        allocate::choose_anew(engine, source.track, now);
    }
    if muted {
        return;
    }
    let heard = extensions.audio_level.is_none_or(|level| engine.on_audio_level(room, source.track, level, now));
    let Some(track) = engine.tracks.find_mut(source.track) else { return };
    if heard {
        fan_out(
            track,
            source.encoding,
            &incoming,
            &mut engine.peers,
            &mut engine.pending,
            &mut engine.stats,
            (now, at),
        );
    } else {
        track.withhold(&incoming.facts, now);
    }
    if !track.outlets.is_empty() {
        // All of it: others choose among what they get by themselves.
        relay::pass_on(
            track,
            source.encoding,
            &incoming.facts,
            &mut engine.peers,
            &mut engine.pending,
            &mut engine.stats,
        );
    }
}

pub(super) fn pace_kind(kind: MediaKind) -> PaceKind {
    match kind {
        MediaKind::Audio => PaceKind::Audio,
        MediaKind::Video => PaceKind::Video,
    }
}

/// A note into the queue of everyone who wants this packet.
fn fan_out(
    track: &mut Track,
    encoding: u8,
    incoming: &Incoming,
    peers: &mut Slots<PeerId, Member>,
    pending: &mut Pending,
    stats: &mut EngineStats,
    (now, at): (Instant, Nanos),
) {
    let kind = pace_kind(track.kind);
    let (id, clocks, mut backlogged) = (track.id, &track.clocks, false);
    for subscription in &mut track.subscriptions {
        let Some(passing) = rewritten(subscription, encoding, incoming, clocks, stats, now) else { continue };
        let send_index = subscription.send_index;
        let Some(subscriber) = peers.find_mut(subscription.subscriber) else { continue };
        if passing.switched
            && let Some(send) = subscriber.outbound.send.get_mut(usize::from(send_index))
        {
            send.clock_untold = true;
        }
        let pacer = &mut subscriber.outbound.pacer;
        let make = || passing.queued(id, incoming.facts.sequence, encoding, send_index);
        if !pacer.push(make, kind, incoming.facts.payload_len.saturating_add(HEADERS), at) {
            stats.drops.send_queue_full += 1;
        }
        if pacer.is_long() {
            backlogged = true;
        }
        pending.note_queued(subscriber, kind);
    }
    if backlogged && let Some(encoding) = track.encodings.get_mut(usize::from(encoding)) {
        // What waits for its turn lies in the ring.
        encoding.ring.keep_for(MAX_KEEP);
    }
}

/// What a packet is to one subscription.
struct Passing {
    edge: EdgeRef,
    rewritten: Rewritten,
    payload_type: u8,
    blocks: Blocks,
    switched: bool,
}

impl Passing {
    #[inline]
    fn queued(self, track: TrackId, source: u64, encoding: u8, send_index: u8) -> QueuedPacket {
        let Self { edge, rewritten, payload_type, blocks, .. } = self;
        QueuedPacket {
            edge,
            track,
            source,
            index: rewritten.sequence,
            timestamp: rewritten.timestamp,
            patch: DescriptorPatch { picture_id: rewritten.picture_id, tl0_pic_idx: rewritten.tl0_pic_idx },
            encoding,
            send_index,
            payload_type,
            blocks,
            retransmission: false,
            blank: false,
        }
    }
}

/// What the packet is in this subscription's own numbering; `None` when it is not for this subscription.
#[inline]
fn rewritten(
    subscription: &mut Subscription,
    encoding: u8,
    incoming: &Incoming,
    clocks: &SwitchClocks,
    stats: &mut EngineStats,
    now: Instant,
) -> Option<Passing> {
    let edge = subscription.edge?;
    let facts = &incoming.facts;
    let (payload_type, mut blocks) = match subscription.routes.get(usize::from(incoming.payload_index))? {
        PayloadRoute::As { number, .. } => (*number, Blocks::All),
        PayloadRoute::PrimaryOf { number } => (*number, Blocks::Bare),
        PayloadRoute::Nowhere => return None,
    };
    if facts.codec == Codec::Red && blocks == Blocks::All && subscription.is_young {
        blocks = subscription.may_hear(facts, incoming.oldest_block)?;
    }
    let switched = match subscription.selector.wants(facts, encoding) {
        Verdict::Forward { switched } => switched,
        Verdict::Skip => return None,
        Verdict::Drop => {
            subscription.rewriter.drop_packet(facts, now);
            return None;
        }
    };
    stats.layer_switches += u64::from(switched);
    let Some(rewritten) = subscription.rewriter.rewrite(facts, encoding, switched, clocks, now) else {
        stats.drops.rewrite_rejected += 1;
        return None;
    };
    Some(Passing { edge, rewritten, payload_type, blocks, switched })
}

/// The moment of a flush, in the forms that leaving needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) at: Nanos,
    /// 24 bits of 6.18 fixed point seconds (libwebrtc, abs-send-time).
    pub(super) abs_send_time: u32,
}

impl Moment {
    pub(super) fn new(epoch: &Epoch, now: Instant) -> Self {
        const WRAPS_MICROS: u64 = 64_000_000;
        let at = epoch.nanos_at(now);
        let abs_send_time = ((at.as_micros() % WRAPS_MICROS) << 18) / 1_000_000;
        Self { instant: now, at, abs_send_time: abs_send_time as u32 }
    }
}

/// What [`leave`] needs of the engine besides the member whose turn it is.
pub(super) struct Exit<'a> {
    pub(super) tracks: &'a Slots<TrackId, Track>,
    pub(super) gate: &'a Gate,
    pub(super) witness: &'a mut crate::gate::witness::Witness,
    pub(super) stats: &'a mut EngineStats,
    pub(super) scratch: &'a mut [u8],
    /// Something left whose clock the subscriber has not been told.
    pub(super) clock_untold: bool,
}

/// One waiting packet whose turn has come leaves for its subscriber, if it still may.
pub(super) fn leave(
    exit: &mut Exit<'_>,
    subscriber: &mut Member,
    queued: &QueuedPacket,
    route: Option<Route>,
    writer: &mut BatchWriter,
    sink: &mut dyn Sink,
    now: Moment,
) {
    let outbound = &mut subscriber.outbound;
    let Some(send) = outbound.send.get_mut(usize::from(queued.send_index)) else { return };
    let Some(track) = exit.tracks.find(queued.track).filter(|track| !track.muted && send.track == Some(track.id))
    else {
        return exit.stats.drops.revoked += 1;
    };
    let nothing;
    let stored = if queued.blank {
        nothing = Origin::blank(track.id);
        Stored { origin: &nothing, extensions: &[], payload: &[] }
    } else {
        let encoding = track.encodings.get(usize::from(queued.encoding));
        let Some(stored) = encoding.and_then(|encoding| encoding.ring.find(queued.source)) else {
            return exit.stats.drops.too_late += 1;
        };
        stored
    };
    // Never under the media's SSRC: there the number was sealed once, and once more would give away the key.
    let Some(ssrc) = (if queued.retransmission { send.rtx_ssrc } else { Some(send.ssrc) }) else {
        return exit.stats.drops.rewrite_rejected += 1;
    };
    let outgoing = Outgoing {
        stored,
        payload_type: queued.payload_type,
        ssrc,
        index: if queued.retransmission { send.next_rtx_index } else { queued.index },
        timestamp: queued.timestamp,
        patch: queued.patch,
        retransmits: (queued.retransmission && !queued.blank).then_some(queued.index as u16),
        padding: if queued.blank { u8::MAX } else { 0 },
        mid: send.mid_to_write(),
        blocks: queued.blocks,
    };
    let Some(allowed) = exit.gate.admit(queued.edge, &outgoing) else {
        return exit.stats.drops.revoked += 1;
    };
    let leaving = Leaving { transport_cc: outbound.history.next_sequence(), abs_send_time: now.abs_send_time };
    let stamped = outbound.stamp.transport_cc().is_some();
    let len = match (&mut subscriber.link, route) {
        (Link::Network(peer), Some(route)) => {
            let Some(srtp) = peer.srtp.as_mut() else { return exit.stats.drops.no_route += 1 };
            let out = &mut writer.space()[..route.max_datagram()];
            let Some(lengths) = seal::write(&outgoing, &outbound.stamp, leaving, out) else {
                return exit.stats.drops.rewrite_rejected += 1;
            };
            let len = seal::seal(allowed, lengths, &mut srtp.outbound, out);
            writer.commit(len, route, stamped.then_some(leaving.transport_cc));
            len
        }
        (Link::Bot, _) => {
            let Some((_, len)) = seal::write(&outgoing, &outbound.stamp, leaving, exit.scratch) else {
                return exit.stats.drops.rewrite_rejected += 1;
            };
            sink.deliver(subscriber.id, &exit.scratch[..len]);
            len
        }
        (Link::Network(_), None) | (Link::Relay(_), _) => return exit.stats.drops.no_route += 1,
    };
    exit.witness.observe(stored.origin.track, subscriber.id);
    if stamped {
        outbound.history.on_sent(len as u16, now.at);
    }
    outbound.padding.spend(len);
    if outbound.counts_sent {
        outbound.controller.on_sent(DataSize::bytes(len as u64), now.instant);
    }
    send.on_left(queued, stored.payload.len());
    exit.clock_untold |= send.clock_untold && !queued.retransmission;
    count_left(exit.stats, queued, len);
}

fn count_left(stats: &mut EngineStats, queued: &QueuedPacket, len: usize) {
    stats.rtx_packets_out += u64::from(queued.retransmission);
    stats.rtp_packets_out += 1;
    stats.rtp_bytes_out += len as u64;
}

fn count_refused(drops: &mut Drops, error: SrtpError) {
    match error {
        SrtpError::Replayed => drops.replayed += 1,
        SrtpError::Truncated => drops.malformed += 1,
        _ => drops.unauthenticated += 1,
    }
}
