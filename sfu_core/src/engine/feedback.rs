//! RTCP from a peer: what it says about what we send to it, and about what it sends.

use std::time::{Duration, Instant};

use crate::bwe::pacer::PaceKind;
use crate::forward::router::PayloadRoute;
use crate::ids::{PeerId, Ssrc};
use crate::peer::srtp::SrtpError;
use crate::rtcp::nack::Nack;
use crate::rtcp::sr::{ReportBlock, SenderReport};
use crate::rtcp::twcc::TransportFeedback;
use crate::rtcp::{self, RtcpPacket};
use crate::session::MediaKind;
use crate::units::Bitrate;

use super::Engine;
use super::control;
use super::outbound::Queued;
use super::path::flow_of;
use super::seal::DescriptorPatch;

/// Packets one NACK may ask for: more than anyone can use at once, and a bound on what a hostile one costs.
const MAX_NACKED: usize = 200;

/// For so many round trips packets are kept: lost, asked for, lost again, asked for again.
const KEPT_ROUND_TRIPS: u32 = 4;

/// One authenticated or forged RTCP datagram from an address that `from` has proved to own.
pub(super) fn on_rtcp(engine: &mut Engine, from: PeerId, datagram: &mut [u8], now: Instant) {
    let Some(srtp) = engine.peers.find_mut(from).and_then(|member| member.peer_mut()?.srtp.as_mut()) else {
        return engine.stats.drops.unauthenticated += 1;
    };
    let plain = match srtp.inbound.unprotect_rtcp(datagram) {
        Ok(len) => &datagram[..len],
        Err(SrtpError::Replayed) => return engine.stats.drops.replayed += 1,
        Err(_) => return engine.stats.drops.unauthenticated += 1,
    };
    if rtcp::visit(plain, |packet| on_packet(engine, from, packet, now)).is_err() {
        engine.stats.drops.malformed += 1;
    }
}

