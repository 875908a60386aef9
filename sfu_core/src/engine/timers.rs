//! When whom to wake: one deadline per peer, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::ids::PeerId;

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

    /// The next peer whose deadline has come, with that deadline; the caller skips it when the peer notes another one.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(PeerId, Instant)> {
        let Reverse((at, peer)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((peer, at))
    }
}
