//! What we send to one peer: its media sections, the queue before the pacer, and what we think its downlink carries.

use std::time::{Duration, Instant};

use crate::bwe::allocator::Allocator;
use crate::bwe::estimator::{Controller, DelayController, Estimate, Limit};
use crate::bwe::history::History;
use crate::bwe::pacer::Pacer;
use crate::bwe::remb_controller::RembController;
use crate::forward::DescriptorPatch;
use crate::forward::redundancy::Blocks;
use crate::gate::EdgeRef;
use crate::ids::{Mid, Ssrc, TrackId};
use crate::prefetch::prefetch;
use crate::rtcp::sr::ReportBlock;
use crate::session::{CongestionFeedback, MediaKind, NegotiatedSession};
use crate::stats::EngineStats;
use crate::units::{Bitrate, Epoch, NtpTime};

use super::probe::PaddingCredit;
use super::seal::Stamp;
use super::send_track::SendTrack;

/// Media sections in which we send to one peer: 24 faces with sound and a shared screen with sound.
pub const MAX_SUBSCRIPTIONS_PER_PEER: usize = 50;
/// What is sent beyond the estimate may leave this much faster than it is made, as keyframes are larger than other frames.
const FORCED_PACING: f64 = 1.25;
/// A smaller change of the estimate changes no choice; each second the layers are chosen anew anyway.
const ESTIMATE_MOVED: f64 = 0.05;
/// Layers are chosen anew at most this often; every feedback would be too often.
const ALLOCATE_INTERVAL: Duration = Duration::from_millis(200);
/// Retransmission budget that can be saved up.
const RTX_BURST: Duration = Duration::from_millis(500);

/// A packet waiting for its turn: which one, and what it will be. Its bytes stay in the publisher's ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueuedPacket {
    pub(crate) edge: EdgeRef,
    pub(crate) track: TrackId,
    /// Source sequence number: the key into the ring.
    pub(crate) source: u64,
    /// Our index for it; for a retransmission the index it had when it was first sent.
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) patch: DescriptorPatch,
    pub(crate) encoding: u8,
    pub(crate) send_index: u8,
    pub(crate) payload_type: u8,
    pub(crate) blocks: Blocks,
    pub(crate) retransmission: bool,
    /// Whether it is padding alone, among the retransmissions: its bytes are gone, and more is to be found out about the path.
    pub(crate) blank: bool,
}

/// In the order written: what every packet touches comes first and lies together, see `prefetch.rs`.
#[repr(C)]
pub(crate) struct Outbound {
    pub(crate) pacer: Pacer<QueuedPacket>,
    pub(crate) history: History,
    pub(crate) stamp: Stamp,
    /// Whether the controller counts what leaves.
    pub(crate) counts_sent: bool,
    pub(crate) controller: Box<dyn Controller>,
    pub(crate) send: Vec<SendTrack>,
    pub(crate) padding: PaddingCredit,
    /// What the controller said last.
    pub(crate) estimate: Estimate,
    /// The pace of what is sent although it exceeds the estimate; zero when nothing is.
    forced_rate: Bitrate,
    /// When the layers were last chosen, and for which estimate.
    allocated: Option<(Instant, Estimate)>,
    pub(crate) report_at: Option<Instant>,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) allocator: Allocator,
    /// Scratch of the allocator.
    pub(crate) targets: Vec<crate::bwe::allocator::Target>,
    /// Our last sender reports, to read the round trip from what comes back: middle of the NTP time, and when it left.
    sent_reports: [(u32, Option<Instant>); SENT_REPORTS],
    next_sent_report: usize,
    rtx_budget: RtxBudget,
    pub(crate) recent_resends: RecentResends,
}

/// Sound of which this much is lost is not understood without an effort ...
const MUCH_LOSS: f64 = 0.08;
/// ... and is no passing trouble after so many reports.
const BROKEN_REPORTS: u8 = 4;
/// Of what is silent or muted nobody reports; browsers report of sound each five seconds at the rarest.
const SPOKEN_OF_WITHIN: Duration = Duration::from_secs(12);
/// Sender reports remembered: of all the sections of one peer, which report together.
const SENT_REPORTS: usize = 64;
const _: () = assert!(SENT_REPORTS >= crate::session::MAX_MEDIA, "each is remembered until it is quoted");

