//! What a revocation overtakes: it has a lane of its own, so the grant it takes back may still be queued. Such a grant
//! counts as done and undone, and must not be carried out afterwards.

use std::collections::BTreeMap;

use super::lanes::MAX_COMMANDS;
use crate::engine::command::Command;
use crate::ids::{Mid, PeerId, TrackId};

/// Most grants that can be overtaken at once; beyond, those that no queued command can be older than are forgotten.
const MAX_REMEMBERED: usize = 2 * MAX_COMMANDS;

/// What is granted by one command and taken back by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Edge(TrackId, PeerId),
    Data(PeerId, PeerId),
    Sound(TrackId),
    Section(PeerId, Mid),
}

impl Right {
    fn of(command: &Command) -> Option<Self> {
        match command {
            Command::Allow { track, subscriber, .. } | Command::Revoke { track, subscriber } => {
                Some(Self::Edge(*track, *subscriber))
            }
            Command::AllowData { publisher, subscriber } | Command::RevokeData { publisher, subscriber } => {
                Some(Self::Data(*publisher, *subscriber))
            }
            Command::Mute { track, .. } => Some(Self::Sound(*track)),
            Command::Subscribe { peer, mid, .. } | Command::Unsubscribe { peer, mid } => {
                Some(Self::Section(*peer, *mid))
            }
            _ => None,
        }
    }
}

/// Which rights were taken back, and after how many requests.
#[derive(Debug, Default)]
pub(super) struct Overtaking {
    revoked: BTreeMap<Right, u64>,
    /// No queued ordinary command is older.
    oldest: u64,
}

impl Overtaking {
    /// A revocation was carried out, the `order`-th request of all.
    pub(super) fn revoked(&mut self, command: &Command, order: u64) {
        let Some(right) = Right::of(command) else { return };
        let latest = self.revoked.entry(right).or_default();
        *latest = order.max(*latest);
        if self.revoked.len() > MAX_REMEMBERED {
            let oldest = self.oldest;
            self.revoked.retain(|_, order| *order > oldest);
        }
    }

    /// Whether an ordinary command, the `order`-th request of all, was taken back before its turn came.
    pub(super) fn is_overtaken(&mut self, command: &Command, order: u64) -> bool {
        self.oldest = order;
        let revoked = Right::of(command).and_then(|right| self.revoked.get(&right));
        revoked.is_some_and(|&revoked| revoked > order)
    }

    /// No ordinary command is queued, so nothing can be overtaken.
    pub(super) fn clear(&mut self) {
        self.revoked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACK: TrackId = TrackId::new(1, 0);
    const PEER: PeerId = PeerId::new(2, 0);
    const ALLOW: Command = Command::Allow { track: TRACK, subscriber: PEER, echo: false };
    const REVOKE: Command = Command::Revoke { track: TRACK, subscriber: PEER };

    #[test]
    fn a_grant_asked_before_its_revocation_is_overtaken_and_one_asked_after_is_not() {
        let mut overtaking = Overtaking::default();
        overtaking.revoked(&REVOKE, 7);
        assert!(overtaking.is_overtaken(&ALLOW, 6));
        assert!(!overtaking.is_overtaken(&ALLOW, 8));
    }

    #[test]
    fn a_revocation_overtakes_only_its_own_right() {
        let mut overtaking = Overtaking::default();
        overtaking.revoked(&REVOKE, 7);
        assert!(!overtaking.is_overtaken(&Command::Mute { track: TRACK, muted: false }, 6));
        overtaking.revoked(&Command::Mute { track: TRACK, muted: true }, 8);
        assert!(overtaking.is_overtaken(&Command::Mute { track: TRACK, muted: false }, 6));
    }

    #[test]
    fn what_is_remembered_is_bounded_once_old_commands_are_gone() {
        let mut overtaking = Overtaking::default();
        for order in 0..3 * MAX_REMEMBERED as u64 {
            let _overtaken = overtaking.is_overtaken(&Command::Stats, order);
            overtaking.revoked(&Command::Revoke { track: TrackId::new(order as u32, 0), subscriber: PEER }, order);
        }
        assert!(overtaking.revoked.len() <= MAX_REMEMBERED + 1);
    }
}
