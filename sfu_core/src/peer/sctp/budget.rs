//! How much one peer may say (RFC 2697 §1).

use std::time::{Duration, Instant};

/// What one peer may say in a second, sustained (`reliability.md`, A2: T-DATA).
const BYTES_PER_SECOND: u64 = 65_536;
/// What it may say at once: four messages of the largest size, such as the state of a whiteboard.
pub(crate) const MAX_BURST_BYTES: i64 = 4 * 65_536;
/// What a message counts beside its payload, so that a flood of tiny ones ends at some 1 000 a second.
const MESSAGE_COST_BYTES: i64 = 64;

#[derive(Debug)]
pub(super) struct Budget {
    /// Less than nothing after a message that was larger than what was left.
    left: i64,
    filled: Instant,
}

impl Budget {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: MAX_BURST_BYTES, filled: now }
    }

    /// Whether nothing may be said for now.
    pub(super) fn is_spent(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left <= 0
    }

    /// Takes a message off; false when it is more than is left.
    pub(super) fn takes(&mut self, payload: usize, now: Instant) -> bool {
        self.fill(now);
        let takes = self.left >= cost(payload);
        if takes {
            self.spend(payload);
        }
        takes
    }

    /// Takes a message off, also one that is more than is left.
    pub(super) fn spend(&mut self, payload: usize) {
        self.left -= cost(payload);
    }

    /// When something may be said again, if nothing may now.
    pub(super) fn ready_at(&self) -> Instant {
        let missing = self.left.min(0).unsigned_abs() + 1;
        self.filled + Duration::from_micros((missing * 1_000_000).div_ceil(BYTES_PER_SECOND))
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.filled).as_micros() as u64 * BYTES_PER_SECOND / 1_000_000;
        if gained > 0 {
            self.left = MAX_BURST_BYTES.min(self.left.saturating_add_unsigned(gained));
            self.filled += Duration::from_micros(gained * 1_000_000 / BYTES_PER_SECOND);
        }
    }
}

const fn cost(payload: usize) -> i64 {
    payload as i64 + MESSAGE_COST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    #[test]
    fn whoever_has_said_too_much_may_speak_again_as_soon_as_that_is_made_up_for() {
        let mut budget = Budget::new(start());
        assert!(budget.takes(MAX_BURST_BYTES as usize - 64, start()));
        assert!(budget.is_spent(start()) && !budget.takes(0, start()));
        budget.spend(65_536 - 64);
        let ready = budget.ready_at();
        assert!(budget.is_spent(ready.checked_sub(Duration::from_millis(1)).expect("later than that")));
        assert!(!budget.is_spent(ready));
        assert_eq!(ready.duration_since(start()).as_millis(), 1_000);
    }

    #[test]
    fn nobody_saves_up_more_than_may_be_said_at_once() {
        let mut budget = Budget::new(start());
        let later = start() + Duration::from_secs(3_600);
        assert!(!budget.takes(MAX_BURST_BYTES as usize, later));
        assert!(budget.takes(MAX_BURST_BYTES as usize - 64, later));
    }
}
