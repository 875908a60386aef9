//! Asking a publisher for a keyframe, but not too often (PLI, RFC 4585 §6.3.1; FIR, RFC 5104 §4.3.1).

use std::time::{Duration, Instant};

/// A publisher asked more often than this, for one keyframe after the other, spends its bitrate on keyframes alone. An
/// unanswered request may be repeated sooner, for it may have been lost.
pub const MIN_PLI_INTERVAL: Duration = Duration::from_millis(500);

/// How long an unanswered request waits before it is repeated: it or its answer was lost, or the encoder is slow.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Merges the keyframe requests of all subscribers to one encoding.
#[derive(Debug, Default, Clone)]
pub struct KeyframeRequester {
    due: Option<Instant>,
    last_sent: Option<Instant>,
    unanswered: usize,
    /// Counts requests, repeats not included.
    number: u8,
}

impl KeyframeRequester {
    /// A subscriber cannot decode until the next keyframe.
    pub fn want(&mut self, now: Instant) {
        if self.unanswered > 0 {
            return; // a request is on its way; its answer serves this subscriber too
        }
        let allowed = self.last_sent.map_or(now, |sent| now.max(sent + MIN_PLI_INTERVAL));
        self.due = Some(self.due.map_or(allowed, |due| due.min(allowed)));
    }

    /// When [`poll_pli`](Self::poll_pli) next has something to send.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The number of the last request: a repeat has the same.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Returns true when a request must be sent now; repeats until [`satisfy`](Self::satisfy).
    pub fn poll_pli(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        if self.unanswered == 0 {
            self.number = self.number.wrapping_add(1);
        }
        let patience = RETRY_AFTER[self.unanswered.min(RETRY_AFTER.len() - 1)];
        self.unanswered += 1;
        self.last_sent = Some(now);
        self.due = Some(now + patience);
        true
    }

    /// Nobody waits any more: a keyframe has started, or whoever wanted one is gone.
    pub fn satisfy(&mut self) {
        self.due = None;
        self.unanswered = 0;
    }

    /// Whether someone waits.
    pub fn is_wanted(&self) -> bool {
        self.due.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    const MS: Duration = Duration::from_millis(1);

    /// The milliseconds after `start` at which a PLI goes out, when `act` is called before each millisecond.
    fn sent(until_ms: u32, mut act: impl FnMut(&mut KeyframeRequester, u32, Instant)) -> Vec<u32> {
        let start = start();
        let mut requester = KeyframeRequester::default();
        let mut out = Vec::new();
        for ms in 0..until_ms {
            let now = start + MS * ms;
            act(&mut requester, ms, now);
            if requester.poll_pli(now) {
                out.push(ms);
            }
        }
        out
    }

    #[test]
    fn ten_requests_in_the_same_interval_cause_one_pli() {
        let plis = sent(240, |requester, ms, now| {
            if ms % 24 == 0 {
                requester.want(now);
            }
        });
        assert_eq!(plis, [0]);
    }

    #[test]
    fn an_unanswered_pli_is_repeated_ever_more_slowly() {
        let plis = sent(12_000, |requester, ms, now| {
            if ms == 0 {
                requester.want(now);
            }
        });
        assert_eq!(plis, [0, 250, 1_250, 3_250, 7_250, 11_250]);
    }

    #[test]
    fn an_answered_request_is_not_repeated() {
        let plis = sent(5_000, |requester, ms, now| match ms {
            0 => requester.want(now),
            200 => requester.satisfy(),
            _ => {}
        });
        assert_eq!(plis, [0]);
    }

    #[test]
    fn the_next_request_waits_for_the_interval() {
        let plis = sent(700, |requester, ms, now| match ms {
            0 | 60 | 70 => requester.want(now),
            50 | 600 => requester.satisfy(),
            _ => {}
        });
        assert_eq!(plis, [0, 500]);
    }

    #[test]
    fn people_who_join_together_share_one_keyframe() {
        let plis = sent(400, |requester, ms, now| {
            if ms < 200 && ms % 10 == 0 {
                requester.want(now);
            }
            if ms == 200 {
                requester.satisfy();
            }
        });
        assert_eq!(plis, [0]);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_asked_for_again() {
        let plis = sent(5_000, |requester, ms, now| match ms {
            0 => requester.want(now),
            100 => requester.satisfy(),
            _ => {}
        });
        assert_eq!(plis, [0]);
    }
}
