//! RTCP from a peer: what it says about what we send to it, and about what it sends.

use std::time::{Duration, Instant};

use crate::bwe::pacer::PaceKind;
use crate::forward::DescriptorPatch;
use crate::forward::redundancy::Blocks;
use crate::forward::resend::MAX_KEEP;
use crate::forward::router::PayloadRoute;
use crate::gate::Flow;
use crate::ids::{PeerId, Ssrc};
use crate::peer::srtp::SrtpError;
use crate::rtcp::nack::Nack;
use crate::rtcp::remb::Remb;
use crate::rtcp::sr::{ReportBlock, SenderReport};
use crate::rtcp::twcc::TransportFeedback;
use crate::rtcp::{self, RtcpPacket};
use crate::rtp::red;
use crate::session::{Codec, MediaKind};
use crate::stats::Drops;
use crate::units::Bitrate;

use super::outbound::{MAX_SUBSCRIPTIONS_PER_PEER, QueuedPacket};
use super::path::HEADERS;
use super::{Engine, allocate, control, relay};

/// A full intra request with the same number so soon after asks for the same keyframe: a few round trips. Later it says that the
/// keyframe did not arrive (RFC 5104 §3.5.1.1).
const FIR_REPEATED_WITHIN: Duration = Duration::from_millis(500);
/// Bytes that a retransmission has before its payload (RFC 4588 §4).
const ORIGINAL_NUMBER: u16 = 2;

/// Packets one datagram may ask for again: more than anyone can use at once, and a bound on what a hostile one costs.
pub(super) const MAX_NACKED: usize = 200;
/// Keyframes one datagram may ask for: one for each section that a peer receives.
const MAX_KEYFRAME_REQUESTS: usize = MAX_SUBSCRIPTIONS_PER_PEER;
/// Estimates, and transport-wide feedbacks, in one datagram: browsers send one, and several when they have been silent.
const MAX_FEEDBACKS: usize = 4;
/// Report blocks about what we send in one datagram: one for each section that a peer receives.
const MAX_REPORT_BLOCKS: usize = MAX_SUBSCRIPTIONS_PER_PEER;

/// For so many round trips packets are kept: lost, asked for, lost again, asked for again.
pub(super) const KEPT_ROUND_TRIPS: u32 = 4;
/// Whoever loses more than this, in 256ths, has to ask so often for some that all of them are kept as long as they are of use.
const LOSES_MUCH: u8 = 25;

/// What the rest of one datagram may still cost. What goes beyond is counted as `rate_limited` and not looked at.
struct Allowance {
    nacked: usize,
    keyframes: usize,
    feedbacks: usize,
    blocks: usize,
}

impl Allowance {
    const WHOLE: Self = Self {
        nacked: MAX_NACKED,
        keyframes: MAX_KEYFRAME_REQUESTS,
        feedbacks: MAX_FEEDBACKS,
        blocks: MAX_REPORT_BLOCKS,
    };
}

/// Takes one off what is left, if there is any.
fn take(left: &mut usize, drops: &mut Drops) -> bool {
    let rest = left.checked_sub(1);
    drops.rate_limited += u64::from(rest.is_none());
    *left = rest.unwrap_or(0);
    rest.is_some()
}

/// Opens one authentic or forged RTCP datagram, in place, from an address that `from` has authenticated. What is left of it is
/// in the clear.
pub(super) fn open(engine: &mut Engine, from: PeerId, datagram: &mut [u8]) -> Option<usize> {
    let srtp = engine.peers.find_mut(from).and_then(|member| member.peer_mut()?.srtp.as_mut());
    let drops = &mut engine.stats.drops;
    match srtp.map(|srtp| srtp.inbound.unprotect_rtcp(datagram)) {
        Some(Ok(len)) => return Some(len),
        Some(Err(SrtpError::Replayed)) => drops.replayed += 1,
        Some(Err(_)) | None => drops.unauthenticated += 1,
    }
    None
}

