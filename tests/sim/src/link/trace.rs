//! Links whose capacity is a list of instants at which one full-size datagram may leave, as mahimahi records them
//! (Netravali et al., "Mahimahi: accurate record-and-replay for HTTP", 2015).

use std::time::Duration;

use sfu_core::units::{Bitrate, DataSize};

use crate::random::Random;

/// What may leave at one opportunity, in bytes; mahimahi's own figure (an MTU of 1500 plus 4 bytes of its tunnel's header).
pub const OPPORTUNITY_BYTES: usize = 1504;
/// Longest trace we read: an hour at 12 Mbit/s.
pub const MAX_OPPORTUNITIES: usize = 3_600_000;

/// Opportunities to send, repeated for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Sorted; the last one is also the period.
    at: Vec<Duration>,
}

impl Trace {
    /// Reads the text of a mahimahi trace: one millisecond per line, in order. `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).take(MAX_OPPORTUNITIES);
        let at: Option<Vec<Duration>> = lines.map(|line| line.trim().parse().ok().map(Duration::from_millis)).collect();
        Self::new(at?)
    }

    /// A mobile link as they are: the rate wanders between `lowest` and `highest`, by up to a tenth every 100 ms.
    pub fn wandering(lowest: Bitrate, highest: Bitrate, period: Duration, random: &mut Random) -> Self {
        const STEP: Duration = Duration::from_millis(100);
        let opportunity = DataSize::bytes(OPPORTUNITY_BYTES as u64);
        let mut rate = Bitrate::from_f64(f64::midpoint(lowest.as_f64(), highest.as_f64()));
        let (mut at, mut next, mut step_ends) = (Vec::new(), Duration::ZERO, STEP);
        while next < period && at.len() < MAX_OPPORTUNITIES {
            next += rate.time_for(opportunity);
            at.push(next);
            while next >= step_ends {
                step_ends += STEP;
                rate = (rate * (0.9 + 0.2 * random.unit())).clamp(lowest, highest);
            }
        }
        Self { at }
    }

    /// The mean rate.
    pub fn mean_rate(&self) -> Bitrate {
        Bitrate::of(DataSize::bytes((self.at.len() * OPPORTUNITY_BYTES) as u64), self.period())
    }

    /// The first opportunity later than `since`, both counted from the start of the trace.
    pub(super) fn next_after(&self, since: Duration) -> Duration {
        let period = self.period();
        let rounds = (since.as_nanos() / period.as_nanos()) as u32;
        let within = Duration::from_nanos((since.as_nanos() % period.as_nanos()) as u64);
        let index = self.at.partition_point(|&at| at <= within);
        match self.at.get(index) {
            Some(&at) => period * rounds + at,
            None => period * (rounds + 1) + self.at[0],
        }
    }

    fn new(at: Vec<Duration>) -> Option<Self> {
        let sorted = at.is_sorted();
        let has_period = at.last().is_some_and(|last| !last.is_zero());
        (sorted && has_period).then_some(Self { at })
    }

    fn period(&self) -> Duration {
        *self.at.last().expect("a trace has at least one opportunity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_trace_repeats_after_its_last_opportunity() {
        let trace = Trace::parse("2\n5\n10\n").expect("a trace");
        let mut at = Duration::ZERO;
        let mut seen = Vec::new();
        for _ in 0..5 {
            at = trace.next_after(at);
            seen.push(at.as_millis());
        }
        assert_eq!(seen, [2, 5, 10, 12, 15]);
    }

    #[test]
    fn text_that_is_no_trace_is_refused() {
        for text in ["", "0", "5\n2", "x"] {
            assert_eq!(Trace::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_wandering_link_stays_between_its_limits() {
        let (lowest, highest) = (Bitrate::kbps(500), Bitrate::kbps(5_000));
        let trace = Trace::wandering(lowest, highest, 60_000 * MS, &mut Random::new(3));
        let mean = trace.mean_rate();
        assert!(lowest <= mean && mean <= highest, "{mean:?}");
    }
}
