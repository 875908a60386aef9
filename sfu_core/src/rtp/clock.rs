//! RTP clocks: timestamps that never wrap, ticks and spans, and the sender's wall clock (RFC 3550 §5.1, §6.4.1).

use std::time::Duration;

use crate::units::NtpTime;

/// The first timestamp is taken to be in this cycle, so that timestamps before it are still positive.
const FIRST_CYCLE: u64 = 1 << 32;

/// Turns 32-bit timestamps into 64-bit ones that never wrap.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    /// The timestamp that `timestamp` stands for: the nearest to the highest so far, which it may become.
    #[inline]
    pub fn unwrap(&mut self, timestamp: u32) -> u64 {
        let unwrapped = self.peek(timestamp);
        self.highest = self.highest.max(Some(unwrapped));
        unwrapped
    }

    /// The timestamp that `timestamp` stands for, without learning from it.
    #[inline]
    pub fn peek(&self, timestamp: u32) -> u64 {
        match self.highest {
            None => FIRST_CYCLE + u64::from(timestamp),
            Some(highest) => {
                let distance = timestamp.wrapping_sub(highest as u32) as i32;
                highest.wrapping_add_signed(i64::from(distance))
            }
        }
    }
}

/// How long `ticks` of a clock take; zero for a clock that does not run.
pub fn duration_of(ticks: u64, clock_rate: u32) -> Duration {
    if clock_rate == 0 {
        return Duration::ZERO;
    }
    let rate = u64::from(clock_rate);
    Duration::new(ticks / rate, (ticks % rate * 1_000_000_000 / rate) as u32)
}

/// How many whole ticks of a clock fit into `span`, at most [`u64::MAX`].
pub fn ticks_in(span: Duration, clock_rate: u32) -> u64 {
    let ticks = span.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Ties the timestamps of one encoding to its sender's wall clock, as the last sender report said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    ntp: NtpTime,
    timestamp: u32,
    clock_rate: u32,
}

impl SenderClock {
    /// The clock of which a sender report said that it showed `timestamp` at `ntp`. `None` if the clock does not run.
    pub fn new(ntp: NtpTime, timestamp: u32, clock_rate: u32) -> Option<Self> {
        (clock_rate != 0).then_some(Self { ntp, timestamp, clock_rate })
    }

    /// The wall clock at `timestamp`, which is less than 2³¹ ticks from the report.
    pub fn ntp_at(&self, timestamp: u32) -> NtpTime {
        let ticks = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        // 31 bits of ticks times 2³² fit.
        let distance = (ticks << 32) / i64::from(self.clock_rate);
        NtpTime(self.ntp.0.wrapping_add_signed(distance))
    }

    /// The timestamp at `ntp`, rounded to the nearest tick.
    pub fn timestamp_at(&self, ntp: NtpTime) -> u32 {
        let distance = i128::from(ntp.0.wrapping_sub(self.ntp.0) as i64);
        let ticks = (distance * i128::from(self.clock_rate) + (1 << 31)) >> 32;
        self.timestamp.wrapping_add(ticks as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps_go_on_over_the_wrap_and_back() {
        let mut clock = TimestampUnwrapper::default();
        assert_eq!(clock.unwrap(u32::MAX), (1 << 33) - 1);
        assert_eq!(clock.unwrap(2_999), (1 << 33) + 2_999);
        assert_eq!(clock.unwrap(u32::MAX - 1), (1 << 33) - 2);
    }

    #[test]
    fn ticks_and_spans_are_the_same_thing() {
        assert_eq!(duration_of(960, 48_000), Duration::from_millis(20));
        assert_eq!(ticks_in(Duration::from_millis(20), 48_000), 960);
        assert_eq!(duration_of(u64::MAX, 90_000).as_secs(), u64::MAX / 90_000);
        assert_eq!(ticks_in(Duration::MAX, 90_000), u64::MAX);
        assert_eq!(duration_of(1, 0), Duration::ZERO);
    }

    #[test]
    fn a_sender_report_places_timestamps_before_and_after_it() {
        let clock = SenderClock::new(NtpTime(100 << 32), 10, 90_000).unwrap();
        assert_eq!(clock.ntp_at(90_010), NtpTime(101 << 32));
        assert_eq!(clock.ntp_at(10_u32.wrapping_sub(45_000)), NtpTime((99 << 32) + (1 << 31)));
        assert_eq!(clock.timestamp_at(NtpTime(99 << 32)), 10_u32.wrapping_sub(90_000));
        assert_eq!(SenderClock::new(NtpTime(0), 0, 0), None);
    }

    proptest! {
        #[test]
        fn a_timestamp_survives_the_way_over_the_wall_clock(
            ntp: u64, base: u32, timestamp: u32, rate in prop::sample::select(vec![8_000, 48_000, 90_000]),
        ) {
            let clock = SenderClock::new(NtpTime(ntp), base, rate).unwrap();
            prop_assert_eq!(clock.timestamp_at(clock.ntp_at(timestamp)), timestamp);
        }

        #[test]
        fn no_numbers_panic(ntp: u64, other: u64, base: u32, timestamp: u32, rate: u32) {
            if let Some(clock) = SenderClock::new(NtpTime(ntp), base, rate) {
                clock.ntp_at(timestamp);
                clock.timestamp_at(NtpTime(other));
            }
            ticks_in(duration_of(ntp, rate), rate);
        }
    }
}
