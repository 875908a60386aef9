//! How long packets stay in the server: from the step in which they came in to the one in which they left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::media::Stamp;

/// Durations, counted by length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    counts: BTreeMap<Duration, u64>,
}

impl Durations {
    /// Writes one down.
    pub fn record(&mut self, duration: Duration) {
        *self.counts.entry(duration).or_default() += 1;
    }

    /// Takes over what others wrote down.
    pub fn merge(&mut self, other: &Self) {
        for (&duration, count) in &other.counts {
            *self.counts.entry(duration).or_default() += count;
        }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The shortest that `share` of them do not exceed; `None` when there are none.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = (self.len() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = |(&duration, count): (&Duration, &u64)| {
            seen += count;
            (seen >= rank).then_some(duration)
        };
        self.counts.iter().find_map(reached)
    }
}

/// Judges packets whose publishers are all equally far from a server that looks at its socket in fixed steps: a packet is
/// sent in the first step after its capture, and comes in when it has travelled.
#[derive(Debug, Clone)]
pub struct Stays {
    /// Sound.
    pub sound: Durations,
    /// Pictures.
    pub pictures: Durations,
    /// The step.
    grain: Duration,
    /// How long a packet travels from its publisher to the server: whole steps.
    travels: Duration,
    /// What came in earlier does not count.
    since: Duration,
}

impl Stays {
    /// Nothing seen yet; what comes in earlier than `since` after the start of the world will not count.
    pub fn new(grain: Duration, travels: Duration, since: Duration) -> Self {
        let (sound, pictures) = (Durations::default(), Durations::default());
        Self { sound, pictures, grain, travels, since }
    }

    /// A packet, of sound or of pictures, that left the server at `left`, for the first time.
    ///
    /// # Panics
    /// When it left before it can have come in: then not all publishers are equally far.
    pub fn record(&mut self, stamp: &Stamp, is_sound: bool, left: Instant, start: Instant) {
        let grain = self.grain.as_nanos() as u64;
        let sent = (stamp.captured().as_nanos() as u64).next_multiple_of(grain);
        let came = Duration::from_nanos(sent) + self.travels;
        if came < self.since {
            return;
        }
        let left = left - start;
        let stay = left.checked_sub(came).unwrap_or_else(|| panic!("{stamp:?} came at {came:?} and left at {left:?}"));
        if is_sound {
            self.sound.record(stay);
        } else {
            self.pictures.record(stay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::media::Microphone;

    #[test]
    fn a_percentile_is_a_duration_that_occurred() {
        let mut durations = Durations::default();
        assert_eq!(durations.percentile(0.5), None);
        for ms in [1, 1, 1, 2, 9] {
            durations.record(Duration::from_millis(ms));
        }
        let at = |share| durations.percentile(share).map(|duration| duration.as_millis());
        assert_eq!([0.0, 0.5, 0.6, 0.8, 0.81, 1.0].map(at), [1, 1, 1, 2, 9, 9].map(Some));
        assert_eq!(durations.len(), 5);
    }

    #[test]
    fn a_stay_begins_with_the_step_in_which_the_packet_came_in() {
        let (start, ms) = (Clock::new().now(), Duration::from_millis);
        let packet = Microphone::new(1, 0, start, start).poll_packet(start).expect("it is due");
        let stamp = |captured_us| Stamp { captured_us, ..packet.stamp };
        let mut stays = Stays::new(ms(1), ms(10), ms(20));
        stays.record(&stamp(9_000), true, start + ms(25), start);
        assert!(stays.sound.is_empty(), "it came too early");
        stays.record(&stamp(10_000), true, start + ms(20), start);
        stays.record(&stamp(10_001), true, start + ms(24), start);
        stays.record(&stamp(10_001), false, start + ms(30), start);
        assert_eq!((stays.sound.percentile(0.5), stays.sound.percentile(1.0)), (Some(ms(0)), Some(ms(3))));
        assert_eq!(stays.pictures.percentile(1.0), Some(ms(9)));
    }
}
