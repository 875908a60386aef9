//! What was sent to a subscriber, by transport-wide number, until feedback tells what came of it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! Feedback is a claim of someone outside: it may repeat itself, contradict itself, or tell of packets never sent. Each
//! packet is acknowledged at most once, and nothing else has an effect.

use std::ops::Range;

use crate::prefetch::prefetch;
use crate::units::{DataSize, Nanos};

/// Entries at first: half a second at 10 Mbit/s. 16 bytes each.
pub const MIN_HISTORY: usize = 256;
/// Entries at most: a round trip of one second at 40 Mbit/s.
pub const MAX_HISTORY: usize = 4_096;
/// Most packets that one feedback acknowledges; the format could claim 65 535.
pub const MAX_ACKNOWLEDGED: usize = 2_048;
/// The ring grows when it would forget packets younger than this: their feedback may yet come.
const KEEP_MICROS: u64 = 1_500_000;
/// The unit of the feedback's reference time (64 ms) and of its deltas (250 µs), in microseconds.
const REFERENCE_MICROS: i64 = 64_000;
const DELTA_MICROS: i64 = 250;

/// The packets on their way to one subscriber.
#[derive(Debug, Clone)]
pub struct History {
    next: u64,
    ring: Vec<Entry>,
    in_flight: DataSize,
    /// When the first packet left since feedback was last heard.
    waiting_since: Option<Nanos>,
    /// The last reference time of feedback that told of an arrival, unwrapped.
    reference: Option<i64>,
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its transport-wide number, unwrapped.
    pub sequence: u64,
    /// Bytes on the wire.
    pub size: u16,
    /// When it left, in microseconds of our clock.
    pub sent_micros: i64,
    /// When it came, in microseconds of the subscriber's clock, which began at any time.
    pub arrival_micros: i64,
}

/// What one feedback told that was new.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    /// What arrived, by number.
    pub acknowledged: &'a [Acknowledged],
    /// How many are reported missing for the first time.
    pub lost: u32,
    /// What is on its way still.
    pub in_flight: DataSize,
}

impl Default for History {
    /// Nothing sent yet.
    fn default() -> Self {
        Self {
            next: 65_536, // so that no wrapped number is below zero
            ring: Vec::new(),
            in_flight: DataSize::ZERO,
            waiting_since: None,
            reference: None,
        }
    }
}

impl History {
    /// The number that the next packet gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// A packet of `size` bytes leaves: gives it its number, of which the low 16 bits go into the header extension.
    #[inline]
    pub fn on_sent(&mut self, size: u16, now: Nanos) -> u64 {
        let sequence = self.next;
        let sent_micros = now.as_micros();
        if self.ring.is_empty() {
            self.ring = vec![Entry::default(); MIN_HISTORY];
        }
        let mut place = self.place(sequence);
        if self.ring[place].state == State::Sent {
            self.make_room(place, sent_micros);
            place = self.place(sequence);
        }
        self.ring[place] = Entry { sent_micros, sequence: sequence as u32, size, state: State::Sent };
        self.in_flight += DataSize::bytes(u64::from(size));
        self.waiting_since.get_or_insert(now);
        self.next = sequence + 1;
        sequence
    }

    /// Fetches what the next packet touches.
    #[inline]
    pub fn prefetch_next(&self) {
        if !self.ring.is_empty() {
            const BURST: usize = 4;
            let place = self.place(self.next);
            prefetch(&self.ring[place..self.ring.len().min(place + BURST)]);
        }
    }

    /// Fetches what the next feedback is likely to tell of.
    #[inline]
    pub fn prefetch_recent(&self) {
        const RECENT: usize = 32;
        if !self.ring.is_empty() {
            let place = self.place(self.next);
            prefetch(&self.ring[place.saturating_sub(RECENT)..=place]);
        }
    }

    /// The kernel did not take these: they are neither lost nor on their way.
    pub fn mark_unsent(&mut self, sequences: Range<u64>) {
        let oldest = self.next.saturating_sub(self.ring.len() as u64);
        for sequence in sequences.start.max(oldest)..sequences.end.min(self.next) {
            let place = self.place(sequence);
            let entry = self.ring[place];
            if entry.sequence == sequence as u32 && entry.state == State::Sent {
                self.in_flight -= DataSize::bytes(u64::from(entry.size));
                self.ring[place].state = State::Empty;
            }
        }
        if self.in_flight == DataSize::ZERO {
            self.waiting_since = None;
        }
    }

