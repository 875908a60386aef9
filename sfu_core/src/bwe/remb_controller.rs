//! What a subscriber may be sent that tells only its own estimate (draft-alvestrand-rmcat-remb-03) and receiver reports.
//!
//! A REMB below what is sent says one of two things: a queue grows, or the subscriber has not seen more yet, for it never
//! tells much more than what arrives. Round trip and loss tell which; without either, it is no limit.

use std::time::{Duration, Instant};

use super::aimd::MIN_RATE;
use super::estimator::{Controller, Estimate, Limit, MAX_RATE, PACING_FACTOR, lowered_by_loss};
use super::history::Feedback;
use super::loss::LossWatch;
use crate::prefetch::prefetch;
use crate::units::{Bitrate, DataSize};

/// Longer than any queue lasts that is being drained.
const BASE_SPAN: Duration = Duration::from_secs(30);
/// What left is measured over this span: as long as receiver reports take.
const SENT_SPAN: Duration = Duration::from_secs(1);
/// Growth in a second while the subscriber reports no limit.
const REPORT_GROWTH: f64 = 1.08;
/// The same between these multiples of where the path was found to be full.
const CAREFUL_GROWTH: f64 = 1.02;
const NEAR: f64 = 0.9;
const FAR: f64 = 1.5;
/// How long after a loss there is no growth.
const NO_GROWTH_AFTER_LOSS: Duration = Duration::from_secs(2);
/// A round trip this much longer than the shortest is a queue; less may be a subscriber who is slow to answer.
const QUEUE_IN_RTT: Duration = Duration::from_millis(150);
/// While there is one: this share of what the path carries, but not less than this share of the rate before.
const DRAIN: f64 = 0.85;
const MOST_DRAIN: f64 = 0.7;
/// Receiver reports come about once in a second; a queue that three do not tell of is gone.
const QUEUE_LIFE: Duration = Duration::from_secs(3);

/// Follows the subscriber's own estimate and its receiver reports.
#[derive(Debug, Clone)]
pub struct RembController {
    start: Bitrate,
    rate: Bitrate,
    remote: Option<Bitrate>,
    loss: LossWatch,
    sent: SentRate,
    desired: Bitrate,
    ticked: Option<Instant>,
    lowered: Option<Instant>,
    /// The rate to which the last queue lowered it first.
    full_at: Option<Bitrate>,
    /// When a queue lowered it last.
    drained_at: Option<Instant>,
    shortest_rtt: ShortestRoundTrip,
    queue_seen: Option<Instant>,
    limit: Limit,
}

/// What left lately.
#[derive(Debug, Clone, Default)]
struct SentRate {
    bytes: u64,
    since: Option<Instant>,
    last: Option<Bitrate>,
}

impl SentRate {
    fn on_sent(&mut self, size: DataSize, now: Instant) {
        let span = now.saturating_duration_since(*self.since.get_or_insert(now));
        if span >= SENT_SPAN {
            self.last = Some(Bitrate::of(DataSize::bytes(self.bytes), span));
            (self.bytes, self.since) = (0, Some(now));
        }
        self.bytes += size.as_bytes();
    }

    /// The rate of the last span; `None` when nothing left for a while since.
    fn lately(&self, now: Instant) -> Option<Bitrate> {
        self.since.filter(|since| now.saturating_duration_since(*since) < 3 * SENT_SPAN).and(self.last)
    }
}

/// The shortest round trip of the last one to two [`BASE_SPAN`]s: a path may become longer for good.
#[derive(Debug, Clone, Default)]
struct ShortestRoundTrip {
    since: Option<Instant>,
    now: Option<Duration>,
    before: Option<Duration>,
}

impl ShortestRoundTrip {
    /// The shortest one, this one included.
    fn with(&mut self, rtt: Duration, at: Instant) -> Duration {
        if at.saturating_duration_since(*self.since.get_or_insert(at)) >= BASE_SPAN {
            self.since = Some(at);
            self.before = self.now.take();
        }
        let shortest = self.now.map_or(rtt, |shortest| shortest.min(rtt));
        self.now = Some(shortest);
        self.before.map_or(shortest, |before| before.min(shortest))
    }
}

impl RembController {
    /// Begins at `start`.
    pub fn new(start: Bitrate) -> Self {
        Self {
            start,
            rate: start.max(MIN_RATE),
            remote: None,
            loss: LossWatch::default(),
            sent: SentRate::default(),
            desired: Bitrate::ZERO,
            ticked: None,
            lowered: None,
            full_at: None,
            drained_at: None,
            shortest_rtt: ShortestRoundTrip::default(),
            queue_seen: None,
            limit: Limit::None,
        }
    }

