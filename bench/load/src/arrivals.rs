//! When packets of one connection arrived, by their transport-wide numbers, until that is told to the sender
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::twcc::FeedbackBuilder;

/// Most arrivals kept: more than 50 ms bring at any rate that is sent here.
const MAX_KEPT: usize = 2_048;

/// The arrivals not yet told.
#[derive(Debug)]
pub(crate) struct Arrivals {
    builder: FeedbackBuilder,
    /// Number of the first that is not told, wraps included.
    base: u64,
    /// In microseconds; nothing where nothing came yet.
    kept: Vec<Option<u64>>,
    media: Ssrc,
}

impl Arrivals {
    pub(crate) fn new(sender: Ssrc) -> Self {
        Self { builder: FeedbackBuilder::new(sender), base: 0, kept: Vec::new(), media: Ssrc(0) }
    }

    pub(crate) fn note(&mut self, number: u16, media: Ssrc, at_us: u64) {
        if self.base == 0 {
            self.base = 1 << 16 | u64::from(number);
        }
        self.media = media;
        let ahead = number.wrapping_sub(self.base as u16) as i16;
        // Earlier than what was told already: late, and of no more use.
        let Ok(place) = usize::try_from(ahead) else { return };
        if place < MAX_KEPT {
            if self.kept.len() <= place {
                self.kept.resize(place + 1, None);
            }
            self.kept[place].get_or_insert(at_us);
        }
    }

    /// Writes one feedback on what is not told yet and returns its length; `None` when there is nothing (more).
    pub(crate) fn write(&mut self, out: &mut [u8]) -> Option<usize> {
        let built = self.builder.write(self.media, self.base, self.kept.iter().copied(), out)?;
        self.base += built.statuses as u64;
        self.kept.drain(..built.statuses);
        Some(built.len)
    }
}

#[cfg(test)]
mod tests {
    use sfu_core::rtcp::{RtcpPacket, packets};

    use super::*;

    fn told(arrivals: &mut Arrivals) -> Vec<(u16, bool)> {
        let mut out = [0; 1_200];
        let Some(len) = arrivals.write(&mut out) else { return Vec::new() };
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = packets(&out[..len]).next() else { panic!("feedback") };
        feedback.statuses().map(|(number, delta)| (number, delta.is_some())).collect()
    }

    #[test]
    fn each_arrival_is_told_once_over_the_wrap() {
        let mut arrivals = Arrivals::new(Ssrc(1));
        for (at, number) in [65_534, 65_535, 1].into_iter().enumerate() {
            arrivals.note(number, Ssrc(2), at as u64 * 1_000);
        }
        assert_eq!(told(&mut arrivals), [(65_534, true), (65_535, true), (0, false), (1, true)]);
        assert_eq!(told(&mut arrivals), []);
        arrivals.note(2, Ssrc(2), 9_000);
        assert_eq!(told(&mut arrivals), [(2, true)]);
    }
}
