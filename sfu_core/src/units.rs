//! Quantities with their unit in the type: rates, sizes, wall-clock instants on the wire.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A data rate in bits per second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// A rate in bits per second.
    pub const fn bps(bits_per_second: u64) -> Self {
        Self(bits_per_second)
    }

    /// A rate in thousands of bits per second.
    pub const fn kbps(kilobits_per_second: u64) -> Self {
        Self(kilobits_per_second.saturating_mul(1_000))
    }

    /// The rate in bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// The rate in bits per second, for arithmetic on estimates.
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The rate that `bits_per_second` rounds to; negative and not-a-number become zero.
    pub fn from_f64(bits_per_second: f64) -> Self {
        Self(bits_per_second.max(0.0) as u64)
    }

    /// How much flows in `span` at this rate. The only place that divides by eight.
    pub fn bytes_in(self, span: Duration) -> DataSize {
        DataSize((u128::from(self.0) * span.as_micros() / 8_000_000) as u64)
    }

    /// How long `size` takes to send at this rate; [`Duration::MAX`] at rate zero.
    pub fn time_for(self, size: DataSize) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        Duration::from_nanos((u128::from(size.0) * 8_000_000_000 / u128::from(self.0)) as u64)
    }

    /// The rate at which `size` flows in `span`; zero for an empty span.
    pub fn of(size: DataSize, span: Duration) -> Self {
        let micros = span.as_micros();
        if micros == 0 {
            return Self::ZERO;
        }
        Self((u128::from(size.0) * 8_000_000 / micros) as u64)
    }
}

impl std::ops::Add for Bitrate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Bitrate {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Mul<f64> for Bitrate {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::from_f64(self.as_f64() * factor)
    }
}

impl std::iter::Sum for Bitrate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, std::ops::Add::add)
    }
}

/// An amount of data in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataSize(u64);

impl DataSize {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// A size in bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl std::ops::Add for DataSize {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::AddAssign for DataSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::Sub for DataSize {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::SubAssign for DataSize {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A wall-clock instant as RTCP carries it (RFC 3550 §4): seconds since 1900, 32.32 fixed point.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as receiver reports quote them (RFC 3550 §6.4.1, LSR).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// This instant moved forward by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let whole = span.as_secs() << 32;
        let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(whole).wrapping_add(fraction))
    }

    /// The span from `earlier` to this instant in seconds; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 4_294_967_296.0
    }
}

/// Ties the monotonic clock of the engine to the wall clock, once, so that nothing below the rim reads either.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The monotonic instant at which `ntp` was read.
    pub instant: Instant,
    /// The wall clock at `instant`.
    pub ntp: NtpTime,
}

impl Epoch {
    /// The wall clock at `now`.
    pub fn ntp_at(&self, now: Instant) -> NtpTime {
        self.ntp.plus(now.saturating_duration_since(self.instant))
    }

    /// Microseconds from the epoch to `now`.
    pub fn micros_at(&self, now: Instant) -> u64 {
        self.nanos_at(now).as_micros()
    }

    /// From the epoch to `now`; zero for an instant before it.
    #[inline]
    pub fn nanos_at(&self, now: Instant) -> Nanos {
        Nanos(now.saturating_duration_since(self.instant).as_nanos() as u64)
    }

    /// The instant of a moment.
    pub fn instant_at(&self, moment: Nanos) -> Instant {
        self.instant + Duration::from_nanos(moment.0)
    }
}

/// A moment in nanoseconds since the epoch of the engine. Subtracting instants is dear where it is done several times for every
/// packet; made once a turn, this costs nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Microseconds since the epoch.
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// From `earlier` to this moment; zero when it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Nanos {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_nanos() as u64))
    }
}

/// An instant to count from, where it does not matter which.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_times_a_span_is_a_size() {
        assert_eq!(Bitrate::kbps(1_200).bytes_in(Duration::from_millis(5)), DataSize::bytes(750));
        assert_eq!(Bitrate::kbps(1_200).time_for(DataSize::bytes(750)), Duration::from_millis(5));
        assert_eq!(Bitrate::of(DataSize::bytes(750), Duration::from_millis(5)), Bitrate::kbps(1_200));
    }

    #[test]
    fn an_instant_is_the_same_moment_forth_and_back() {
        let epoch = Epoch { instant: start(), ntp: NtpTime::default() };
        let now = epoch.instant + Duration::from_nanos(5_000_001_999);
        assert_eq!(epoch.nanos_at(now).as_micros(), 5_000_001);
        assert_eq!(epoch.instant_at(epoch.nanos_at(now)), now);
        assert_eq!(epoch.nanos_at(now).since(Nanos(5_000_000_000)), Duration::from_nanos(1_999));
        assert_eq!(Nanos(5).since(Nanos(6)), Duration::ZERO);
    }

    #[test]
    fn ntp_time_keeps_fractions_of_a_second() {
        let later = NtpTime(7 << 32).plus(Duration::from_millis(1_500));
        assert!((later.seconds_since(NtpTime(7 << 32)) - 1.5).abs() < 1e-9);
        assert!((NtpTime(7 << 32).seconds_since(later) + 1.5).abs() < 1e-9);
    }
}
