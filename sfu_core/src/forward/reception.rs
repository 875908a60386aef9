//! What arrived of one published encoding, for receiver reports (RFC 3550 §6.4.1, appendix A.3 and A.8).

use std::time::{Duration, Instant};

use crate::units::{Bitrate, DataSize};

/// Over this much time the bit rate is measured: long enough for a slow camera, short enough to follow a layer.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// This part of what came by itself may have been repaired: a loss of a third. More is the burst after an outage.
const MOST_REPAIRED: u64 = 2;

/// The figures of one report block about this encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Share lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the last report.
    pub lost_lately: u64,
    /// Packets lost since the beginning; negative when duplicates came.
    pub cumulative_lost: i32,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp ticks.
    pub jitter: u32,
}

/// Counts what arrives.
#[derive(Debug, Default)]
pub struct Reception {
    first_sequence: Option<u64>,
    highest_sequence: u64,
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    last_transit: Option<i64>,
    /// Jitter in ticks, 1/16 fixed point as in RFC 3550 A.8.
    jitter_q4: u64,
    bytes: DataSize,
    window_started: Option<Instant>,
    window_bytes: DataSize,
    window_repaired: DataSize,
    bitrate: Bitrate,
}

impl Reception {
    /// Counts a packet that was not received before.
    ///
    /// `arrival_ticks` is the arrival in the encoding's clock rate.
    #[inline]
    pub fn on_packet(&mut self, sequence: u64, timestamp: u32, payload_len: usize, arrival_ticks: u64, now: Instant) {
        self.first_sequence.get_or_insert(sequence);
        self.received += 1;
        let size = DataSize::bytes(payload_len as u64);
        self.bytes += size;
        self.measure_rate(size, now);
        if sequence <= self.highest_sequence && self.received > 1 {
            return; // reordered: its transit time says nothing about the path now
        }
        self.highest_sequence = sequence;
        let transit = i64::from((arrival_ticks as u32).wrapping_sub(timestamp));
        if let Some(last) = self.last_transit.replace(transit) {
            let difference = u64::from(((transit - last) as i32).unsigned_abs());
            self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
        }
    }

    /// Counts a packet that came as a retransmission: it was received and goes to the subscribers like the others, but when
    /// it came says nothing about the pace of the encoding.
    pub fn on_repaired(&mut self, payload_len: usize) {
        self.received += 1;
        let size = DataSize::bytes(payload_len as u64);
        self.bytes += size;
        self.window_repaired += size;
    }

    /// What comes next does not follow what came before: nothing between is lost. The rate stays what it was.
    pub fn begin_anew(&mut self) {
        let Self { bytes, window_started, window_bytes, window_repaired, bitrate, .. } = *self;
        *self = Self { bytes, window_started, window_bytes, window_repaired, bitrate, ..Self::default() };
    }

    /// The report since the last report; `None` before the first packet.
    pub fn report(&mut self) -> Option<ReceptionReport> {
        let first = self.first_sequence?;
        let expected = self.highest_sequence - first.min(self.highest_sequence) + 1;
        let expected_now = expected.saturating_sub(self.expected_at_report);
        let received_now = self.received - self.received_at_report;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        self.expected_at_report = expected;
        self.received_at_report = self.received;
        let lost = expected as i64 - self.received as i64;
        Some(ReceptionReport {
            fraction_lost,
            lost_lately: lost_now,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest_sequence as u32,
            jitter: (self.jitter_q4 >> 4) as u32,
        })
    }

