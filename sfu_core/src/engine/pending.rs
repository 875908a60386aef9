//! Who has something to send: now, or when its pacer lets the next packet go. Whoever has to wait is not looked at before, so
//! that a turn costs nothing for those who wait.

use super::MAX_PEERS;
use super::member::Member;
use crate::bwe::pacer::PaceKind;
use crate::ids::PeerId;
use crate::units::Nanos;

/// The moment of what does not wait.
pub(super) const NEVER: Nanos = Nanos(u64::MAX);

/// Peers with something to send.
#[derive(Debug)]
pub(crate) struct Pending {
    /// At once, in the order in which they got it; those whose [`pending`](Member::pending) is set.
    now: Vec<PeerId>,
    /// Not before that moment: those that have a [`waits_until`](Member::waits_until).
    later: Vec<(PeerId, Nanos)>,
    /// Nobody's wait ends before this.
    earliest: Nanos,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { now: Vec::new(), later: Vec::new(), earliest: NEVER }
    }

    /// The peer has something to send at once.
    #[inline]
    pub(crate) fn note(&mut self, member: &mut Member) {
        if !member.pending {
            member.pending = true;
            self.now.push(member.id);
        }
    }

    /// A packet was put into the peer's queue. Pictures that come while others wait for their turn wait as well.
    #[inline]
    pub(crate) fn note_queued(&mut self, member: &mut Member, kind: PaceKind) {
        if kind == PaceKind::Audio || member.waits_until == NEVER {
            self.note(member);
        }
    }

    /// The peer's next packet may leave at `until`. That moment only ever moves away, so an earlier wait stays what it is.
    #[inline]
    pub(super) fn wait(&mut self, member: &mut Member, until: Nanos) {
        if member.waits_until == NEVER {
            member.waits_until = until;
            self.earliest = self.earliest.min(until);
            self.later.push((member.id, until));
        }
        debug_assert!(self.later.len() <= MAX_PEERS, "each peer waits once");
    }

    /// Whether there is nobody to serve, as far as is known without a look at the time.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty() && self.earliest == NEVER
    }

    /// Whether there is nobody to serve at `at`.
    #[inline]
    pub(super) fn is_idle(&self, at: Nanos) -> bool {
        self.now.is_empty() && at < self.earliest
    }

    /// Moves those that have something to send at `at` to `into`: first those whose wait is over, and says how many these are,
    /// then the others, among whom they may be once more.
    pub(super) fn take(&mut self, at: Nanos, into: &mut Vec<PeerId>) -> usize {
        if at >= self.earliest {
            let mut earliest = NEVER;
            self.later.retain(|&(peer, until)| {
                if until > at {
                    earliest = earliest.min(until);
                    return true;
                }
                into.push(peer);
                false
            });
            self.earliest = earliest;
        }
        let waited = into.len();
        into.append(&mut self.now);
        debug_assert!(into.len() <= 2 * MAX_PEERS, "each peer is noted once, and waits once");
        waited
    }

    /// Those with something to send at once.
    pub(super) fn at_once(&self) -> &[PeerId] {
        &self.now
    }

    /// When the first wait ends; [`NEVER`] when nobody waits.
    pub(super) fn earliest(&self) -> Nanos {
        self.earliest
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.later.len()
    }

    /// The peer is gone.
    pub(super) fn forget(&mut self, member: &Member) {
        if member.waits_until != NEVER {
            self.later.retain(|(peer, _)| *peer != member.id);
        }
    }

    /// Finds everybody anew by what they have noted themselves: a turn that broke took its list along.
    pub(super) fn restore<'a>(&mut self, members: impl Iterator<Item = &'a Member>) {
        *self = Self::new();
        for member in members {
            if member.pending {
                self.now.push(member.id);
            }
            if member.waits_until != NEVER {
                self.earliest = self.earliest.min(member.waits_until);
                self.later.push((member.id, member.waits_until));
            }
        }
    }
}
