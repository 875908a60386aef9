//! Sequence numbers (RFC 3550 §5.1, §A.1): 16 bits on the wire, 64 in the engine.

/// The first number of an encoding is taken to be in this cycle, so that numbers before it are still positive.
const FIRST_CYCLE: u64 = 1 << 16;

/// Turns 16-bit sequence numbers into 64-bit ones that never wrap.
#[derive(Debug, Clone, Copy, Default)]
pub struct SequenceUnwrapper {
    highest: Option<u64>,
}

impl SequenceUnwrapper {
    /// The number that `seq` stands for: the nearest to the highest so far, which it may become.
    #[inline]
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let unwrapped = match self.highest {
            None => FIRST_CYCLE + u64::from(seq),
            Some(highest) => {
                let distance = seq.wrapping_sub(highest as u16) as i16;
                highest.wrapping_add_signed(i64::from(distance))
            }
        };
        self.highest = self.highest.max(Some(unwrapped));
        unwrapped
    }

    /// The highest number so far.
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_go_on_over_the_wrap_and_back() {
        let mut sequence = SequenceUnwrapper::default();
        assert_eq!(sequence.unwrap(65_535), 131_071);
        assert_eq!(sequence.unwrap(1), 131_073);
        assert_eq!(sequence.unwrap(0), 131_072);
        assert_eq!(sequence.unwrap(65_534), 131_070);
    }

    #[test]
    fn reordering_at_the_start_does_not_underflow() {
        let mut sequence = SequenceUnwrapper::default();
        assert_eq!(sequence.unwrap(0), 65_536);
        assert_eq!(sequence.unwrap(65_535), 65_535);
        assert_eq!(sequence.unwrap(32_768), 32_768);
    }

    proptest! {
        #[test]
        fn steps_below_half_the_circle_are_followed(first: u16, steps in proptest::collection::vec(0u64..32_768, 1..50)) {
            let mut sequence = SequenceUnwrapper::default();
            let mut expected = sequence.unwrap(first);
            for step in steps {
                expected += step;
                prop_assert_eq!(sequence.unwrap(expected as u16), expected);
            }
        }

        #[test]
        fn any_number_keeps_its_low_bits_and_stays_positive(numbers in proptest::collection::vec(any::<u16>(), 1..200)) {
            let mut sequence = SequenceUnwrapper::default();
            for number in numbers {
                let unwrapped = sequence.unwrap(number);
                prop_assert_eq!(unwrapped as u16, number);
                prop_assert!(unwrapped < 1 << 40);
            }
        }
    }
}