/// A compound packet in the clear (RFC 3550 §6.1).
pub(super) fn on_rtcp(engine: &mut Engine, from: PeerId, plain: &[u8], now: Instant) {
    let mut allowance = Allowance::WHOLE;
    if rtcp::visit(plain, |packet| on_packet(engine, from, packet, &mut allowance, now)).is_err() {
        engine.stats.drops.malformed += 1;
    }
}

fn on_packet(engine: &mut Engine, from: PeerId, packet: &RtcpPacket<'_>, allowance: &mut Allowance, now: Instant) {
    #[cfg(feature = "breakable")]
    super::breakable::heed(packet);
    match packet {
        RtcpPacket::SenderReport(report) => {
            on_sender_report(engine, from, report, &mut allowance.blocks, now);
        }
        RtcpPacket::ReceiverReport(report) => {
            on_report_blocks(engine, from, &report.reports, &mut allowance.blocks, now);
        }
        RtcpPacket::Nack(nack) => on_nack(engine, from, nack, &mut allowance.nacked, now),
        RtcpPacket::Pli(pli) => on_keyframe_request(engine, from, pli.media, None, &mut allowance.keyframes, now),
        RtcpPacket::Fir(fir) => {
            for request in &fir.requests {
                let number = Some((fir.sender, request.sequence));
                on_keyframe_request(engine, from, request.ssrc, number, &mut allowance.keyframes, now);
            }
        }
        RtcpPacket::TransportFeedback(feedback) => {
            on_transport_feedback(engine, from, feedback, &mut allowance.feedbacks, now);
        }
        RtcpPacket::Remb(remb) => on_remb(engine, from, remb, &mut allowance.feedbacks, now),
        // Names are ours to give. A goodbye is said of simulcast encodings too that are turned off and on again (libwebrtc): who
        // is gone the transport tells, and what is no longer published the negotiation.
        RtcpPacket::Sdes(_) | RtcpPacket::Bye(_) | RtcpPacket::Unknown { .. } => {}
    }
}

fn on_remb(engine: &mut Engine, from: PeerId, remb: &Remb, left: &mut usize, now: Instant) {
    if !take(left, &mut engine.stats.drops) {
        return;
    }
    let sound = sound_beside(engine, from, &remb.ssrcs, now);
    let Some(member) = engine.peers.find_mut(from) else { return };
    member.outbound.controller.on_remb(remb.bitrate + sound, now);
    let waiting_since = member.outbound.waiting_since(&engine.epoch, now);
    member.outbound.update_estimate(waiting_since, now);
    if member.outbound.allocation_due(now) {
        allocate::allocate(engine, from, now);
    } else if member.outbound.schedule_allocation(now) {
        engine.arm(from);
    }
}

/// The sound that goes to `from` beside the sources listed: an estimate covers only those (draft-alvestrand-rmcat-remb-03
/// §2.2), and there are receivers that estimate for each picture by itself.
fn sound_beside(engine: &Engine, from: PeerId, listed: &[Ssrc], now: Instant) -> Bitrate {
    let Some(member) = engine.peers.find(from) else { return Bitrate::ZERO };
    let beside =
        member.outbound.send.iter().filter(|send| send.kind == MediaKind::Audio && !listed.contains(&send.ssrc));
    let tracks = beside.filter_map(|send| engine.tracks.find(send.track?));
    tracks.filter_map(|track| track.encodings.first()).map(|encoding| encoding.reception.bitrate(now)).sum()
}

