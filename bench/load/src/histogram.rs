//! How long things took: counts by nanoseconds, in steps of a sixty-fourth of the value.

/// Steps of each power of two, as a power of two.
const STEP_BITS: u32 = 6;
/// Up to 2^40 ns, 18 minutes; what is longer counts as that.
const BUCKETS: usize = (40 - STEP_BITS as usize + 1) << STEP_BITS;

/// Counts of durations.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest_ns: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    /// Both together.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let counts = self.counts.iter().zip(&other.counts).map(|(own, other)| own + other).collect();
        let (total, longest_ns) = (self.total + other.total, self.longest_ns.max(other.longest_ns));
        Self { counts, total, longest_ns }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn longest_ns(&self) -> u64 {
        self.longest_ns
    }

    /// What `per_mille` of a thousand did not exceed: the upper end of its step, and never more than the longest.
    pub(crate) fn quantile_ns(&self, per_mille: u64) -> u64 {
        let wanted = (self.total * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_ns(index).min(self.longest_ns);
            }
        }
        self.longest_ns
    }
}

fn bucket(ns: u64) -> usize {
    let top = (ns | 1).ilog2();
    let index = match top.checked_sub(STEP_BITS) {
        None => ns as usize,
        Some(shift) => (((shift as usize) + 1) << STEP_BITS) + (ns >> shift) as usize - (1 << STEP_BITS),
    };
    index.min(BUCKETS - 1)
}

/// The largest that falls into a step.
fn upper_ns(bucket: usize) -> u64 {
    let (row, column) = ((bucket >> STEP_BITS) as u32, (bucket & ((1 << STEP_BITS) - 1)) as u64);
    match row.checked_sub(1) {
        None => column,
        Some(shift) => ((column + (1 << STEP_BITS) + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_a_sixty_fourth_below_the_end_of_its_step() {
        for ns in (0..200).chain((1..35).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 777])) {
            let upper = upper_ns(bucket(ns));
            assert!(upper >= ns && upper - ns <= ns / 64, "{ns} {upper}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|at| histogram.add(at * 1_000));
        let close = |per_mille, ns: u64| {
            let found = histogram.quantile_ns(per_mille);
            assert!(found >= ns && found <= ns + ns / 60, "{per_mille}: {found}");
        };
        close(500, 500_000);
        close(990, 990_000);
        close(999, 999_000);
        assert_eq!((histogram.quantile_ns(1_000), histogram.total()), (1_000_000, 1_000));
    }

    #[test]
    fn of_nothing_every_quantile_is_zero() {
        assert_eq!(Histogram::default().quantile_ns(990), 0);
    }
}
