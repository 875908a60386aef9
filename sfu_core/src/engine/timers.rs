//! When whom to wake: one deadline per peer, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::ids::PeerId;
use crate::units::{Epoch, Nanos};

/// Entries that may be outdated, beyond one for each peer, before they are thrown out.
pub(crate) const MAX_STALE_TIMERS: usize = 1_024;

/// What is done once a second or so for each peer is done for several at once: waking up costs more than the work. So many peers
/// come up together in a full worker (36 of 1 800 who report each second) that no packet waits for them as long as one that queues.
const GRID: Duration = Duration::from_millis(20);

/// The last moment not after `at` at which regular work is done. Only for intervals that are much longer than the grid.
pub(super) fn together(epoch: &Epoch, at: Instant) -> Instant {
    let grid = GRID.as_nanos() as u64;
    epoch.instant_at(Nanos(epoch.nanos_at(at).0 / grid * grid))
}

/// Deadlines of peers. A peer that is armed anew keeps its old entry, which is skipped when it comes up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerId)>>,
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

    /// Sets aside in `due` what is due at `now`, earliest first, so that whoever is armed again while served waits for the next
    /// turn, however soon that is. An entry counts only if the peer notes that very deadline. Of `peers` peers those in `armed`
    /// are armed; outdated entries beyond the cap are thrown out.
    pub(crate) fn begin_turn(
        &mut self,
        peers: usize,
        armed: impl Iterator<Item = (Instant, PeerId)>,
        due: &mut Due,
        now: Instant,
    ) {
        if self.heap.len() > peers + MAX_STALE_TIMERS {
            self.heap.clear();
            self.heap.extend(armed.map(Reverse));
        }
        while let Some(&Reverse((at, peer))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            // Equal entries come one after the other.
            if due.deadlines.last() != Some(&at) || due.peers.last() != Some(&peer) {
                due.peers.push(peer);
                due.deadlines.push(at);
            }
        }
    }
}

/// Whose deadline has come, and when that was.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) peers: Vec<PeerId>,
    pub(crate) deadlines: Vec<Instant>,
}

impl Due {
    pub(crate) fn clear(&mut self) {
        self.peers.clear();
        self.deadlines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    const MS: Duration = Duration::from_millis(1);

    fn peer(slot: u32) -> PeerId {
        PeerId::new(slot, 0)
    }

    fn due(timers: &mut Timers, now: Instant) -> Vec<(PeerId, Instant)> {
        let mut due = Due::default();
        timers.begin_turn(1, std::iter::empty(), &mut due, now);
        due.peers.into_iter().zip(due.deadlines).collect()
    }

    #[test]
    fn who_is_armed_again_at_once_waits_for_the_next_turn() {
        let (now, mut timers, mut armed) = (start(), Timers::default(), None);
        timers.arm(peer(1), &mut armed, Some(now));
        for _ in 0..3 {
            let due = due(&mut timers, now);
            assert_eq!(due, [(peer(1), armed.expect("it is armed"))]);
            armed = None;
            timers.arm(peer(1), &mut armed, Some(now));
        }
    }

    #[test]
    fn regular_work_of_many_peers_falls_on_fifty_moments_a_second_and_comes_at_most_one_of_them_early() {
        let epoch = Epoch { instant: start(), ntp: crate::units::NtpTime::default() };
        let mut moments = std::collections::BTreeSet::new();
        for n in 0..1_000 {
            let asked = start() + MS * 1_000 + MS * n;
            let done = together(&epoch, asked);
            assert!(done <= asked && asked - done < GRID);
            assert_eq!(together(&epoch, done), done);
            moments.insert(done);
        }
        assert_eq!(moments.len(), 50);
    }

    #[test]
    fn equal_entries_are_served_once() {
        let (now, mut timers, mut armed) = (start(), Timers::default(), None);
        for _ in 0..3 {
            timers.arm(peer(1), &mut armed, Some(now));
            armed = None;
        }
        assert_eq!(due(&mut timers, now), [(peer(1), now)]);
    }

    #[test]
    fn outdated_entries_are_thrown_out_and_valid_ones_are_kept() {
        let (now, mut timers) = (start(), Timers::default());
        let mut armed = [None; 2];
        timers.arm(peer(0), &mut armed[0], Some(now + MS * 1_000_000));
        for n in (0..100_000).rev() {
            timers.arm(peer(1), &mut armed[1], Some(now + MS * (n + 1)));
            let known = armed.iter().enumerate().filter_map(|(slot, at)| Some(((*at)?, peer(slot as u32))));
            timers.begin_turn(2, known, &mut Due::default(), now);
            assert!(timers.heap.len() <= 2 + MAX_STALE_TIMERS);
        }
        assert_eq!(due(&mut timers, now + MS), [(peer(1), now + MS)]);
        assert!(due(&mut timers, now + MS * 1_000_000).iter().any(|(id, _)| *id == peer(0)));
    }
}
