//! What loss says about the rate (RFC 8836 §2.1; after the loss-based part of draft-ietf-rmcat-gcc-02 §6).
//!
//! Radio loses packets at any rate; a full short queue loses them because of the rate. So only loss well beyond what is
//! usual on this path lowers the rate, by half of the excess. The usual is what was lost while no queue was seen; it is
//! never taken to be above [`MAX_USUAL`], so that a path that is simply full cannot pass for a bad radio.

use std::time::{Duration, Instant};

/// More than this is never usual.
pub const MAX_USUAL: f64 = 0.12;
/// Loss counts once a window has this many packets ...
const MIN_PACKETS: u32 = 20;
/// ... and this length.
const WINDOW: Duration = Duration::from_millis(500);
/// Beyond the usual by this much, and by three standard deviations, is too much.
const TOLERANCE: f64 = 0.04;
/// How quickly the usual follows: one window in ten, five seconds.
const USUAL_GAIN: f64 = 0.1;

/// The losses of one path.
#[derive(Debug, Default, Clone)]
pub struct LossWatch {
    usual: Option<f64>,
    last: f64,
    received: u32,
    lost: u32,
    since: Option<Instant>,
}

impl LossWatch {
    /// Takes note; returns the factor for the rate when a window is complete and too much was lost. `queue_seen`
    /// whether delays show a queue: loss is then not the radio's.
    pub fn on_feedback(&mut self, received: u32, lost: u32, queue_seen: bool, now: Instant) -> Option<f64> {
        let since = *self.since.get_or_insert(now);
        self.received = self.received.saturating_add(received);
        self.lost = self.lost.saturating_add(lost);
        let count = self.received.saturating_add(self.lost);
        if count < MIN_PACKETS || now.saturating_duration_since(since) < WINDOW {
            return None;
        }
        let share = f64::from(self.lost) / f64::from(count);
        (self.received, self.lost, self.since) = (0, 0, Some(now));
        self.judge(share, f64::from(count), queue_seen)
    }

    /// The share of packets lost in the last window.
    pub fn last(&self) -> f64 {
        self.last
    }

    fn judge(&mut self, share: f64, count: f64, queue_seen: bool) -> Option<f64> {
        self.last = share;
        let usual = self.usual.unwrap_or(share.min(MAX_USUAL));
        let deviation = (usual.max(0.01) * (1.0 - usual) / count).sqrt();
        let excess = share - usual;
        if !queue_seen || share < usual {
            self.usual = Some((usual + USUAL_GAIN * excess).min(MAX_USUAL));
        }
        (excess > TOLERANCE.max(3.0 * deviation)).then_some(1.0 - 0.5 * excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    /// Ten seconds of 100 packets each half second.
    fn factors(lost: impl Fn(u32) -> u32, queue_seen: bool) -> Vec<f64> {
        let (mut watch, start) = (LossWatch::default(), start());
        let windows = (0..20).filter_map(|window| {
            let now = start + Duration::from_millis(501) * window;
            watch.on_feedback(100 - lost(window), lost(window), queue_seen, now)
        });
        windows.collect()
    }

    #[test]
    fn constant_loss_up_to_a_tenth_changes_nothing() {
        for percent in [0, 2, 5, 10] {
            assert_eq!(factors(|_| percent, false), []);
        }
    }

    #[test]
    fn sudden_loss_lowers_the_rate_by_half_of_it() {
        let factors = factors(|window| if window < 10 { 0 } else { 30 }, false);
        assert!((factors[0] - 0.85).abs() < 0.001, "{factors:?}");
    }

    #[test]
    fn much_loss_is_never_usual() {
        assert!(factors(|_| 50, false).len() >= 18);
    }
}
