//! RTCP to a peer: reports on what it sends, requests for what is missing, and the clock of what we send to it.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::forward::router::{Encoding, Track};
use crate::ids::{Cname, PeerId, Ssrc, TrackId};
use crate::rtcp::fir::Fir;
use crate::rtcp::pli::Pli;
use crate::rtcp::rr::ReceiverReport;
use crate::rtcp::sr::{ReportBlock, ReportBlocks, SenderReport};
use crate::rtcp::twcc::FeedbackBuilder;
use crate::rtcp::{nack, sdes};
use crate::session::CongestionFeedback;
use crate::slots::Slots;
use crate::stats::EngineStats;

use super::feedback::KEPT_ROUND_TRIPS;
use super::inbound::MAX_TRACKS_PER_PEER;
use super::member::Member;
use super::send_track::MAX_JITTER_S;
use super::timers::together;
use super::{Engine, ceiling};

/// Receiver and sender reports: browsers send theirs about once a second too.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The round trip taken before one is measured.
const ROUND_TRIP_GUESS: Duration = Duration::from_millis(100);

/// Whatever has come due for `peer`.
pub(super) fn on_timeout(engine: &mut Engine, peer: PeerId, now: Instant) {
    if engine.peers.find(peer).is_some_and(|member| member.inbound.report_at.is_some_and(|at| at <= now)) {
        report_to_publisher(engine, peer, now);
    }
    if engine.peers.find(peer).is_some_and(|member| member.outbound.report_at.is_some_and(|at| at <= now)) {
        report_to_subscriber(engine, peer, now);
    }
}

fn report_to_publisher(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    let tracks: ArrayVec<TrackId, MAX_TRACKS_PER_PEER> =
        member.inbound.tracks.iter().map(|(_, track)| *track).collect();
    let sender = Ssrc(member.ssrc_base);
    let lead = (!member.inbound.reduced_size).then(|| own_name(member, &engine.tracks));
    member.rtcp.lead_with(|out| {
        let nothing = ReceiverReport { sender, reports: ReportBlocks::new() };
        named(nothing.write(out)?, sender, lead.as_ref()?, out)
    });
    let round_trip = member.round_trip().unwrap_or(ROUND_TRIP_GUESS);
    let mut next = None;
    let mut soonest = |at: Option<Instant>| next = [next, at].into_iter().flatten().min();

    if member.inbound.congestion == CongestionFeedback::TransportCc {
        transport_feedback(member, sender, now);
        soonest(member.inbound.arrivals.poll_timeout());
    }
    let mut blocks = ReportBlocks::new();
    let reports_due = member.inbound.reception_at.is_none_or(|at| at <= now);
    for id in tracks {
        let Some(track) = engine.tracks.find_mut(id) else { continue };
        let nack_wanted = track.nack_enabled;
        let (inbound, mid) = (&member.inbound, &track.mid);
        let only_fir = || inbound.media(*mid).is_some_and(|media| media.fir && !media.pli);
        for encoding in &mut track.encodings {
            let Some(ssrc) = encoding.ssrc else { continue };
            if nack_wanted {
                let lost = encoding.recovery.poll_request(round_trip, now);
                if !lost.is_empty() {
                    // The answer must find its place, and those to the next requests.
                    encoding.ring.keep_for(encoding.recovery.longest_wait(now) + round_trip * KEPT_ROUND_TRIPS);
                    let asked = member.rtcp.push(|out| nack::write(sender, ssrc, &lost, out));
                    engine.stats.nacked_packets_out += if asked { lost.len() as u64 } else { 0 };
                }
                soonest(encoding.recovery.poll_timeout());
            }
            if encoding.keyframes.poll_pli(now)
                && member.rtcp.push(|out| {
                    let number = encoding.keyframes.number();
                    if only_fir() {
                        return Fir::of_one(sender, ssrc, number).write(out);
                    }
                    Pli { sender, media: ssrc }.write(out)
                })
            {
                engine.stats.keyframe_requests_out += 1;
                if encoding.keyframes_hidden {
                    // Nobody here could tell that it came; a subscriber that still lacks it asks again.
                    encoding.keyframes.satisfy();
                }
            }
            soonest(encoding.keyframes.poll_timeout());
            if reports_due
                && let Some(block) = reception(encoding, ssrc, track.clocks.clock_rate_hz, &mut engine.stats, now)
            {
                let _ = blocks.try_push(block);
            }
        }
    }
    if std::mem::take(&mut member.inbound.ceiling_untold) || reports_due {
        ceiling::tell(member, &engine.tracks, now);
    }
    if reports_due {
        member.inbound.reception_at = Some(together(&engine.epoch, now + REPORT_INTERVAL));
        if !blocks.is_empty() {
            let name = own_name(member, &engine.tracks);
            let report = ReceiverReport { sender, reports: blocks };
            member.rtcp.push_report(|out| named(report.write(out)?, sender, &name, out));
        }
    }
    if engine.peers.find(peer).is_some_and(|member| !member.inbound.tracks.is_empty()) {
        soonest(engine.peers.find(peer).and_then(|member| member.inbound.reception_at));
    }
    if let Some(member) = engine.peers.find_mut(peer) {
        member.inbound.report_at = next;
        engine.pending.note(member);
    }
}

