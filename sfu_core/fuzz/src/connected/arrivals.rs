//! What arrived, to be told to the server (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::collections::BTreeMap;
use std::time::Instant;

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::twcc::FeedbackBuilder;
use sfu_core::rtp::seq::SequenceUnwrapper;

use crate::start;

/// Most numbers waiting to be told; nobody here receives more between two feedbacks.
const MAX_WAITING: usize = 256;
/// Longest feedback.
const MAX_FEEDBACK: usize = 1_200;

/// Transport-wide numbers that arrived, and when.
pub(super) struct Arrivals {
    numbers: SequenceUnwrapper,
    waiting: BTreeMap<u64, u64>,
    builder: FeedbackBuilder,
    media: Ssrc,
}

impl Arrivals {
    pub(super) fn new(media: Ssrc) -> Self {
        let (numbers, builder) = (SequenceUnwrapper::default(), FeedbackBuilder::new(Ssrc(1)));
        Self { numbers, waiting: BTreeMap::new(), builder, media }
    }

    pub(super) fn note(&mut self, number: Option<u16>, now: Instant) {
        if let Some(number) = number {
            let micros = (now - start()).as_micros() as u64;
            self.waiting.insert(self.numbers.unwrap(number), micros);
            if self.waiting.len() > MAX_WAITING {
                self.waiting.pop_first();
            }
        }
    }

    /// A feedback on all that has arrived since the last; `None` when nothing has.
    pub(super) fn tell(&mut self) -> Option<Vec<u8>> {
        let (&first, _) = self.waiting.first_key_value()?;
        let (&last, _) = self.waiting.last_key_value()?;
        let arrivals = (first..=last).map(|number| self.waiting.get(&number).copied());
        let mut out = vec![0; MAX_FEEDBACK];
        let built = self.builder.write(self.media, first, arrivals, &mut out);
        self.waiting.clear();
        out.truncate(built?.len);
        Some(out)
    }
}