impl Outbound {
    /// Fetches what an estimate touches, beside the controller's own.
    #[inline]
    pub(crate) fn prefetch_estimate(&self) {
        prefetch(&self.forced_rate);
        prefetch(&self.allocated);
        self.allocator.prefetch();
    }

    /// Fetches what a packet that leaves touches.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.pacer);
        prefetch(&self.history);
        prefetch(&self.send);
        prefetch(&self.padding);
        prefetch(&self.estimate);
    }

    pub(crate) fn new(initial: Bitrate, now: Instant) -> Self {
        Self {
            stamp: Stamp::default(),
            pacer: Pacer::new(initial * 2.5),
            history: History::default(),
            counts_sent: false,
            controller: Box::new(DelayController::new(initial)),
            estimate: Estimate {
                target: initial,
                pacing: initial * 2.5,
                padding_to: Bitrate::ZERO,
                limit: Limit::None,
            },
            allocator: Allocator::new(now),
            targets: Vec::new(),
            send: Vec::new(),
            report_at: None,
            round_trip: None,
            sent_reports: [(0, None); SENT_REPORTS],
            next_sent_report: 0,
            rtx_budget: RtxBudget::default(),
            padding: PaddingCredit::default(),
            recent_resends: RecentResends::default(),
            forced_rate: Bitrate::ZERO,
            allocated: None,
        }
    }

    /// Applies a negotiation. Sections keep their place; returns false, and changes nothing, when one contradicts its past.
    pub(crate) fn apply(&mut self, session: &NegotiatedSession, first: FirstNumbers, initial: Bitrate) -> bool {
        let contradicts = self.send.iter().zip(&session.send).any(|(ours, theirs)| ours.contradicts(theirs));
        if contradicts || session.send.len() < self.send.len() || session.send.len() > MAX_SUBSCRIPTIONS_PER_PEER {
            return false;
        }
        if self.send.is_empty() && session.feedback != CongestionFeedback::TransportCc {
            self.controller = Box::new(RembController::new(initial));
            self.counts_sent = self.controller.counts_sent();
        }
        self.stamp = Stamp::new(&session.extensions);
        for (index, (known, media)) in self.send.iter_mut().zip(&session.send).enumerate() {
            if known.ssrc != media.ssrc {
                *known = SendTrack::new(media, first);
                // Of the track before, nothing leaves under the SSRC of the next.
                self.pacer.retain(|queued| usize::from(queued.send_index) != index);
                continue;
            }
            known.payload_types.clone_from(&media.payload_types);
            // A known SSRC stays: its numbers go on from where they are, whether or not it is in use.
            known.rtx_ssrc = known.rtx_ssrc.or(media.rtx_ssrc);
        }
        for media in &session.send[self.send.len()..] {
            self.send.push(SendTrack::new(media, first));
        }
        let send = &self.send;
        self.pacer
            .retain(|queued| send.get(usize::from(queued.send_index)).is_some_and(|section| section.takes(queued)));
        self.number_beside_pictures();
        true
    }

    /// Packets have transport-wide numbers while a picture is received. Sound alone leaves nothing to divide, and every number is
    /// answered: each of a hundred listeners would wake us twenty times a second. Of loss and round trip receiver reports tell.
    pub(crate) fn number_beside_pictures(&mut self) {
        let is_picture = |section: &SendTrack| section.kind == MediaKind::Video && section.track.is_some();
        self.stamp.set_numbers(self.send.iter().any(is_picture));
    }

    /// Since when something is on its way of which nothing was heard yet.
    pub(crate) fn waiting_since(&mut self, epoch: &Epoch, now: Instant) -> Option<Instant> {
        self.history.waiting_since(epoch.nanos_at(now)).map(|sent| epoch.instant_at(sent))
    }

    /// Asks the controller what may be sent now.
    pub(crate) fn update_estimate(&mut self, waiting_since: Option<Instant>, now: Instant) {
        self.estimate = self.controller.tick(waiting_since, now);
        // As layers are chosen for it: what is sent although it exceeds the estimate is no dip.
        let exceeds = matches!(self.estimate.limit, Limit::None | Limit::Loss);
        let forced_rate = if exceeds { self.forced_rate * (1.0 / FORCED_PACING) } else { Bitrate::ZERO };
        self.allocator.on_estimate(self.estimate.target.max(forced_rate), now);
        self.pacer.set_rate(self.estimate.pacing.max(self.forced_rate));
    }

    /// What is sent although it exceeds the estimate, repairs included. It leaves at that pace: a picture held back until it
    /// is too old is a broken picture, and as much on the wire.
    pub(crate) fn force_rate(&mut self, rate: Bitrate) {
        self.forced_rate = rate * FORCED_PACING;
        self.pacer.set_rate(self.estimate.pacing.max(self.forced_rate));
    }

    /// The rate of which repairs take their share.
    pub(crate) fn repaired_rate(&self) -> Bitrate {
        self.estimate.target.max(self.forced_rate)
    }

    /// Whether the layers are to be chosen anew: the estimate has changed enough to matter.
    pub(crate) fn allocation_due(&mut self, now: Instant) -> bool {
        let estimate = self.estimate;
        let due = self.allocated.is_none_or(|(at, last)| {
            let moved = (estimate.target.as_f64() - last.target.as_f64()).abs() > last.target.as_f64() * ESTIMATE_MOVED;
            (moved || estimate.limit != last.limit) && now.saturating_duration_since(at) >= ALLOCATE_INTERVAL
        });
        if due {
            self.allocated = Some((now, estimate));
        }
        due
    }

    /// Has the next report, with which the layers are chosen anew, come as soon as they may be: the estimate has changed,
    /// and no other may follow for a second. Says whether it comes sooner now.
    pub(crate) fn schedule_allocation(&mut self, now: Instant) -> bool {
        let Some((at, last)) = self.allocated else { return false };
        let soon = (at + ALLOCATE_INTERVAL).max(now);
        let sooner = last != self.estimate && self.report_at.is_none_or(|report| soon < report);
        if sooner {
            self.report_at = Some(soon);
        }
        sooner
    }

    pub(crate) fn section(&mut self, mid: Mid) -> Option<(u8, &mut SendTrack)> {
        self.send.iter_mut().enumerate().find(|(_, send)| send.mid == mid).map(|(index, send)| (index as u8, send))
    }

    /// Which section the remote speaks of.
    pub(crate) fn section_of(&self, ssrc: Ssrc) -> Option<u8> {
        self.send.iter().position(|send| send.ssrc == ssrc).map(|index| index as u8)
    }

    /// Whether sound has not come through well for a while.
    pub(crate) fn is_voice_broken(&self, now: Instant) -> bool {
        let spoken_of = |at: Instant| now.saturating_duration_since(at) < SPOKEN_OF_WITHIN;
        let sound = self.send.iter().filter(|send| send.kind == MediaKind::Audio && send.track.is_some());
        let sound = sound.filter(|send| send.reported_at.is_some_and(spoken_of));
        sound.map(|send| send.lossy_reports).max().unwrap_or(0) >= BROKEN_REPORTS
    }

    /// A receiver report block about one of our sections (RFC 3550 §6.4.1).
    pub(crate) fn on_report_block(&mut self, section: u8, block: &ReportBlock, stats: &mut EngineStats, now: Instant) {
        let Some(send) = self.send.get_mut(usize::from(section)) else { return };
        send.acknowledged = true;
        send.reported_at = Some(now);
        send.loss = f64::from(block.fraction_lost) / 256.0;
        send.lossy_reports = if send.loss >= MUCH_LOSS {
            (send.lossy_reports + 1).min(2 * BROKEN_REPORTS)
        } else {
            send.lossy_reports.saturating_sub(1)
        };
        stats.quality.loss_out.observe(send.loss);
        stats.quality.jitter_out_s.observe(send.jitter_s(block));
        // Reports are the remote's to write: it cannot have lost more than was sent.
        let lost_in_all = u64::try_from(block.cumulative_lost).unwrap_or(0).min(send.packets);
        stats.lost_packets_out += lost_in_all.saturating_sub(send.lost);
        send.lost = send.lost.max(lost_in_all);
        let (received, lost) = send.reported(block);
        // Who has not heard of us since quotes the same again: that is no new measurement.
        let is_new = send.quoted.replace(block.last_sr) != Some(block.last_sr);
        let measured = self.round_trip_from(block.last_sr, block.delay_since_last_sr, now).filter(|_| is_new);
        if let Some(round_trip) = measured {
            self.round_trip = Some(round_trip);
            stats.quality.rtt_s.observe(round_trip.as_secs_f64());
            self.controller.on_rtt(round_trip, now);
        }
        self.controller.on_loss_report(received, lost, now);
    }

    /// Notes a sender report, so that the round trip can be read from the reports that quote it.
    pub(crate) fn note_sender_report(&mut self, ntp: NtpTime, now: Instant) {
        self.sent_reports[self.next_sent_report] = (ntp.middle(), Some(now));
        self.next_sent_report = (self.next_sent_report + 1) % SENT_REPORTS;
    }

    /// Whether a retransmission of `bytes` fits the rate that repairs may take.
    pub(crate) fn may_retransmit(&mut self, bytes: usize, allowed: Bitrate, now: Instant) -> bool {
        self.rtx_budget.take(bytes, allowed, now)
    }

    fn round_trip_from(&self, last_sender_report: u32, delay_65536ths: u32, now: Instant) -> Option<Duration> {
        if last_sender_report == 0 {
            return None;
        }
        let (_, sent) = self.sent_reports.iter().find(|(middle, _)| *middle == last_sender_report)?;
        let held = Duration::from_micros(u64::from(delay_65536ths) * 1_000_000 / 65_536);
        now.saturating_duration_since((*sent)?).checked_sub(held)
    }
}