/// The publisher's clock, and what it heard of us if it is a subscriber too (RFC 3550 §6.4.1).
fn on_sender_report(engine: &mut Engine, from: PeerId, report: &SenderReport, left: &mut usize, now: Instant) {
    on_report_blocks(engine, from, &report.reports, left, now);
    let Some(member) = engine.peers.find(from) else { return };
    let Some(source) = member.inbound.source_of(report.sender) else { return };
    let Some(track) = engine.tracks.find_mut(source.track) else { return };
    track.clocks.anchors[usize::from(source.encoding)] =
        Some(crate::forward::rewriter::ClockAnchor { ntp: report.ntp, timestamp: report.timestamp });
    relay::tell_clock(track, report, &mut engine.peers, &mut engine.pending);
    let Some(encoding) = track.encodings.get_mut(usize::from(source.encoding)) else { return };
    let is_first = encoding.clock.is_none();
    encoding.on_sender_report(report.ntp, report.timestamp, now);
    if is_first {
        // Who gets it already is told with the next packet.
        for subscription in &track.subscriptions {
            if subscription.selector.current() == Some(source.encoding)
                && let Some(subscriber) = engine.peers.find_mut(subscription.subscriber)
                && let Some(send) = subscriber.outbound.send.get_mut(usize::from(subscription.send_index))
            {
                send.clock_untold = true;
            }
        }
    }
}

/// What a peer says of what we send to it. Nothing is touched but the sections that it names, each a track.
fn on_report_blocks(engine: &mut Engine, from: PeerId, blocks: &[ReportBlock], left: &mut usize, now: Instant) {
    let Some(member) = engine.peers.find_mut(from) else { return };
    for block in blocks {
        let Some(section) = member.outbound.section_of(block.ssrc) else { continue };
        if !take(left, &mut engine.stats.drops) {
            break;
        }
        member.outbound.on_report_block(section, block, &mut engine.stats, now);
        let asks_for = member.round_trip().map(|round_trip| round_trip * KEPT_ROUND_TRIPS);
        let span = (block.fraction_lost > LOSES_MUCH).then_some(MAX_KEEP).or(asks_for);
        let track = member.outbound.send.get(usize::from(section)).and_then(|send| send.track);
        if let (Some(span), Some(track)) = (span, track.and_then(|track| engine.tracks.find_mut(track))) {
            track.keep_for(span);
        }
    }
}

/// The subscriber lacks packets: those still in the ring go into its queue again (RFC 4585 §6.2.1, RFC 4588).
fn on_nack(engine: &mut Engine, from: PeerId, nack: &Nack<'_>, left: &mut usize, now: Instant) {
    for sequence in nack.lost() {
        if !take(left, &mut engine.stats.drops) {
            break;
        }
        engine.stats.nacked_packets_in += 1;
        resend(engine, from, nack.media, sequence, now);
    }
    if let Some(member) = engine.peers.find_mut(from) {
        engine.pending.note(member);
    }
}

