//! From "the queue grows" to a rate: additive increase, multiplicative decrease (draft-ietf-rmcat-gcc-02 §5.5).

use std::time::{Duration, Instant};

use super::trendline::Usage;
use crate::units::Bitrate;

/// Never below: what one audio track needs.
pub const MIN_RATE: Bitrate = Bitrate::kbps(30);
/// After overuse: this share of what arrived ...
const DECREASE: f64 = 0.85;
/// ... or this one while a long queue has to drain.
const DECREASE_TO_DRAIN: f64 = 0.7;
const LONG_QUEUE: Duration = Duration::from_millis(120);
/// Growth in a second: before the first sign of a limit, far below it, and near it (in packets for each round trip).
const START_GROWTH: f64 = 2.0;
const GROWTH: f64 = 1.12;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// Not further ahead of what arrived than this: beyond it the estimate is a guess.
const AHEAD: f64 = 1.5;
const START_AHEAD: f64 = 2.0;
const AHEAD_BPS: f64 = 20_000.0;
/// The least time between two decreases: until the first can have had an effect.
const MIN_BETWEEN: Duration = Duration::from_millis(200);

/// The rate that delays allow.
#[derive(Debug, Clone)]
pub struct Aimd {
    rate: f64,
    max: f64,
    starting: bool,
    /// What arrived when the path was last full, smoothed.
    capacity: Option<f64>,
    decreased_at: Option<Instant>,
    updated_at: Option<Instant>,
    rtt: Duration,
}

impl Aimd {
    /// Begins at `start`, never above `max`.
    pub fn new(start: Bitrate, max: Bitrate) -> Self {
        Self {
            rate: start.max(MIN_RATE).as_f64(),
            max: max.as_f64(),
            starting: true,
            capacity: None,
            decreased_at: None,
            updated_at: None,
            rtt: Duration::from_millis(100),
        }
    }

    /// The round trip without waiting for anything.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt.clamp(Duration::from_millis(10), Duration::from_secs(2));
    }

    /// Brings the rate up to date with what the delays say and what arrived lately.
    pub fn update(&mut self, usage: Usage, queue: Duration, arrived: Option<Bitrate>, now: Instant) {
        let elapsed = self.updated_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.updated_at = Some(now);
        match usage {
            Usage::Over => self.decrease(queue, arrived, now),
            Usage::Under => {} // the queue drains: wait for it
            Usage::Normal => self.increase(elapsed.min(Duration::from_secs(1)).as_secs_f64(), arrived),
        }
        self.rate = self.rate.clamp(MIN_RATE.as_f64(), self.max);
    }

    /// Lowers the rate for another reason; it grows again from there.
    pub fn lower_to(&mut self, rate: Bitrate, now: Instant) {
        self.rate = self.rate.min(rate.as_f64()).max(MIN_RATE.as_f64());
        self.starting = false;
        self.decreased_at = Some(now);
    }

    /// Grows quickly again: what was learned of the path no longer holds.
    pub fn restart(&mut self) {
        self.starting = true;
        self.capacity = None;
    }

    /// The rate.
    pub fn rate(&self) -> Bitrate {
        Bitrate::from_f64(self.rate)
    }

    fn increase(&mut self, elapsed_s: f64, arrived: Option<Bitrate>) {
        let Some(arrived) = arrived.map(Bitrate::as_f64) else { return };
        let ahead = if self.starting { START_AHEAD } else { AHEAD };
        // When less was sent than allowed, more is not proved; what was proved stays.
        let limit = arrived * ahead + AHEAD_BPS;
        if self.rate >= limit {
            return;
        }
        // Well above what once filled the path: that limit is gone.
        if self.capacity.is_some_and(|capacity| arrived > capacity * 1.2) {
            self.capacity = None;
        }
        let grown = if self.starting {
            self.rate * START_GROWTH.powf(elapsed_s)
        } else if self.capacity.is_some_and(|capacity| self.rate > capacity * 0.9) {
            let response_s = (self.rtt + Duration::from_millis(100)).as_secs_f64();
            self.rate + (PACKET_BITS / response_s).max(self.rate * 0.02) * elapsed_s
        } else {
            self.rate * GROWTH.powf(elapsed_s)
        };
        self.rate = grown.min(limit);
    }

    fn decrease(&mut self, queue: Duration, arrived: Option<Bitrate>, now: Instant) {
        let pause = MIN_BETWEEN.max(self.rtt);
        if self.decreased_at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return;
        }
        self.starting = false;
        self.decreased_at = Some(now);
        let Some(arrived) = arrived.map(Bitrate::as_f64) else {
            self.rate *= 0.5;
            return;
        };
        self.capacity = Some(self.capacity.map_or(arrived, |capacity| capacity * 0.6 + arrived * 0.4));
        let share = if queue > LONG_QUEUE { DECREASE_TO_DRAIN } else { DECREASE };
        self.rate = self.rate.min(arrived * share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    fn run(aimd: &mut Aimd, start: Instant, seconds: u32, usage: Usage, arrived: impl Fn(Bitrate) -> Bitrate) {
        for step in 0..seconds * 20 {
            let arrived = arrived(aimd.rate());
            aimd.update(usage, Duration::ZERO, Some(arrived), start + Duration::from_millis(50) * step);
        }
    }

    #[test]
    fn it_starts_fast_and_goes_slowly_after_the_first_limit() {
        let start = start();
        let mut aimd = Aimd::new(Bitrate::kbps(300), Bitrate::kbps(100_000));
        run(&mut aimd, start, 3, Usage::Normal, |rate| rate);
        assert!(aimd.rate() > Bitrate::kbps(2_000), "{:?}", aimd.rate());
        let later = start + Duration::from_secs(3);
        aimd.update(Usage::Over, Duration::ZERO, Some(Bitrate::kbps(2_000)), later);
        assert_eq!(aimd.rate(), Bitrate::kbps(1_700));
        run(&mut aimd, later, 3, Usage::Normal, |rate| rate);
        assert!(aimd.rate() < Bitrate::kbps(2_600), "{:?}", aimd.rate());
    }

    #[test]
    fn sending_little_neither_raises_nor_lowers_it_far() {
        let mut aimd = Aimd::new(Bitrate::kbps(1_000), Bitrate::kbps(100_000));
        run(&mut aimd, start(), 60, Usage::Normal, |_| Bitrate::kbps(200));
        assert_eq!(aimd.rate(), Bitrate::kbps(1_000));
    }
}
