//! What came from a publisher, by transport-wide number, until it is reported (draft-holmer-rmcat-transport-wide-cc-
//! extensions-01 §3.1).
//!
//! Reports go out every 50 to 100 ms: the more often, the faster the publisher adapts, so long as they stay below 5 % of
//! what it sends. A packet that comes after its number was reported missing is reported again.

use std::time::{Duration, Instant};

use crate::prefetch::prefetch;
use crate::units::{Bitrate, DataSize};

/// Numbers remembered: at 10 Mbit/s with full packets, one second. A power of two.
pub const MAX_ARRIVALS: usize = 1_024;
/// Most statuses in one report: in the worst encoding of the draft (two bits and two bytes each) within 1200 bytes.
pub const MAX_REPORT: usize = 400;
const MIN_INTERVAL: Duration = Duration::from_millis(50);
const MAX_INTERVAL: Duration = Duration::from_millis(100);
/// The share of the publisher's rate that reports may take.
const REPORT_SHARE: f64 = 0.05;
/// A report without statuses: IP, UDP, SRTCP and the fixed part.
const REPORT_OVERHEAD_BYTES: u64 = 28 + 20 + 20;
/// What one packet adds to a report.
const STATUS_BYTES: u64 = 2;

/// No packet with this number has come.
const MISSING: u32 = u32::MAX;

/// The arrivals of one transport.
#[derive(Debug, Clone)]
pub struct ArrivalLog {
    /// The first number not yet reported.
    base: u64,
    /// One past the highest number that has come.
    end: u64,
    /// The low bits of microseconds, by number modulo the length; empty until the first packet. They are reported long
    /// before their 71 minutes are over.
    arrivals: Vec<u32>,
    /// The latest of them, in full.
    latest_micros: u64,
    due: Option<Instant>,
    /// Packets and bytes since the last report.
    packets: u64,
    received: DataSize,
    last_report: Option<Instant>,
    interval: Duration,
}

/// The statuses for one report.
#[derive(Debug, Clone, Copy)]
pub struct ArrivalReport<'a> {
    /// The number of the first status.
    pub base_sequence: u64,
    /// How many statuses there are.
    pub count: usize,
    log: &'a ArrivalLog,
}

impl ArrivalReport<'_> {
    /// For each number from the base on: when it came, in microseconds; `None` when it did not.
    pub fn arrivals(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        (0..self.count as u64).map(|offset| self.log.arrival(self.base_sequence + offset))
    }
}

impl Default for ArrivalLog {
    fn default() -> Self {
        Self {
            base: 0,
            end: 0,
            arrivals: Vec::new(),
            latest_micros: 0,
            due: None,
            packets: 0,
            received: DataSize::ZERO,
            last_report: None,
            interval: MAX_INTERVAL,
        }
    }
}

impl ArrivalLog {
    /// A packet of `size` came at `arrival_micros` of the engine's clock.
    pub fn on_packet(&mut self, sequence: u16, size: DataSize, arrival_micros: u64, now: Instant) {
        let sequence = self.unwrap(sequence);
        self.make_room_for(sequence);
        if sequence < self.end.saturating_sub(MAX_ARRIVALS as u64) {
            return;
        }
        let place = Self::place(sequence);
        if sequence < self.base && self.arrivals[place] != MISSING {
            return; // a repetition of what was reported
        }
        self.base = self.base.min(sequence);
        if self.arrivals[place] == MISSING {
            self.arrivals[place] = (arrival_micros as u32).min(MISSING - 1);
            self.latest_micros = self.latest_micros.max(arrival_micros);
        }
        self.packets += 1;
        self.received += size;
        if self.due.is_none() {
            let since = self.last_report.unwrap_or(now);
            self.due = Some((since + self.interval).max(now));
        }
    }

    /// Fetches what the next packet touches.
    #[inline]
    pub fn prefetch(&self) {
        if !self.arrivals.is_empty() {
            prefetch(&self.arrivals[Self::place(self.end)]);
        }
    }

    /// Fetches what the next report tells of.
    #[inline]
    pub fn prefetch_report(&self) {
        const USUAL: usize = 32;
        if !self.arrivals.is_empty() {
            let (first, count) = (Self::place(self.base), (self.end - self.base) as usize);
            prefetch(&self.arrivals[first..self.arrivals.len().min(first + count.min(USUAL))]);
        }
    }

    /// When the next report is due; `None` while there is nothing to report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The next report, when one is due. A long one is cut; the rest is due at once.
    pub fn poll_report(&mut self, now: Instant) -> Option<ArrivalReport<'_>> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let base_sequence = self.base;
        let count = ((self.end - self.base) as usize).min(MAX_REPORT);
        self.base += count as u64;
        if self.base == self.end {
            self.adapt(now);
            self.due = None;
        }
        (count > 0).then_some(ArrivalReport { base_sequence, count, log: self })
    }

    /// Sets the interval so that reports stay below their share of what comes in.
    fn adapt(&mut self, now: Instant) {
        if let Some(last) = self.last_report {
            let elapsed = now.saturating_duration_since(last).max(MIN_INTERVAL);
            let allowed = Bitrate::of(self.received, elapsed) * REPORT_SHARE;
            let in_an_interval = self.packets * MAX_INTERVAL.as_millis() as u64 / elapsed.as_millis() as u64;
            let report = DataSize::bytes(REPORT_OVERHEAD_BYTES + in_an_interval * STATUS_BYTES);
            self.interval = allowed.time_for(report).clamp(MIN_INTERVAL, MAX_INTERVAL);
        }
        self.last_report = Some(now);
        self.packets = 0;
        self.received = DataSize::ZERO;
    }

    fn unwrap(&mut self, sequence: u16) -> u64 {
        if self.arrivals.is_empty() {
            self.arrivals = vec![MISSING; MAX_ARRIVALS];
            // One turn ahead, so that an earlier packet has a number too.
            self.base = 65_536 + u64::from(sequence);
            self.end = self.base;
        }
        let highest = self.end - 1;
        let ahead = sequence.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(i64::from(ahead))
    }

    /// Moves the end past `sequence`, forgetting what falls out of the ring.
    fn make_room_for(&mut self, sequence: u64) {
        if sequence < self.end {
            return;
        }
        if sequence - self.end >= MAX_ARRIVALS as u64 {
            // The publisher began anew, or nothing came for long: numbers in between are not worth a report.
            self.arrivals.fill(MISSING);
            self.base = sequence;
        } else {
            for skipped in self.end..=sequence {
                self.arrivals[Self::place(skipped)] = MISSING;
            }
        }
        self.end = sequence + 1;
        self.base = self.base.max(self.end.saturating_sub(MAX_ARRIVALS as u64));
    }

    fn arrival(&self, sequence: u64) -> Option<u64> {
        let arrival = self.arrivals[Self::place(sequence)];
        let before_latest = u64::from((self.latest_micros as u32).wrapping_sub(arrival));
        (arrival != MISSING).then(|| self.latest_micros.saturating_sub(before_latest))
    }

    fn place(sequence: u64) -> usize {
        sequence as usize & (MAX_ARRIVALS - 1)
    }
}

#[cfg(test)]
mod tests;