/// Where the numbering of a new section starts; random, as RFC 3550 §5.1 asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstNumbers {
    pub(crate) index: u64,
    pub(crate) rtx_index: u64,
    pub(crate) timestamp: u32,
}

/// A bucket of bytes that fills at a share of the estimate.
#[derive(Debug, Default)]
struct RtxBudget {
    bytes: u64,
    filled_at: Option<Instant>,
}

impl RtxBudget {
    fn take(&mut self, bytes: usize, rate: Bitrate, now: Instant) -> bool {
        // The smallest bucket lets the weakest link repair a few packets.
        let cap = rate.bytes_in(RTX_BURST).as_bytes().max(8_000);
        let span = self.filled_at.map_or(RTX_BURST, |at| now.saturating_duration_since(at).min(RTX_BURST));
        self.bytes = (self.bytes + rate.bytes_in(span).as_bytes()).min(cap);
        if self.filled_at.is_none() {
            self.bytes = cap;
        }
        self.filled_at = Some(now);
        let enough = self.bytes >= bytes as u64;
        if enough {
            self.bytes -= bytes as u64;
        }
        enough
    }
}

/// Places that remember resends: more than one round trip of them.
const RESEND_PLACES: usize = 256;

/// Which packets were sent again lately: not again within a round trip.
#[derive(Debug)]
pub(crate) struct RecentResends {
    places: Box<[Option<Resend>; RESEND_PLACES]>,
}

#[derive(Debug, Clone, Copy)]
struct Resend {
    section: u8,
    sequence: u16,
    /// The low bits of milliseconds: what was sent 49 days ago is taken for new, which costs one round trip.
    millis: u32,
}

impl Default for RecentResends {
    fn default() -> Self {
        Self { places: Box::new([None; RESEND_PLACES]) }
    }
}

impl RecentResends {
    /// Whether the packet may be sent again now, so many microseconds after the engine began; notes that it is.
    pub(crate) fn may(&mut self, section: u8, sequence: u16, round_trip: Duration, now_micros: u64) -> bool {
        let millis = (now_micros / 1_000) as u32;
        let place = &mut self.places[(usize::from(sequence) ^ (usize::from(section) << 4)) % RESEND_PLACES];
        let too_soon = place.is_some_and(|last| {
            let since = Duration::from_millis(u64::from(millis.wrapping_sub(last.millis)));
            last.section == section && last.sequence == sequence && since < round_trip
        });
        if !too_soon {
            *place = Some(Resend { section, sequence, millis });
        }
        !too_soon
    }
}