fn resend(engine: &mut Engine, from: PeerId, media: Ssrc, sequence: u16, now: Instant) -> Option<()> {
    let member = engine.peers.find_mut(from)?;
    let round_trip = member.round_trip().unwrap_or(Duration::from_millis(50));
    let send_index = member.outbound.section_of(media)?;
    let section = member.outbound.send.get(usize::from(send_index))?;
    section.rtx_ssrc?;
    let repairs = member.outbound.repaired_rate() * section.rtx_share();
    let id = section.track?;
    let track = engine.tracks.find_mut(id)?;
    let encrypted = track.encrypted;
    let subscription = track.subscription_mut(from)?;
    let edge = subscription.edge?;
    let source = subscription.rewriter.map_back(sequence)?;
    let (routes, since) = (subscription.routes.clone(), subscription.since);
    let ring = &mut track.encodings.get_mut(usize::from(source.encoding))?.ring;
    if source.sent && ring.find(source.sequence).is_none() {
        ring.keep_for(MAX_KEEP); // too late for this one; the next is kept until then
    }
    let stored = ring.find(source.sequence)?;
    let PayloadRoute::As { rtx: Some(payload_type), .. } = *routes.get(usize::from(stored.origin.payload_index))?
    else {
        return None;
    };
    let codec = track.payload_types.get(usize::from(stored.origin.payload_index))?.codec;
    let blocks = match codec {
        Codec::Red => {
            let oldest = red::oldest(stored.payload).filter(|_| !encrypted);
            since.may_hear(source.sequence, stored.origin.timestamp, oldest)?
        }
        _ => Blocks::All,
    };
    let rewritten = source.rewrite(&stored.origin.facts(source.sequence, now));
    let len = stored.payload.len();
    let at = engine.epoch.nanos_at(now);
    if !member.outbound.recent_resends.may(send_index, sequence, round_trip, at.as_micros())
        || !member.outbound.may_retransmit(len, repairs, now)
    {
        return None;
    }
    let queued = QueuedPacket {
        edge,
        track: id,
        source: source.sequence,
        index: rewritten.sequence,
        timestamp: rewritten.timestamp,
        patch: DescriptorPatch { picture_id: rewritten.picture_id, tl0_pic_idx: rewritten.tl0_pic_idx },
        encoding: source.encoding,
        send_index,
        payload_type,
        blocks,
        retransmission: true,
        blank: false,
    };
    if !member.outbound.pacer.push(|| queued, PaceKind::Retransmission, len as u16 + HEADERS + ORIGINAL_NUMBER, at) {
        engine.stats.drops.send_queue_full += 1;
    }
    Some(())
}

/// The subscriber needs a keyframe. `number`: of a full intra request, and who makes it (RFC 5104 §4.3.1.1).
fn on_keyframe_request(
    engine: &mut Engine,
    from: PeerId,
    media: Ssrc,
    number: Option<(Ssrc, u8)>,
    left: &mut usize,
    now: Instant,
) {
    if !take(left, &mut engine.stats.drops) {
        return;
    }
    engine.stats.keyframe_requests_in += 1;
    let Some(outbound) = engine.peers.find_mut(from).map(|member| &mut member.outbound) else { return };
    let index = outbound.section_of(media).map(usize::from);
    let Some(section) = index.and_then(|index| outbound.send.get_mut(index)) else { return };
    let Some(id) = section.track else { return };
    // Only who may receive the track may cause its publisher work.
    if engine.gate.find(Flow::Track(id), from).is_none() {
        return;
    }
    if let Some(number) = number {
        let repeats = section
            .last_fir
            .is_some_and(|(last, at)| last == number && now.saturating_duration_since(at) < FIR_REPEATED_WITHIN);
        if repeats {
            return; // to the publisher we repeat by ourselves, until the keyframe comes
        }
        section.last_fir = Some((number, now));
    }
    let Some(track) = engine.tracks.find_mut(id) else { return };
    let Some(subscription) = track.subscription_mut(from) else { return };
    let wanted = subscription.selector.needs_keyframe().or(subscription.selector.current());
    if let Some(encoding) = wanted {
        track.want_keyframe(encoding, now);
    }
    let publisher = track.publisher;
    control::schedule_feedback(engine, publisher, now);
}

fn on_transport_feedback(
    engine: &mut Engine,
    from: PeerId,
    feedback: &TransportFeedback<'_>,
    left: &mut usize,
    now: Instant,
) {
    if !take(left, &mut engine.stats.drops) {
        return;
    }
    let Some(member) = engine.peers.find_mut(from) else { return };
    let outbound = &mut member.outbound;
    let forgotten = outbound.history.forgotten(feedback.base_sequence);
    let base = feedback.base_sequence.wrapping_add(forgotten);
    let statuses = feedback.statuses_from(usize::from(forgotten));
    let report = outbound.history.on_feedback(base, feedback.reference_time, statuses, &mut engine.acknowledged);
    outbound.controller.on_feedback(&report, now);
    outbound.update_estimate(None, now); // it was heard of just now
    if outbound.allocation_due(now) {
        allocate::allocate(engine, from, now);
    }
}