fn on_packet(engine: &mut Engine, from: PeerId, packet: &RtcpPacket<'_>, now: Instant) {
    match packet {
        RtcpPacket::SenderReport(report) => on_sender_report(engine, from, report, now),
        RtcpPacket::ReceiverReport(report) => on_report_blocks(engine, from, &report.reports, now),
        RtcpPacket::Nack(nack) => on_nack(engine, from, nack, now),
        RtcpPacket::Pli(pli) => on_keyframe_request(engine, from, pli.media, now),
        RtcpPacket::Fir(fir) => {
            for request in &fir.requests {
                on_keyframe_request(engine, from, request.ssrc, now);
            }
        }
        RtcpPacket::TransportFeedback(feedback) => on_transport_feedback(engine, from, feedback, now),
        RtcpPacket::Remb(remb) => {
            let sound = sound_beside(engine, from, &remb.ssrcs, now);
            let Some(member) = engine.peers.find_mut(from) else { return };
            member.outbound.controller.on_remb(remb.bitrate + sound, now);
            member.outbound.estimate_anew(now);
            if member.outbound.allocation_due(now) {
                control::allocate(engine, from, now);
            } else if member.outbound.hasten_report(now) {
                engine.arm(from);
            }
        }
        _ => {}
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
fn on_sender_report(engine: &mut Engine, from: PeerId, report: &SenderReport, now: Instant) {
    on_report_blocks(engine, from, &report.reports, now);
    let Some(member) = engine.peers.find(from) else { return };
    let Some(source) = member.inbound.source_of(report.sender) else { return };
    let Some(track) = engine.tracks.find_mut(source.track) else { return };
    track.clocks.anchors[usize::from(source.encoding)] =
        Some(crate::forward::rewriter::ClockAnchor { ntp: report.ntp, timestamp: report.timestamp });
    if let Some(encoding) = track.encodings.get_mut(usize::from(source.encoding)) {
        encoding.on_sender_report(report.ntp, report.timestamp, now);
    }
}

fn on_report_blocks(engine: &mut Engine, from: PeerId, blocks: &[ReportBlock], now: Instant) {
    let Some(member) = engine.peers.find_mut(from) else { return };
    for block in blocks {
        member.outbound.on_report_block(block, &mut engine.stats, now);
    }
    let Some(round_trip) = member.round_trip() else { return };
    for track in member.outbound.send.iter().filter_map(|send| send.track) {
        if let Some(track) = engine.tracks.find_mut(track) {
            track.keep_for(round_trip * KEPT_ROUND_TRIPS);
        }
    }
}

/// The subscriber lacks packets: those still in the ring go into its queue again (RFC 4585 §6.2.1, RFC 4588).
fn on_nack(engine: &mut Engine, from: PeerId, nack: &Nack<'_>, now: Instant) {
    for sequence in nack.lost().take(MAX_NACKED) {
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
    let repairs = member.outbound.repaired_rate() * section.repair_share();
    let id = section.track?;
    let track = engine.tracks.find_mut(id)?;
    let subscription = track.subscription_mut(from)?;
    let edge = subscription.edge?;
    let source = subscription.rewriter.map_back(sequence)?;
    let routes = subscription.routes.clone();
    let stored = track.encodings.get(usize::from(source.encoding))?.ring.find(source.sequence)?;
    let PayloadRoute::As { rtx: Some(payload_type), .. } = *routes.get(usize::from(stored.origin.payload_index))?
    else {
        return None;
    };
    let rewritten = source.rewrite(&stored.origin.facts(source.sequence, now));
    let len = stored.payload.len();
    if !member.outbound.recent_resends.may(send_index, sequence, round_trip, engine.epoch.micros_at(now))
        || !member.outbound.may_retransmit(len, repairs, now)
    {
        return None;
    }
    let queued = Queued {
        edge,
        track: id,
        source: source.sequence,
        index: rewritten.sequence,
        timestamp: rewritten.timestamp,
        patch: DescriptorPatch { picture_id: rewritten.picture_id, tl0_pic_idx: rewritten.tl0_pic_idx },
        encoding: source.encoding,
        send_index,
        payload_type,
        primary_only: false,
        retransmission: true,
    };
    if !member.outbound.pacer.push(queued, PaceKind::Retransmission, len as u16, now) {
        engine.stats.drops.send_queue_full += 1;
    }
    Some(())
}

fn on_keyframe_request(engine: &mut Engine, from: PeerId, media: Ssrc, now: Instant) {
    engine.stats.keyframe_requests_in += 1;
    let Some(member) = engine.peers.find(from) else { return };
    let section = member.outbound.section_of(media).and_then(|index| member.outbound.send.get(usize::from(index)));
    let Some(id) = section.and_then(|section| section.track) else { return };
    // Only who may receive the track may cause its publisher work.
    if engine.gate.find(flow_of(id), from).is_none() {
        return;
    }
    let Some(track) = engine.tracks.find_mut(id) else { return };
    let Some(subscription) = track.subscription_mut(from) else { return };
    let wanted = subscription.selector.needs_keyframe().or(subscription.selector.current());
    if let Some(encoding) = wanted {
        track.want_keyframe(encoding, now);
    }
    let publisher = track.publisher;
    control::wake_publisher(engine, publisher, now);
}

fn on_transport_feedback(engine: &mut Engine, from: PeerId, feedback: &TransportFeedback<'_>, now: Instant) {
    let Some(member) = engine.peers.find_mut(from) else { return };
    let outbound = &mut member.outbound;
    let statuses = feedback.statuses().map(|(_, delta)| delta);
    let report = outbound.history.on_feedback(feedback.base_sequence, feedback.reference_time, statuses, now);
    outbound.controller.on_feedback(&report, now);
    outbound.estimate_anew(now);
    if outbound.allocation_due(now) {
        control::allocate(engine, from, now);
    }
}