    /// Packets received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Payload bytes received.
    pub fn bytes(&self) -> DataSize {
        self.bytes
    }

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        let Some(first) = self.first_sequence else { return 0 };
        (self.highest_sequence - first.min(self.highest_sequence) + 1).saturating_sub(self.received)
    }

    /// Interarrival jitter in timestamp ticks.
    pub fn jitter_ticks(&self) -> u32 {
        (self.jitter_q4 >> 4) as u32
    }

    /// The bit rate of the payload lately; zero when nothing came for a while.
    pub fn bitrate(&self, now: Instant) -> Bitrate {
        match self.window_started {
            Some(started) if now.saturating_duration_since(started) < 4 * RATE_WINDOW => self.bitrate,
            _ => Bitrate::ZERO,
        }
    }

    fn measure_rate(&mut self, size: DataSize, now: Instant) {
        let started = *self.window_started.get_or_insert(now);
        self.window_bytes += size;
        let span = now.saturating_duration_since(started);
        if span >= RATE_WINDOW {
            let repaired = self.window_repaired.min(DataSize::bytes(self.window_bytes.as_bytes() / MOST_REPAIRED));
            let measured = Bitrate::of(self.window_bytes + repaired, span);
            let smoothed = if self.bitrate == Bitrate::ZERO { measured } else { (self.bitrate + measured) * 0.5 };
            self.bitrate = smoothed;
            (self.window_bytes, self.window_repaired) = (DataSize::ZERO, DataSize::ZERO);
            self.window_started = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    #[test]
    fn a_report_tells_what_was_lost_since_the_last_one() {
        let mut reception = Reception::default();
        assert!(reception.report().is_none());
        let now = start();
        for sequence in (100..200u64).filter(|n| n % 4 != 1) {
            reception.on_packet(sequence, 0, 100, 0, now);
        }
        let report = reception.report().expect("packets came");
        assert_eq!((report.fraction_lost, report.cumulative_lost, report.highest_sequence), (64, 25, 199));
        assert_eq!(report.lost_lately, 25);
        for sequence in 200..210u64 {
            reception.on_packet(sequence, 0, 100, 0, now);
        }
        assert_eq!(reception.report().expect("packets came").fraction_lost, 0);
        assert_eq!(reception.lost(), 25);
    }

    #[test]
    fn an_even_pace_has_no_jitter_and_an_uneven_one_has() {
        let now = start();
        let (mut even, mut uneven) = (Reception::default(), Reception::default());
        for n in 0..500u64 {
            even.on_packet(n, n as u32 * 960, 80, n * 960, now);
            uneven.on_packet(n, n as u32 * 960, 80, n * 960 + (n % 2) * 480, now);
        }
        assert_eq!(even.jitter_ticks(), 0);
        assert!((440..=480).contains(&uneven.jitter_ticks()), "{}", uneven.jitter_ticks());
    }

    #[test]
    fn what_was_repaired_counts_in_the_bit_rate_but_a_burst_of_repairs_hardly() {
        let mut reception = Reception::default();
        let begin = start();
        for n in 0..300u64 {
            let now = begin + Duration::from_millis(n * 10);
            if n % 5 == 3 {
                reception.on_repaired(1_000);
            } else {
                reception.on_packet(n, 0, 1_000, 0, now);
            }
        }
        let end = begin + Duration::from_secs(3);
        let rate = reception.bitrate(end).as_bps();
        assert!((780_000..=840_000).contains(&rate), "{rate}");
        for _ in 0..100 {
            reception.on_repaired(1_000);
        }
        for n in 300..360u64 {
            reception.on_packet(n, 0, 1_000, 0, begin + Duration::from_millis(n * 10));
        }
        let rate = reception.bitrate(end).as_bps();
        assert!((800_000..=1_050_000).contains(&rate), "{rate}");
    }

    #[test]
    fn the_bit_rate_follows_and_dies_with_the_encoding() {
        let mut reception = Reception::default();
        let begin = start();
        for n in 0..300u64 {
            reception.on_packet(n, 0, 1_000, 0, begin + Duration::from_millis(n * 10));
        }
        let end = begin + Duration::from_secs(3);
        let rate = reception.bitrate(end).as_bps();
        assert!((780_000..=840_000).contains(&rate), "{rate}");
        assert_eq!(reception.bitrate(end + Duration::from_secs(5)), Bitrate::ZERO);
    }
}