    fn is_queued(&self, now: Instant) -> bool {
        self.queue_seen.is_some_and(|at| now.saturating_duration_since(at) < QUEUE_LIFE)
    }

    /// What the path carried lately; `None` when nothing left for a while.
    fn carried(&self, now: Instant) -> Option<Bitrate> {
        self.sent.lately(now).map(|sent| sent * (1.0 - self.loss.last()))
    }

    /// A queue was seen: goes below what the path carries, again with each report until none is seen any more.
    fn drain(&mut self, now: Instant) {
        let before = self.drained_at.map(|at| now.saturating_duration_since(at));
        if before.is_some_and(|before| before < SENT_SPAN / 2) {
            return; // one report has a round trip for each section
        }
        self.drained_at = Some(now);
        let carried = self.carried(now).unwrap_or(Bitrate::ZERO);
        // What was sent may have been little for reasons of its own.
        self.rate = self.rate.min((carried * DRAIN).max(self.rate * MOST_DRAIN)).max(MIN_RATE);
        if before.is_none_or(|before| before >= QUEUE_LIFE) {
            self.full_at = Some(self.rate);
        }
    }

    /// Growth in a second: reports tell of a queue late, so it is little where one was seen before.
    fn growth(&self) -> f64 {
        let near = |full_at: Bitrate| self.rate >= full_at * NEAR && self.rate <= full_at * FAR;
        if self.full_at.is_some_and(near) { CAREFUL_GROWTH } else { REPORT_GROWTH }
    }
}

impl Controller for RembController {
    fn prefetch(&self) {
        prefetch(self);
    }

    fn counts_sent(&self) -> bool {
        true
    }

    fn on_sent(&mut self, size: DataSize, now: Instant) {
        self.sent.on_sent(size, now);
    }

    fn on_feedback(&mut self, _feedback: &Feedback<'_>, _now: Instant) {}

    fn on_rtt(&mut self, rtt: Duration, now: Instant) {
        let shortest = self.shortest_rtt.with(rtt, now);
        self.queue_seen = (rtt > shortest + QUEUE_IN_RTT).then_some(now);
        if self.queue_seen.is_some() {
            self.drain(now);
        }
    }

    fn on_loss_report(&mut self, received: u32, lost: u32, now: Instant) {
        let queued = self.is_queued(now);
        self.limit = Limit::None;
        if let Some(factor) = self.loss.on_feedback(received, lost, queued, now) {
            self.rate = lowered_by_loss(self.rate, factor, self.carried(now), queued).max(MIN_RATE);
            self.lowered = Some(now);
            self.limit = Limit::Loss;
        }
    }

    fn on_remb(&mut self, limit: Bitrate, _now: Instant) {
        let limit = limit.clamp(MIN_RATE, MAX_RATE);
        // The subscriber measures what arrives. Before the first sign of a limit a rise of its estimate is followed at once.
        if self.full_at.is_none() && self.remote.is_none_or(|remote| limit > remote) && self.lowered.is_none() {
            self.rate = self.rate.max(limit);
        }
        self.remote = Some(limit);
    }

    fn on_route_change(&mut self, _now: Instant) {
        let desired = self.desired;
        *self = Self { desired, ..Self::new(self.rate.min(self.start)) };
    }

    fn set_desired(&mut self, desired: Bitrate) {
        self.desired = desired;
    }

    fn tick(&mut self, _waiting_since: Option<Instant>, now: Instant) -> Estimate {
        let elapsed = self.ticked.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if self.lowered.is_some_and(|at| now.saturating_duration_since(at) >= NO_GROWTH_AFTER_LOSS) {
            self.lowered = None;
        }
        if self.is_queued(now) {
            // One that is not below what is sent only mirrors it; one without a queue, what loss leaves over.
            let sent = self.sent.lately(now).unwrap_or(Bitrate::ZERO);
            let told = self.remote.filter(|remote| *remote < sent);
            self.rate = told.map_or(self.rate, |remote| self.rate.min(remote));
            self.limit = Limit::Remote;
        } else if self.lowered.is_none() {
            self.limit = Limit::None;
            if self.desired > self.rate {
                self.rate = (self.rate * self.growth().powf(elapsed.as_secs_f64().min(1.0))).min(MAX_RATE);
            }
        }
        let target = self.rate.min(MAX_RATE);
        let padding_to = if self.desired > target && self.limit == Limit::None { target } else { Bitrate::ZERO };
        Estimate { target, pacing: target * PACING_FACTOR, padding_to, limit: self.limit }
    }
}

#[cfg(test)]
mod tests;
