//! Interrupt coalescing as a network card does it, one floor up: under load a worker rests a little between two turns, so
//! that what arrives meanwhile costs one wake and leaves in one call. With little to do nothing waits.
//!
//! Waking and asking what is ready costs about as much as forwarding a packet. Resting saves that only where several
//! datagrams would come in a rest anyway; with fewer the rest itself would be the wake.

use std::time::{Duration, Instant};

/// From the start of one turn to the start of the next under load. A packet waits half of it on average.
pub(super) const INTERVAL: Duration = Duration::from_micros(250);
/// Datagrams per interval from which resting pays.
const WORTH_RESTING: u64 = 2;
/// How long datagrams are counted. Whole frames of sound and pictures, so that a burst is not taken for load.
const WINDOW: Duration = Duration::from_millis(100);

/// How many datagrams come, and whether to rest.
#[derive(Debug)]
pub(super) struct Coalescing {
    window_began: Instant,
    datagrams: u64,
    resting: bool,
}

impl Coalescing {
    pub(super) fn new(now: Instant) -> Self {
        Self { window_began: now, datagrams: 0, resting: false }
    }

    /// When the turn after the one that began at `turn` and took in so many datagrams is to begin at the earliest.
    pub(super) fn next_turn(&mut self, turn: Instant, datagrams: u64) -> Instant {
        self.datagrams += datagrams;
        let counted = turn.saturating_duration_since(self.window_began);
        if counted >= WINDOW {
            let intervals = counted.as_micros() / INTERVAL.as_micros();
            self.resting = u128::from(self.datagrams) >= u128::from(WORTH_RESTING) * intervals;
            (self.window_began, self.datagrams) = (turn, 0);
        }
        if self.resting { turn + INTERVAL } else { turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    /// Turns of a worker to which so many datagrams come evenly in a second. Returns how many of the last were rested after.
    fn rested(rate: u64, turns: usize) -> usize {
        let mut now = start();
        let mut coalescing = Coalescing::new(now);
        let mut rested = 0;
        for turn in 0..2 * turns {
            let next = coalescing.next_turn(now, 1);
            rested += usize::from(turn >= turns && next > now);
            now += Duration::from_secs(1) / u32::try_from(rate).unwrap();
        }
        rested
    }

    #[test]
    fn nothing_waits_where_little_comes() {
        assert_eq!(rested(200, 1_000), 0, "a call of two");
        assert_eq!(rested(6_000, 10_000), 0, "ten rooms of three");
    }

    #[test]
    fn a_worker_under_load_rests_after_each_turn() {
        assert_eq!(rested(12_000, 10_000), 10_000, "twenty rooms of three");
    }

    #[test]
    fn a_worker_rests_no_longer_than_the_interval() {
        let now = start();
        let mut coalescing = Coalescing::new(now);
        assert_eq!(coalescing.next_turn(now + WINDOW, 1_000_000), now + WINDOW + INTERVAL);
    }

    #[test]
    fn a_worker_goes_back_to_instant_turns_when_the_load_has_gone() {
        let now = start();
        let mut coalescing = Coalescing::new(now);
        coalescing.next_turn(now + WINDOW, 1_000_000);
        let later = now + 2 * WINDOW;
        assert_eq!(coalescing.next_turn(later, 1), later);
    }
}
