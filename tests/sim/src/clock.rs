//! Virtual time: it stands still until somebody moves it.

use std::time::{Duration, Instant};

/// Far enough from the machine's own start that code may look back an hour.
const HEAD_START: Duration = Duration::from_secs(24 * 3_600);

/// The time of one simulated world.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    /// A clock at its start. The machine's clock is read here, once, only because an [`Instant`] cannot be made otherwise:
    /// nothing depends on its value.
    #[allow(clippy::disallowed_methods, clippy::new_without_default)]
    pub fn new() -> Self {
        let start = Instant::now() + HEAD_START;
        Self { start, now: start }
    }

    /// When this world began.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// The time in this world.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How old this world is.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Moves time forward to `instant`; an earlier one is ignored, for time never goes back.
    pub fn advance_to(&mut self, instant: Instant) {
        self.now = self.now.max(instant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_when_moved_and_never_back() {
        let mut clock = Clock::new();
        clock.advance_to(clock.start() + Duration::from_millis(5));
        clock.advance_to(clock.start());
        assert_eq!(clock.elapsed(), Duration::from_millis(5));
    }
}
