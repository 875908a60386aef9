//! When whom to wake: one deadline per peer, earliest first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use crate::ids::PeerId;

/// Entries that may be outdated, beyond one for each peer, before they are thrown out.
pub(crate) const MAX_STALE_TIMERS: usize = 1_024;

/// Deadlines of peers. A peer that is armed anew keeps its old entry, which is skipped when it comes up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerId)>>,
    /// What has come due this turn and was not served yet.
    due: VecDeque<(Instant, PeerId)>,
}

impl Timers {
    /// Wakes `peer` at `at`. `armed` is the peer's own note of its one valid deadline.
    pub(crate) fn arm(&mut self, peer: PeerId, armed: &mut Option<Instant>, at: Option<Instant>) {
        let Some(at) = at else { return };
        if armed.is_none_or(|earlier| at < earlier) {
            *armed = Some(at);
            self.heap.push(Reverse((at, peer)));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Sets aside what is due at `now`, so that whoever is armed again while served waits for the next turn, however soon
    /// that is. Of `peers` peers those in `armed` are armed; outdated entries beyond the cap are thrown out.
    pub(crate) fn begin_turn(&mut self, peers: usize, armed: impl Iterator<Item = (Instant, PeerId)>, now: Instant) {
        if self.heap.len() > peers + MAX_STALE_TIMERS {
            self.heap.clear();
            self.heap.extend(armed.map(Reverse));
        }
        while let Some(&Reverse(entry)) = self.heap.peek()
            && entry.0 <= now
        {
            self.heap.pop();
            // Equal entries come one after the other.
            if self.due.back() != Some(&entry) {
                self.due.push_back(entry);
            }
        }
    }

    /// Who comes next, in the same order.
    pub(crate) fn coming(&self) -> impl Iterator<Item = PeerId> {
        self.due.iter().map(|(_, peer)| *peer)
    }

    /// The next peer whose deadline had come when the turn began, with that deadline; the caller skips it when the peer
    /// notes another one.
    pub(crate) fn pop_due(&mut self) -> Option<(PeerId, Instant)> {
        self.due.pop_front().map(|(at, peer)| (peer, at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::start;

    const MS: Duration = Duration::from_millis(1);

    fn peer(slot: u32) -> PeerId {
        PeerId::new(slot, 0)
    }

    #[test]
    fn who_is_armed_again_at_once_waits_for_the_next_turn() {
        let (now, mut timers, mut armed) = (start(), Timers::default(), None);
        timers.arm(peer(1), &mut armed, Some(now));
        for _ in 0..3 {
            timers.begin_turn(1, std::iter::empty(), now);
            let mut served = 0;
            while let Some((id, at)) = timers.pop_due() {
                assert_eq!((id, Some(at)), (peer(1), armed));
                served += 1;
                armed = None;
                timers.arm(id, &mut armed, Some(now));
            }
            assert_eq!(served, 1);
        }
    }

    #[test]
    fn equal_entries_are_served_once() {
        let (now, mut timers, mut armed) = (start(), Timers::default(), None);
        for _ in 0..3 {
            timers.arm(peer(1), &mut armed, Some(now));
            armed = None;
        }
        timers.begin_turn(1, std::iter::empty(), now);
        assert_eq!(timers.pop_due(), Some((peer(1), now)));
        assert_eq!(timers.pop_due(), None);
    }

    #[test]
    fn outdated_entries_are_thrown_out_and_valid_ones_are_kept() {
        let (now, mut timers) = (start(), Timers::default());
        let mut armed = [None; 2];
        timers.arm(peer(0), &mut armed[0], Some(now + MS * 1_000_000));
        for n in (0..100_000).rev() {
            timers.arm(peer(1), &mut armed[1], Some(now + MS * (n + 1)));
            let known = armed.iter().enumerate().filter_map(|(slot, at)| Some(((*at)?, peer(slot as u32))));
            timers.begin_turn(2, known, now);
            assert!(timers.heap.len() <= 2 + MAX_STALE_TIMERS);
        }
        timers.begin_turn(2, std::iter::empty(), now + MS);
        assert_eq!(timers.pop_due(), Some((peer(1), now + MS)));
        let mut woken = Vec::new();
        timers.begin_turn(2, std::iter::empty(), now + MS * 1_000_000);
        while let Some((id, _)) = timers.pop_due() {
            woken.push(id);
        }
        assert!(woken.contains(&peer(0)));
    }
}
