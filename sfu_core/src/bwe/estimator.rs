//! How fast a subscriber may be sent to (RFC 8836): the interface, and the controller that reads transport-wide feedback, which
//! tells the rate that arrives, whether a queue grows, and what is lost. `remb_controller.rs` has the other one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::aimd::Aimd;
use super::history::Feedback;
use super::loss::LossWatch;
use super::trendline::{Trendline, Usage};
use crate::prefetch::prefetch;
use crate::units::{Bitrate, DataSize};

/// Never above: what one subscriber of a meeting can use.
pub const MAX_RATE: Bitrate = Bitrate::kbps(30_000);
/// Packets leave this much faster than the target, so that a keyframe does not hold up what follows.
pub(super) const PACING_FACTOR: f64 = 1.5;
/// What arrived is measured over this span.
const ARRIVED_SPAN_MICROS: u64 = 500_000;
/// Most packets in that measure: 30 Mbit/s in full packets.
const MAX_ARRIVED: usize = 2_048;
/// While packets are on their way, feedback is overdue after this and three round trips ...
const FEEDBACK_TIMEOUT: Duration = Duration::from_millis(500);
/// ... and each time that passes, the rate goes down to this share.
const TIMEOUT_FACTOR: f64 = 0.8;
/// After overuse there is no padding for this long: the path was full a moment ago.
const NO_PADDING_AFTER_OVERUSE: Duration = Duration::from_secs(5);
/// A queue shorter than this is none.
const QUEUE_SEEN: Duration = Duration::from_millis(30);

/// What limits the rate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nothing known does.
    #[default]
    None,
    /// A queue grows.
    Delay,
    /// Too much is lost.
    Loss,
    /// Feedback does not come.
    Silence,
    /// The subscriber says so (REMB).
    Remote,
}

/// What may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// All packets together, over a second or so.
    pub target: Bitrate,
    /// How fast a burst may leave.
    pub pacing: Bitrate,
    /// Where more is wanted than is sent: media is to be filled up with repairs and padding to this rate, so that more
    /// can be proved. Zero when it is not.
    pub padding_to: Bitrate,
    /// What limits the target.
    pub limit: Limit,
}

/// Finds out how fast one subscriber may be sent to.
pub trait Controller: Send {
    /// Whether it counts what leaves by itself; the others learn of it from the history of what was stamped.
    fn counts_sent(&self) -> bool {
        false
    }
    /// A packet left; called only when it [counts them](Self::counts_sent).
    fn on_sent(&mut self, _size: DataSize, _now: Instant) {}
    /// Transport-wide feedback told something new.
    fn on_feedback(&mut self, feedback: &Feedback<'_>, now: Instant);
    /// A round trip was measured.
    fn on_rtt(&mut self, rtt: Duration, now: Instant);
    /// A receiver report told what came and what was lost since the one before (RFC 3550 §6.4.1).
    fn on_loss_report(&mut self, received: u32, lost: u32, now: Instant);
    /// The subscriber told its own estimate.
    fn on_remb(&mut self, limit: Bitrate, now: Instant);
    /// Packets now take another path.
    fn on_route_change(&mut self, now: Instant);
    /// How much would be sent if it were allowed.
    fn set_desired(&mut self, desired: Bitrate);
    /// What may be sent now; call it after each of the above, and once a second where nothing comes. `waiting_since` is
    /// since when something is on its way.
    fn tick(&mut self, waiting_since: Option<Instant>, now: Instant) -> Estimate;
    /// Fetches what feedback touches first.
    fn prefetch(&self);
    /// Fetches what that leads to, once it is there.
    fn prefetch_arrivals(&self) {}
}

/// A packet that arrived lately.
#[derive(Debug, Default, Clone, Copy)]
struct Arrival {
    /// The low bits of when: those remembered are never further apart than [`ARRIVED_SPAN_MICROS`].
    micros: u32,
    size: u16,
}

/// Estimates from transport-wide feedback.
#[derive(Debug, Clone)]
pub struct DelayController {
    start: Bitrate,
    aimd: Aimd,
    trendline: Trendline,
    loss: LossWatch,
    arrived: VecDeque<Arrival>,
    /// Ends of `arrived`, which lies elsewhere in memory: when the last came, and the first with its size.
    latest_micros: i64,
    oldest: Arrival,
    arrived_bytes: u64,
    desired: Bitrate,
    rtt: Duration,
    last_feedback: Option<Instant>,
    /// When it last backed off because nothing was heard.
    silent_at: Option<Instant>,
    over_at: Option<Instant>,
    limit: Limit,
}

impl DelayController {
    /// Begins at `start`.
    pub fn new(start: Bitrate) -> Self {
        Self {
            start,
            aimd: Aimd::new(start, MAX_RATE),
            trendline: Trendline::default(),
            loss: LossWatch::default(),
            arrived: VecDeque::new(),
            latest_micros: 0,
            oldest: Arrival::default(),
            arrived_bytes: 0,
            desired: Bitrate::ZERO,
            rtt: Duration::from_millis(100),
            last_feedback: None,
            silent_at: None,
            over_at: None,
            limit: Limit::None,
        }
    }

    /// The rate at which packets arrived lately, once it is known.
    pub fn arrived(&self) -> Option<Bitrate> {
        let span = u64::from((self.latest_micros as u32).wrapping_sub(self.oldest.micros));
        if self.arrived.is_empty() || span < ARRIVED_SPAN_MICROS / 5 {
            return None;
        }
        let size = DataSize::bytes(self.arrived_bytes - u64::from(self.oldest.size));
        Some(Bitrate::of(size, Duration::from_micros(span)))
    }

