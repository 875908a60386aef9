//! The longest time without a packet in any stream, by when it began: for whoever does something to a server at moments of
//! their own, and asks afterwards what the streams were like around them.

/// Spans that are kept: half an hour of 10 ms each. What begins later counts in the last.
const MAX_SPANS: usize = 180_000;

/// The gaps of all streams together, in spans of equal length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaps {
    began_ns: u64,
    /// Nothing is kept while this is zero.
    span_ns: u64,
    longest_ns: Vec<u64>,
}

impl Gaps {
    /// Spans begin at `began_ns`, since 1970.
    pub(crate) fn begin(began_ns: u64, span_ms: u64) -> Self {
        Self { began_ns, span_ns: span_ms * 1_000_000, longest_ns: Vec::new() }
    }

    /// Between these instants a stream brought nothing.
    pub(crate) fn note(&mut self, from_ns: u64, until_ns: u64) {
        let Some(span) = from_ns.saturating_sub(self.began_ns).checked_div(self.span_ns) else { return };
        let span = (span as usize).min(MAX_SPANS - 1);
        self.longest_ns.resize(self.longest_ns.len().max(span + 1), 0);
        let longest_ns = &mut self.longest_ns[span];
        *longest_ns = until_ns.saturating_sub(from_ns).max(*longest_ns);
    }

    /// Span by span, in milliseconds.
    pub(crate) fn longest_ms(&self) -> Vec<f64> {
        self.longest_ns.iter().map(|&ns| ns as f64 / 1e6).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_gap_counts_where_it_began_however_long_it_lasts() {
        let mut gaps = Gaps::begin(1_000 * MS, 10);
        gaps.note(1_000 * MS, 1_002 * MS);
        gaps.note(1_025 * MS, 1_095 * MS);
        gaps.note(1_029 * MS, 1_040 * MS);
        assert_eq!(gaps.longest_ms(), [2.0, 0.0, 70.0]);
    }

    #[test]
    fn nothing_is_kept_for_who_does_not_ask() {
        let mut gaps = Gaps::default();
        gaps.note(1_000 * MS, 1_020 * MS);
        assert_eq!(gaps.longest_ms(), [0.0; 0]);
    }

    #[test]
    fn what_begins_after_all_spans_counts_in_the_last() {
        let mut gaps = Gaps::begin(0, 1);
        gaps.note(u64::MAX - MS, u64::MAX);
        assert_eq!((gaps.longest_ms().len(), gaps.longest_ms().last()), (MAX_SPANS, Some(&1.0)));
    }
}
