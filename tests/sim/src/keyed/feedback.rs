//! What arrived: by transport-wide number (draft-holmer-rmcat-transport-wide-cc-extensions-01), or as an estimate of one's own
//! (draft-alvestrand-rmcat-remb-03).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::twcc::FeedbackBuilder;
use sfu_core::rtp::seq::SequenceUnwrapper;
use sfu_core::units::{Bitrate, DataSize};

/// Between two feedbacks; Chromium sends one each 50 to 250 ms, depending on the rate.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// Between two estimates; aiortc sends one as often.
const ESTIMATE_INTERVAL: Duration = Duration::from_secs(1);

/// An estimate that sees no queue and no limit: somewhat more than what pictures arrive with, as aiortc makes it.
#[derive(Debug)]
pub(super) struct Estimator {
    bytes: u64,
    since: Instant,
}

impl Estimator {
    pub(super) const fn new(start: Instant) -> Self {
        Self { bytes: 0, since: start }
    }

    pub(super) const fn on_packet(&mut self, payload: usize) {
        self.bytes += payload as u64;
    }

    /// The estimate, when it is time for one.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Bitrate> {
        let span = now - self.since;
        if span < ESTIMATE_INTERVAL {
            return None;
        }
        let arrived = Bitrate::of(DataSize::bytes(self.bytes), span);
        (self.bytes, self.since) = (0, now);
        Some(arrived * 1.5 + Bitrate::kbps(10))
    }
}

/// Arrivals not yet told.
#[derive(Debug)]
pub(super) struct Arrivals {
    numbers: SequenceUnwrapper,
    /// Transport-wide number → microseconds since the start of the world.
    waiting: BTreeMap<u64, u64>,
    /// The first number that has not been told.
    next: Option<u64>,
    builder: FeedbackBuilder,
    start: Instant,
}

impl Arrivals {
    pub(super) fn new(sender: Ssrc, start: Instant) -> Self {
        let (numbers, builder) = (SequenceUnwrapper::default(), FeedbackBuilder::new(sender));
        Self { numbers, waiting: BTreeMap::new(), next: None, builder, start }
    }

    pub(super) fn record(&mut self, number: u16, now: Instant) {
        let number = self.numbers.unwrap(number);
        // One that was told as lost stays lost, as in browsers.
        if self.next.is_none_or(|next| number >= next) {
            self.waiting.entry(number).or_insert((now - self.start).as_micros() as u64);
        }
    }

    /// Writes one feedback about `media`; returns its length, or `None` when everything has been told.
    pub(super) fn write(&mut self, media: Ssrc, out: &mut [u8]) -> Option<usize> {
        let first = *self.waiting.first_key_value()?.0;
        let last = *self.waiting.last_key_value()?.0;
        let base = self.next.unwrap_or(first).min(first);
        let arrivals = (base..=last).map(|number| self.waiting.get(&number).copied());
        let built = self.builder.write(media, base, arrivals, out)?;
        let told = base + built.statuses as u64;
        self.waiting = self.waiting.split_off(&told);
        self.next = Some(told);
        Some(built.len)
    }
}