    /// The queue on the way, as delays show it.
    pub fn queue(&self) -> Duration {
        Duration::from_micros(self.trendline.queue_micros().max(0) as u64)
    }

    /// The share of packets lost lately.
    pub fn loss(&self) -> f64 {
        self.loss.last()
    }

    fn count_arrival(&mut self, arrival_micros: i64, size: u16) {
        let before = if self.arrived.is_empty() { arrival_micros } else { self.latest_micros };
        self.latest_micros = arrival_micros.max(before);
        if self.latest_micros.saturating_sub(before) as u64 > ARRIVED_SPAN_MICROS * 4 {
            self.arrived.clear(); // a pause: the rate before it says nothing
            self.arrived_bytes = 0;
        }
        let arrival = Arrival { micros: self.latest_micros as u32, size };
        if self.arrived.is_empty() {
            self.oldest = arrival;
        }
        self.arrived.push_back(arrival);
        self.arrived_bytes += u64::from(size);
        while u64::from(arrival.micros.wrapping_sub(self.oldest.micros)) > ARRIVED_SPAN_MICROS
            || self.arrived.len() > MAX_ARRIVED
        {
            self.arrived.pop_front();
            self.arrived_bytes -= u64::from(self.oldest.size);
            self.oldest = self.arrived.front().copied().unwrap_or(arrival);
        }
    }

    /// Backs off, again and again, while packets leave and nothing is heard.
    fn watch_silence(&mut self, waiting_since: Option<Instant>, now: Instant) {
        let (Some(sent), Some(heard)) = (waiting_since, self.last_feedback) else { return };
        let since = self.silent_at.map_or(heard, |at| at.max(heard)).max(sent);
        if now.saturating_duration_since(since) >= FEEDBACK_TIMEOUT + self.rtt * 3 {
            self.aimd.lower_to(self.aimd.rate() * TIMEOUT_FACTOR, now);
            self.silent_at = Some(now);
            self.limit = Limit::Silence;
        }
    }
}

impl Controller for DelayController {
    fn prefetch(&self) {
        prefetch(self);
    }

    fn prefetch_arrivals(&self) {
        /// Packets that one feedback tells of, mostly: as many leave the measure.
        const USUAL: usize = 16;
        for arrival in self.arrived.iter().take(USUAL).step_by(8) {
            prefetch(arrival);
        }
        if let Some(last) = self.arrived.back() {
            prefetch(last);
        }
    }

    fn on_feedback(&mut self, feedback: &Feedback<'_>, now: Instant) {
        if self.limit == Limit::Silence {
            self.aimd.restart();
        }
        self.last_feedback = Some(now);
        for packet in feedback.acknowledged {
            self.trendline.on_packet(packet);
            self.count_arrival(packet.arrival_micros, packet.size);
        }
        if feedback.acknowledged.is_empty() && feedback.lost == 0 {
            return;
        }
        let usage = self.trendline.usage();
        let (queue, arrived) = (self.queue(), self.arrived());
        self.aimd.update(usage, queue, arrived, now);
        self.limit = Limit::None;
        if usage == Usage::Over {
            self.limit = Limit::Delay;
            self.over_at = Some(now);
        }
        let (received, queued) = (feedback.acknowledged.len() as u32, queue > QUEUE_SEEN);
        if let Some(factor) = self.loss.on_feedback(received, feedback.lost, queued, now) {
            self.aimd.lower_to(lowered_by_loss(self.aimd.rate(), factor, arrived, queued), now);
            self.limit = Limit::Loss;
            self.over_at = Some(now);
        }
    }

    fn on_rtt(&mut self, rtt: Duration, _now: Instant) {
        self.rtt = rtt.min(Duration::from_secs(2));
        self.aimd.set_rtt(rtt);
    }

    fn on_loss_report(&mut self, _received: u32, _lost: u32, _now: Instant) {
        // Transport-wide feedback tells the same, sooner.
    }

    fn on_remb(&mut self, _limit: Bitrate, _now: Instant) {
        // Never both: a subscriber with transport-wide feedback does not estimate by itself.
    }

    fn on_route_change(&mut self, _now: Instant) {
        let start = self.aimd.rate().min(self.start);
        let desired = self.desired;
        *self = Self { desired, ..Self::new(start) };
    }

    fn set_desired(&mut self, desired: Bitrate) {
        self.desired = desired;
    }

    fn tick(&mut self, waiting_since: Option<Instant>, now: Instant) -> Estimate {
        self.watch_silence(waiting_since, now);
        let target = self.aimd.rate();
        let calm = self.over_at.is_none_or(|at| now.saturating_duration_since(at) >= NO_PADDING_AFTER_OVERUSE);
        let pads = calm && self.desired > target && matches!(self.limit, Limit::None);
        let padding_to = if pads { target } else { Bitrate::ZERO };
        Estimate { target, pacing: target * PACING_FACTOR, padding_to, limit: self.limit }
    }
}

/// What `rate` is after a loss. Without a queue it is never less than what arrived in spite of it, even if that is more than
/// before: the path carries that, and a radio that loses a fifth of everything loses a fifth of less, too.
pub(super) fn lowered_by_loss(rate: Bitrate, factor: f64, arrived: Option<Bitrate>, queued: bool) -> Bitrate {
    let carried = arrived.filter(|_| !queued).unwrap_or(Bitrate::ZERO);
    (rate * factor).max(carried)
}

#[cfg(test)]
mod tests;
