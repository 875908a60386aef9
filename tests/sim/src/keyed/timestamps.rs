//! Timestamps that never wrap (RFC 3550 §5.1).

/// The first timestamp is taken to be in this cycle, so that timestamps before it are still positive.
const FIRST_CYCLE: u64 = 1 << 32;

/// Turns 32-bit timestamps into 64-bit ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    /// The timestamp that `timestamp` stands for: the nearest to the highest so far, which it may become.
    pub(super) fn unwrap(&mut self, timestamp: u32) -> u64 {
        let unwrapped = self.highest.map_or(FIRST_CYCLE + u64::from(timestamp), |highest| {
            let distance = timestamp.wrapping_sub(highest as u32) as i32;
            highest.wrapping_add_signed(i64::from(distance))
        });
        self.highest = self.highest.max(Some(unwrapped));
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_go_on_over_the_wrap_and_back() {
        let mut clock = TimestampUnwrapper::default();
        assert_eq!(clock.unwrap(u32::MAX), (1 << 33) - 1);
        assert_eq!(clock.unwrap(2_999), (1 << 33) + 2_999);
        assert_eq!(clock.unwrap(u32::MAX - 1), (1 << 33) - 2);
    }
}
