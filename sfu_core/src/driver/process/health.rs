//! Whether workers are lost: seen from what they count, so that one that hangs need not answer.

use std::time::{Duration, Instant};

use crate::driver::counters::CounterValues;

/// How long a worker may not go round before it is taken to hang for good. It goes round twice a second with nothing to do, and
/// a turn takes a millisecond. A hang shows as pictures that stand still; those who look at them are back within a second of its
/// end, so that waiting longer helps nobody.
const STALL_LIMIT: Duration = Duration::from_secs(5);
/// The most that one look adds. Whoever looks later than that has been held up, and perhaps the workers with it: by a machine
/// that was paused, or has no processor to spare.
const MAX_STEP: Duration = Duration::from_millis(500);

/// What is known of all workers.
#[derive(Debug, Default)]
pub(super) struct Health {
    looked: Option<Instant>,
    workers: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    turns: u64,
    /// How long it has not gone round.
    still: Duration,
}

impl Health {
    /// Takes in what the workers count, and returns those that have failed or hang.
    pub(super) fn look(&mut self, counters: &[CounterValues], now: Instant) -> Vec<u16> {
        let step = self.looked.map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked)).min(MAX_STEP);
        self.looked = Some(now);
        self.workers.resize_with(counters.len(), Seen::default);
        let mut lost = Vec::new();
        for (index, (seen, counted)) in (0..).zip(self.workers.iter_mut().zip(counters)) {
            let goes_round = seen.turns != counted.turns;
            let still = if goes_round { Duration::ZERO } else { seen.still + step };
            *seen = Seen { turns: counted.turns, still };
            if counted.failed != 0 || still >= STALL_LIMIT {
                lost.push(index);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    const EVERY: Duration = Duration::from_millis(250);

    fn counted(turns: u64) -> CounterValues {
        CounterValues { turns, ..CounterValues::default() }
    }

    /// When the second of two workers is lost whose first goes round, in looks.
    fn looks_until_lost(mut health: Health, every: Duration) -> u32 {
        let at = |look: u32| start() + every * look;
        (0..100)
            .find(|look| !health.look(&[counted(u64::from(*look)), counted(7)], at(*look)).is_empty())
            .expect("it is seen")
    }

    #[test]
    fn a_worker_is_lost_once_it_has_not_gone_round_for_five_seconds() {
        assert_eq!(looks_until_lost(Health::default(), EVERY), 20);
    }

    #[test]
    fn a_look_that_comes_late_counts_as_one_in_time() {
        assert_eq!(looks_until_lost(Health::default(), Duration::from_secs(60)), 10);
    }

    #[test]
    fn a_worker_that_failed_is_lost_at_once_and_one_that_goes_round_again_is_not() {
        let (mut health, at) = (Health::default(), |look: u32| start() + EVERY * look);
        let failed = CounterValues { failed: 1, ..counted(1) };
        assert_eq!(health.look(&[counted(1), failed.clone()], start()), [1]);
        assert_eq!((1..=20).flat_map(|look| health.look(&[counted(1), failed.clone()], at(look))).last(), Some(1));
        assert_eq!(health.look(&[counted(2), failed], at(21)), [1]);
    }
}