/// The name of the SSRC in which we report: that of the track it carries, if it carries one.
fn own_name(member: &Member, tracks: &Slots<TrackId, Track>) -> Cname {
    let carried = member.outbound.send.first().and_then(|send| tracks.find(send.track?));
    carried.map_or(member.participant, |track| track.participant).cname()
}

/// Names the sender of a report of so many bytes (RFC 3550 §6.1). Also where reduced size was agreed on: that is for feedback,
/// not for regular reports (RFC 5506).
fn named(report_len: usize, sender: Ssrc, name: &Cname, out: &mut [u8]) -> Option<usize> {
    Some(report_len + sdes::write(sender, name, &mut out[report_len..])?)
}

/// What arrived of one encoding since the last report, which the statistics hear too.
fn reception(
    encoding: &mut Encoding,
    ssrc: Ssrc,
    clock_rate_hz: u32,
    stats: &mut EngineStats,
    now: Instant,
) -> Option<ReportBlock> {
    let report = encoding.reception.report()?;
    stats.quality.loss_in.observe(f64::from(report.fraction_lost) / 256.0);
    let jitter_s = f64::from(report.jitter) / f64::from(clock_rate_hz.max(1));
    stats.quality.jitter_s.observe(jitter_s.min(MAX_JITTER_S));
    stats.lost_packets_in += report.lost_lately;
    let (last_sr, delay_since_last_sr) = encoding.last_sender_report(now);
    Some(ReportBlock {
        ssrc,
        fraction_lost: report.fraction_lost,
        cumulative_lost: report.cumulative_lost,
        highest_sequence: report.highest_sequence,
        jitter: report.jitter,
        last_sr,
        delay_since_last_sr,
    })
}

/// What arrived since the last feedback, by transport-wide number.
fn transport_feedback(member: &mut Member, sender: Ssrc, now: Instant) {
    let media = member.inbound.last_ssrc;
    let builder = member.inbound.feedback.get_or_insert_with(|| FeedbackBuilder::new(sender));
    while let Some(arrived) = member.inbound.arrivals.poll_report(now) {
        let mut told = 0;
        while told < arrived.count {
            let base = arrived.base_sequence + told as u64;
            let mut statuses = 0;
            let written = member.rtcp.push(|out| {
                let built = builder.write(media, base, arrived.arrivals().skip(told), out)?;
                statuses = built.statuses;
                Some(built.len)
            });
            if !written || statuses == 0 {
                return;
            }
            told += statuses;
        }
    }
}

/// Sender reports on the clock of each source, so that lips stay with the voice across every switch (RFC 3550 §6.4.1).
fn report_to_subscriber(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    if member.peer().is_some() {
        // Bots have no downlink, and are told of clocks by no report: their layers are chosen anew, no more.
        for index in 0..member.outbound.send.len() {
            tell_clock(member, index, &engine.tracks, now);
        }
        let quality = &mut engine.stats.quality;
        quality.estimate_bps.observe(member.outbound.estimate.target.as_bps() as f64);
        quality.send_queue_s.observe(member.outbound.pacer.oldest_wait(engine.epoch.nanos_at(now)).as_secs_f64());
    }
    member.outbound.report_at = Some(together(&engine.epoch, now + REPORT_INTERVAL));
    let waiting_since = member.outbound.waiting_since(&engine.epoch, now);
    member.outbound.update_estimate(waiting_since, now);
    engine.pending.note(member);
    super::allocate::allocate(engine, peer, now);
}

/// The clocks of what has just begun or goes on with another encoding: lips must not wait for the next report.
#[cold]
pub(super) fn tell_clocks(member: &mut Member, tracks: &Slots<TrackId, Track>, now: Instant) {
    for index in 0..member.outbound.send.len() {
        let send = &mut member.outbound.send[index];
        if send.packets > 0 && std::mem::take(&mut send.clock_untold) {
            tell_clock(member, index, tracks, now);
        }
    }
}

fn tell_clock(member: &mut Member, index: usize, tracks: &Slots<TrackId, Track>, now: Instant) {
    let Some((report, cname)) = sender_report(&member.outbound.send[index], tracks, member.id, now) else { return };
    let ntp = report.ntp;
    let written = member.rtcp.push_report(|out| named(report.write(out)?, report.sender, &cname, out));
    if written {
        member.outbound.note_sender_report(ntp, now);
    }
}

fn sender_report(
    send: &super::send_track::SendTrack,
    tracks: &Slots<TrackId, Track>,
    peer: PeerId,
    now: Instant,
) -> Option<(SenderReport, Cname)> {
    if send.packets == 0 {
        return None;
    }
    let track = tracks.find(send.track?)?;
    let subscription = track.subscriptions.iter().find(|subscription| subscription.subscriber == peer)?;
    subscription.edge?;
    let encoding = track.encodings.get(usize::from(subscription.selector.current()?))?;
    let (ntp, source_timestamp) = encoding.clock_at(track.clocks.clock_rate_hz, now)?;
    let report = SenderReport {
        sender: send.ssrc,
        ntp,
        timestamp: source_timestamp.wrapping_add(subscription.rewriter.timestamp_offset()),
        packets: send.packets as u32,
        octets: send.bytes as u32,
        reports: ReportBlocks::new(),
    };
    Some((report, track.participant.cname()))
}