    /// Since when something is on its way of which feedback is yet to tell. What is not told of although later feedback came
    /// is lost, and so is all of it when nothing was sent for so long that feedback would have come.
    pub fn waiting_since(&mut self, now: Nanos) -> Option<Nanos> {
        let last = self.ring.get(self.place(self.next - 1));
        if last.is_some_and(|last| now.as_micros().saturating_sub(last.sent_micros) >= KEEP_MICROS) {
            self.waiting_since = None;
        }
        self.waiting_since
    }

    /// Bytes sent and not yet reported.
    pub fn in_flight(&self) -> DataSize {
        self.in_flight
    }

    /// How many numbers from `base` on are so old that no feedback on them counts any more.
    pub fn forgotten(&self, base: u16) -> u16 {
        let first = self.first_of(base);
        let oldest = self.next.saturating_sub(self.ring.len() as u64).min(self.next - 1);
        oldest.saturating_sub(first) as u16
    }

    /// Takes feedback: the number of its first status, its reference time (24 bits, 64 ms each) and, for each number
    /// from there on, how much later than the one before it came, in 250 µs; `None` when it did not. What arrived is written
    /// to `acknowledged`, whose memory the caller keeps warm.
    pub fn on_feedback<'a>(
        &mut self,
        base: u16,
        reference_time: u32,
        statuses: impl Iterator<Item = Option<i32>>,
        acknowledged: &'a mut Vec<Acknowledged>,
    ) -> Feedback<'a> {
        acknowledged.clear();
        let mut lost = 0;
        // The remote says what time it is, so nothing but the distance of two arrivals means anything.
        let reference = self.unwrap_reference(reference_time);
        let mut arrival_micros = reference.wrapping_mul(REFERENCE_MICROS);
        let first = self.first_of(base);
        let oldest = self.next.saturating_sub(self.ring.len() as u64);
        for (sequence, status) in (first..self.next).zip(statuses) {
            arrival_micros = arrival_micros.wrapping_add(i64::from(status.unwrap_or(0)) * DELTA_MICROS);
            if sequence < oldest {
                continue;
            }
            let place = self.place(sequence);
            let entry = &mut self.ring[place];
            if entry.sequence != sequence as u32 || matches!(entry.state, State::Empty | State::Arrived) {
                continue;
            }
            let was_lost = entry.state == State::Lost;
            if !was_lost {
                self.in_flight -= DataSize::bytes(u64::from(entry.size));
            }
            if status.is_none() {
                entry.state = State::Lost;
                lost += u32::from(!was_lost);
            } else if acknowledged.len() < MAX_ACKNOWLEDGED {
                entry.state = State::Arrived;
                let sent_micros = entry.sent_micros as i64;
                acknowledged.push(Acknowledged { sequence, size: entry.size, sent_micros, arrival_micros });
            }
        }
        self.waiting_since = None;
        if !acknowledged.is_empty() {
            self.reference = Some(reference);
        }
        Feedback { acknowledged, lost, in_flight: self.in_flight }
    }

    /// The entry at `place` is still on its way: the ring grows when feedback on it may come, else it is given up.
    #[cold]
    fn make_room(&mut self, place: usize, now_micros: u64) {
        let (old, entry) = (self.ring.len(), self.ring[place]);
        if old < MAX_HISTORY && now_micros.saturating_sub(entry.sent_micros) < KEEP_MICROS {
            let mut larger = vec![Entry::default(); old * 2];
            for sequence in self.next.saturating_sub(old as u64)..self.next {
                larger[sequence as usize & (old * 2 - 1)] = self.ring[self.place(sequence)];
            }
            self.ring = larger;
        } else {
            self.in_flight -= DataSize::bytes(u64::from(entry.size));
        }
    }

    /// The reference time nearest to the last one that told of an arrival, in units since it began.
    fn unwrap_reference(&self, reference_time: u32) -> i64 {
        let wrapped = i64::from(reference_time & 0xff_ffff);
        let Some(last) = self.reference else { return wrapped };
        let ahead = wrapped.wrapping_sub(last) & 0xff_ffff;
        last.wrapping_add(if ahead < 0x80_0000 { ahead } else { ahead - 0x100_0000 })
    }

    /// The last number sent that `base` may stand for.
    fn first_of(&self, base: u16) -> u64 {
        let highest = self.next - 1;
        highest - u64::from((highest as u16).wrapping_sub(base))
    }

    #[inline]
    fn place(&self, sequence: u64) -> usize {
        sequence as usize & self.ring.len().wrapping_sub(1)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    Sent,
    Lost,
    Arrived,
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    sent_micros: u64,
    sequence: u32,
    size: u16,
    state: State,
}

#[cfg(test)]
mod tests;
