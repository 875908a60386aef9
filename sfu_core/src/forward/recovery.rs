//! Asking a publisher again for what was lost on its way to us (RFC 4585 §6.2.1): once per encoding, however many
//! subscribers wait for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

/// A hole is often a reordering: wait this long before asking.
const REORDER_WAIT: Duration = Duration::from_millis(8);
/// Ask again after this or the round trip and [`PATIENCE`], whichever is longer.
const MIN_RETRY: Duration = Duration::from_millis(25);
/// This part of a round trip more: an answer takes a whole one and what the publisher's pacer adds, and whoever asked again
/// just then would have everything sent twice.
const PATIENCE: u32 = 8;
/// After so many requests in vain the shortest wait grows by itself: a short path could be asked forty times in a second.
const TRIES_AT_ONE_PACE: u32 = 4;
/// What is older than this would come too late to be shown.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Holes remembered per encoding: a tenth of a second of a fast video lost whole.
pub const MAX_MISSING: usize = 256;
/// A jump larger than this is a new start, not a loss.
const MAX_JUMP: u64 = 512;
/// Sequence numbers in one request: keeps the NACK packet small.
pub const MAX_REQUEST: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Missing {
    sequence: u64,
    since: Instant,
    ask_at: Instant,
    tries: u32,
}

/// The holes in one encoding.
#[derive(Debug, Default)]
pub struct Recovery {
    highest: Option<u64>,
    missing: VecDeque<Missing>,
}

impl Recovery {
    /// A packet came, whether new, late or repaired.
    #[inline]
    pub fn on_packet(&mut self, sequence: u64, now: Instant) {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return;
        };
        if sequence == highest + 1 {
            self.highest = Some(sequence);
        } else if sequence > highest {
            self.note_hole(highest + 1, sequence, now);
            self.highest = Some(sequence);
        } else if !self.missing.is_empty()
            && let Ok(place) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence)
        {
            self.missing.remove(place);
        }
    }

    /// When [`poll_request`](Self::poll_request) next has something to ask for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.ask_at).min()
    }

    /// What to ask for now, lowest first.
    pub fn poll_request(&mut self, round_trip: Duration, now: Instant) -> ArrayVec<u16, MAX_REQUEST> {
        self.missing.retain(|missing| now.saturating_duration_since(missing.since) < MAX_AGE);
        let mut request = ArrayVec::new();
        for missing in self.missing.iter_mut().filter(|missing| missing.ask_at <= now) {
            if request.try_push(missing.sequence as u16).is_err() {
                break;
            }
            let shortest = MIN_RETRY * (1 + missing.tries / TRIES_AT_ONE_PACE);
            missing.tries += 1;
            missing.ask_at = now + (round_trip + round_trip / PATIENCE).max(shortest);
        }
        request
    }

    /// For how long the oldest of what is missing has been.
    pub fn longest_wait(&self, now: Instant) -> Duration {
        self.missing.front().map_or(Duration::ZERO, |missing| now.saturating_duration_since(missing.since))
    }

    fn note_hole(&mut self, from: u64, to: u64, now: Instant) {
        if to - from > MAX_JUMP {
            self.missing.clear();
            return;
        }
        for sequence in from..to {
            if self.missing.len() == MAX_MISSING {
                self.missing.pop_front();
            }
            self.missing.push_back(Missing { sequence, since: now, ask_at: now + REORDER_WAIT, tries: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn a_reordered_packet_is_not_asked_for() {
        let (mut recovery, now) = (Recovery::default(), start());
        for sequence in [10, 12, 11, 13] {
            recovery.on_packet(sequence, now);
        }
        assert_eq!(recovery.poll_timeout(), None);
        assert!(recovery.poll_request(RTT, now + REORDER_WAIT).is_empty());
    }

    #[test]
    fn a_lost_packet_is_asked_for_again_after_a_round_trip_until_it_comes() {
        let (mut recovery, now) = (Recovery::default(), start());
        recovery.on_packet(65_535, now);
        recovery.on_packet(65_538, now);
        let first = now + REORDER_WAIT;
        assert_eq!(recovery.poll_timeout(), Some(first));
        assert_eq!(recovery.poll_request(RTT, first).as_slice(), &[0, 1]);
        assert!(recovery.poll_request(RTT, first + RTT / 2).is_empty());
        recovery.on_packet(65_536, first + RTT / 2);
        assert!(recovery.poll_request(RTT, first + RTT).is_empty(), "the answer is about to come");
        assert_eq!(recovery.poll_request(RTT, first + RTT + RTT / PATIENCE).as_slice(), &[1]);
    }

    #[test]
    fn a_packet_is_asked_for_as_long_as_it_can_be_shown_however_short_the_path() {
        let (mut recovery, start) = (Recovery::default(), start());
        recovery.on_packet(1, start);
        recovery.on_packet(3, start);
        let mut asked = Vec::new();
        while let Some(at) = recovery.poll_timeout() {
            if !recovery.poll_request(Duration::from_millis(1), at).is_empty() {
                asked.push((at - start).as_millis());
            }
        }
        // A fifth lost both ways: each of them fails with 36 %, all of them once in ten million times.
        assert_eq!(asked, [8, 33, 58, 83, 108, 158, 208, 258, 308, 383, 458, 533, 608, 708, 808, 908]);
    }

    #[test]
    fn what_is_too_old_to_be_shown_is_given_up() {
        let (mut recovery, now) = (Recovery::default(), start());
        recovery.on_packet(1, now);
        recovery.on_packet(3, now);
        assert!(recovery.poll_request(RTT, now + MAX_AGE).is_empty());
        assert_eq!(recovery.poll_timeout(), None);
    }

    #[test]
    fn a_storm_of_holes_stays_within_the_cap() {
        let (mut recovery, now) = (Recovery::default(), start());
        for n in 0..10_000u64 {
            recovery.on_packet(n * 100, now);
        }
        assert!(recovery.missing.len() <= MAX_MISSING);
        assert_eq!(recovery.poll_request(RTT, now + REORDER_WAIT).len(), MAX_REQUEST);
    }
}
