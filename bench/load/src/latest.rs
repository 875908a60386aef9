//! When the latest packets of a connection came, whatever became of them: what a server still sends to somebody whom it
//! has removed.

use std::collections::VecDeque;

/// Instants that are kept: a third of a second of sound and pictures.
const MAX_KEPT: usize = 64;

/// The latest arrivals.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    kept: VecDeque<u64>,
}

impl Latest {
    /// A packet came at `at_ns` since 1970.
    pub(crate) fn note(&mut self, at_ns: u64) {
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(at_ns);
    }

    /// The instants, in the order in which they came.
    pub(crate) fn instants_ns(&self) -> Vec<u64> {
        self.kept.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_the_oldest_forgotten() {
        let mut latest = Latest::default();
        (0..100).for_each(|at_ns| latest.note(at_ns));
        assert_eq!(latest.instants_ns(), (36..100).collect::<Vec<u64>>());
    }
}
