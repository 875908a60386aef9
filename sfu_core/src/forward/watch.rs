//! Whether what is owed comes: a track from its publisher, or a subscription to its subscriber, looked at again and again.
//! Nothing is noted for a packet; what is counted anyway is compared.

use std::time::{Duration, Instant};

/// What has been still for so long is stalled: three looks. Silence has a packet every 0.4 s (DTX), a picture that stands still
/// one a second. With a look that has just passed it is noticed 2 s after the last packet.
const SILENT_AFTER: Duration = Duration::from_millis(1_400);
/// Until the first packet, four looks: a camera that has to warm up takes longer than a gap may last.
const FIRST_WITHIN: Duration = Duration::from_millis(1_900);
/// The most that one look adds: nobody is blamed for one that came late, as on a machine that was paused.
const MAX_STEP: Duration = Duration::from_secs(1);

/// What was counted at the last look, and for how long that has been all.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    packets: u64,
    looked: Option<Instant>,
    still: Duration,
    has_begun: bool,
}

impl Watch {
    /// Takes in how many packets there have been. `owed`: whether more should have come since the last look.
    pub fn look(&mut self, packets: u64, owed: Owed, now: Instant) {
        let step = self.looked.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let moved = self.has_moved(packets);
        self.packets = packets;
        self.has_begun |= moved;
        self.still = match owed {
            _ if moved => Duration::ZERO,
            Owed::Nothing => Duration::ZERO,
            Owed::NotNow => self.still,
            Owed::More => self.still + step.min(MAX_STEP),
        };
    }

    /// Whether there have been other packets than at the last look.
    pub fn has_moved(&self, packets: u64) -> bool {
        packets != self.packets
    }

    /// Whether nothing has come since the look before the last.
    pub fn is_still(&self) -> bool {
        !self.still.is_zero()
    }

    /// Whether something should have come by now.
    pub fn is_stalled(&self) -> bool {
        self.still >= if self.has_begun { SILENT_AFTER } else { FIRST_WITHIN }
    }
}

/// What should have come since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// Nothing, and nothing is held against it: it is muted, or not meant to come.
    Nothing,
    /// Nothing just now, as what it comes from is still or the way is lost; how long it has been still stays as it was.
    NotNow,
    /// Packets.
    More,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::start;

    const LOOK: Duration = Duration::from_millis(500);

    /// The looks after which it is stalled; one count each.
    fn stalled(counts: &[u64], owed: Owed) -> Vec<bool> {
        let mut watch = Watch::default();
        let looks = counts.iter().zip(0..);
        let look = |(packets, n): (&u64, u32)| {
            watch.look(*packets, owed, start() + LOOK * n);
            watch.is_stalled()
        };
        looks.map(look).collect()
    }

    #[test]
    fn what_has_begun_is_stalled_after_three_looks_and_what_has_not_after_four() {
        assert_eq!(stalled(&[0, 1, 1, 1, 1], Owed::More), [false, false, false, false, true]);
        assert_eq!(stalled(&[0, 0, 0, 0, 0], Owed::More), [false, false, false, false, true]);
        assert_eq!(stalled(&[0, 1, 1, 1, 1, 2], Owed::More).last(), Some(&false), "it goes on");
        assert_eq!(stalled(&[7, 7, 7, 7, 0], Owed::More), [false, false, false, true, false], "its count began anew");
    }

    #[test]
    fn one_look_that_comes_late_stalls_nothing() {
        let mut watch = Watch::default();
        watch.look(1, Owed::More, start());
        watch.look(1, Owed::More, start() + LOOK * 1_000);
        assert!(watch.is_still() && !watch.is_stalled());
    }

    proptest! {
        #[test]
        fn what_is_not_owed_is_never_stalled(counts in proptest::collection::vec(0u64..4, 0..20)) {
            prop_assert!(stalled(&counts, Owed::Nothing).iter().all(|stalled| !stalled));
            prop_assert!(stalled(&counts, Owed::NotNow).iter().all(|stalled| !stalled));
        }

        #[test]
        fn what_comes_once_a_second_is_never_stalled(early_ms in 0u64..400) {
            // A picture that stands still: looks fall anywhere between two of its packets.
            let count = |look: u32| (u64::from(look) * 500 + early_ms) / 1_000;
            let counts: Vec<u64> = (0..40).map(count).collect();
            prop_assert!(stalled(&counts, Owed::More).iter().skip(4).all(|stalled| !stalled));
        }
    }
}
