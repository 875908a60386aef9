//! What redundant sound (RFC 2198) may say to whom: nothing that was said before they had the right to hear it.

/// So many packets after its first one a right may be younger than what they repeat: the 14 bits of a block's age are 341 ms at
/// 48 kHz, and no packet of Opus is shorter than 2.5 ms.
const YOUNG_PACKETS: u64 = 137;
/// The most that a block's header can say.
const OLDEST_BLOCK: u32 = (1 << 14) - 1;

/// What of a packet's payload leaves.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// All of it, as it came.
    #[default]
    All,
    /// The newest block, as redundant sound that repeats nothing.
    Newest,
    /// The newest block, in the codec that it has.
    Bare,
}

/// Since which packet a subscriber has had the right to a track without a break.
#[derive(Debug, Default, Clone, Copy)]
pub struct Since(Option<(u64, u32)>);

impl Since {
    /// The right is there: it began with this packet, or before.
    pub fn begin(&mut self, sequence: u64, timestamp: u32) {
        self.0.get_or_insert((sequence, timestamp));
    }

    /// Whether a packet with this number may repeat what was said before.
    pub fn is_young(self, sequence: u64) -> bool {
        self.0.is_some_and(|(first, _)| sequence.wrapping_sub(first) < YOUNG_PACKETS)
    }

    /// What may leave of a packet whose oldest block is so many ticks older than itself; `None`: nothing. `oldest` is `None`
    /// when that cannot be read.
    pub fn may_hear(self, sequence: u64, timestamp: u32, oldest: Option<u32>) -> Option<Blocks> {
        let Some((_, first)) = self.0.filter(|_| self.is_young(sequence)) else { return Some(Blocks::All) };
        let since = (timestamp.wrapping_sub(first) as i32).max(0) as u32;
        if oldest.unwrap_or(OLDEST_BLOCK) <= since {
            return Some(Blocks::All);
        }
        oldest.map(|_| Blocks::Newest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_waits_until_nothing_in_it_can_be_older_than_the_right() {
        let mut since = Since::default();
        since.begin(70, 0u32.wrapping_sub(960));
        let heard = |n: u64| since.may_hear(70 + n, (n as u32 * 960).wrapping_sub(960), None);
        assert_eq!((0..20).find(|n| heard(*n).is_some()), Some(18), "18 x 20 ms are more than 341");
    }

    #[test]
    fn a_right_that_lasts_for_days_is_not_taken_for_a_young_one() {
        let mut since = Since::default();
        since.begin(0, 0);
        assert!((0..10_000_000u64).step_by(997).skip(1).all(|n| !since.is_young(n)));
    }

    proptest! {
        #[test]
        fn nothing_is_heard_that_was_said_before_the_right(
            first in any::<(u32, u32)>(),
            packets in proptest::collection::vec((120u32..5_760, proptest::collection::vec(1u32..=OLDEST_BLOCK, 0..9)), 1..200),
        ) {
            let mut since = Since::default();
            since.begin(u64::from(first.0), first.1);
            let mut passed = 0u64;
            for (n, (ticks, ages)) in packets.iter().enumerate() {
                let oldest = ages.iter().copied().max().unwrap_or(0);
                let timestamp = first.1.wrapping_add(passed as u32);
                let blocks = since.may_hear(u64::from(first.0) + n as u64, timestamp, Some(oldest));
                prop_assert_eq!(blocks, Some(if u64::from(oldest) <= passed { Blocks::All } else { Blocks::Newest }));
                passed += u64::from(*ticks);
            }
        }
    }
}
