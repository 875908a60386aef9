//! What redundant sound (RFC 2198) may say to whom: nothing that was said before they had the right to hear it.

/// So many packets after its first one a right may be younger than what they repeat: the 14 bits of a block's age are 341 ms at
/// 48 kHz, and no packet of Opus is shorter than 2.5 ms.
const YOUNG_PACKETS: i64 = 137;
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
pub struct Since {
    /// The highest number that had come before.
    before: Option<u64>,
    first: Option<(u64, u32)>,
}

impl Since {
    /// The right came after the packet with this number, or before any.
    pub const fn after(before: Option<u64>) -> Self {
        Self { before, first: None }
    }

    /// The right is there when this packet comes: it begins with it, or began before. One that comes late is older than what
    /// had come before the right: nothing begins with it.
    pub fn begin(&mut self, sequence: u64, timestamp: u32) {
        if self.before.is_none_or(|before| before < sequence) {
            self.first.get_or_insert((sequence, timestamp));
        }
    }

    /// Whether a packet with this number may repeat what was said before. One that comes late is older than the first.
    pub fn is_young(self, sequence: u64) -> bool {
        self.first.is_none_or(|(first, _)| (sequence.wrapping_sub(first) as i64) < YOUNG_PACKETS)
    }

    /// What may leave of a packet whose oldest block is so many ticks older than itself; `None`: nothing. `oldest` is `None`
    /// when that cannot be read.
    pub fn may_hear(self, sequence: u64, timestamp: u32, oldest: Option<u32>) -> Option<Blocks> {
        let (number, first) = self.first?;
        if !self.is_young(sequence) {
            return Some(Blocks::All);
        }
        if sequence < number {
            return None;
        }
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
            late in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let mut since = Since::default();
            // Those at places below 50 were said before the right.
            let begun = 50.min(packets.len() - 1);
            let spoken: Vec<u64> = packets.iter().scan(0, |at, (ticks, _)| { *at += u64::from(*ticks); Some(*at) }).collect();
            let (number, timestamp) =
                (|n: usize| u64::from(first.0) + n as u64, |n: usize| first.1.wrapping_add(spoken[n] as u32));
            since.begin(number(begun), timestamp(begun));
            let late = late.iter().map(|index| index.index(packets.len()));
            for n in (begun..packets.len()).chain(late) {
                let oldest = packets[n].1.iter().copied().max().unwrap_or(0);
                let blocks = since.may_hear(number(n), timestamp(n), Some(oldest));
                let repeats = if n < begun { None } else { Some(u64::from(oldest) > spoken[n] - spoken[begun]) };
                let may = repeats.map(|repeats| if repeats { Blocks::Newest } else { Blocks::All });
                prop_assert_eq!(blocks, may);
            }
        }
    }
}
