//! Media on its way in: numbers unwrapped, losses noticed and asked for again, as a browser does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::sr::ReportBlock;
use sfu_core::rtp::seq::SequenceUnwrapper;

use super::timestamps::TimestampUnwrapper;
use crate::decoder::Decoder;
use crate::media::Stamp;

/// A packet that is only late comes within this.
const REORDERING: Duration = Duration::from_millis(10);
/// Between two requests for the same packet; longer than the round trips simulated here.
const RETRY: Duration = Duration::from_millis(100);
/// After so many requests a packet is given up, as libwebrtc does.
const MAX_REQUESTS: u32 = 10;
/// Losses remembered; more at once mean an outage that a keyframe must end.
pub(super) const MAX_MISSING: usize = 500;

#[derive(Debug, Clone, Copy)]
struct Missing {
    next_request: Instant,
    requests: u32,
}

/// One SSRC of the server.
#[derive(Debug)]
pub(super) struct Receiver {
    sequences: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    recovers: bool,
    highest: Option<u64>,
    first: u64,
    received: u64,
    missing: BTreeMap<u64, Missing>,
    reported: (u64, u64),
    last_sr: Option<(u32, Instant)>,
    /// Says when to ask for a keyframe.
    decoder: Decoder,
}

impl Receiver {
    /// Without `recovers`, losses are borne.
    pub(super) fn new(recovers: bool) -> Self {
        Self {
            sequences: SequenceUnwrapper::default(),
            timestamps: TimestampUnwrapper::default(),
            recovers,
            highest: None,
            first: 0,
            received: 0,
            missing: BTreeMap::new(),
            reported: (0, 0),
            last_sr: None,
            decoder: Decoder::default(),
        }
    }

    /// Whether it asks for what was lost.
    pub(super) const fn recovers(&self) -> bool {
        self.recovers
    }

    /// Takes the numbers of a packet, `repaired` if it came as a retransmission; returns them unwrapped, or `None` when it came
    /// before.
    pub(super) fn on_packet(
        &mut self,
        sequence: u16,
        timestamp: u32,
        repaired: bool,
        now: Instant,
    ) -> Option<(u64, u64)> {
        let sequence = self.sequences.unwrap(sequence);
        let highest = *self.highest.get_or_insert_with(|| {
            self.first = sequence;
            sequence - 1
        });
        if sequence > highest {
            self.notice(highest + 1..sequence, now);
            self.highest = Some(sequence);
        } else if self.recovers && self.missing.remove(&sequence).is_none() {
            return None;
        }
        // Of the media's own SSRC alone, as in libwebrtc: reports tell what the path loses, repaired or not.
        self.received += u64::from(!repaired);
        Some((sequence, self.timestamps.unwrap(timestamp)))
    }

    pub(super) const fn on_sender_report(&mut self, middle: u32, now: Instant) {
        self.last_sr = Some((middle, now));
    }

    /// The numbers to ask for now.
    pub(super) fn requests(&mut self, now: Instant) -> Vec<u16> {
        let mut due = Vec::new();
        self.missing.retain(|&sequence, missing| {
            if missing.next_request > now {
                return true;
            }
            if missing.requests >= MAX_REQUESTS {
                self.decoder.give_up(now);
                return false;
            }
            due.push(sequence as u16);
            missing.requests += 1;
            missing.next_request = now + RETRY;
            true
        });
        due
    }

    /// A packet of pictures is whole.
    pub(super) fn on_picture(&mut self, stamp: Stamp, timestamp: u64, now: Instant) {
        if self.recovers {
            self.decoder.on_packet(stamp, timestamp, now);
        }
    }

    /// Whether to ask for a keyframe now.
    pub(super) fn requests_keyframe(&mut self, now: Instant) -> bool {
        self.decoder.requests_keyframe(now)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.next_request).chain(self.decoder.poll_timeout()).min()
    }

    /// What came since the last report (RFC 3550 §6.4.1).
    pub(super) fn report(&mut self, ssrc: Ssrc, now: Instant) -> Option<ReportBlock> {
        let highest = self.highest?;
        let expected = highest - self.first + 1;
        let (expected_since, received_since) = (expected - self.reported.0, self.received - self.reported.1);
        self.reported = (expected, self.received);
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction_lost = (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8;
        let delay = self.last_sr.map_or(Duration::ZERO, |(_, at)| now - at);
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: (expected as i64 - self.received as i64) as i32,
            highest_sequence: highest as u32,
            jitter: 0,
            last_sr: self.last_sr.map_or(0, |(middle, _)| middle),
            delay_since_last_sr: (delay.as_secs_f64() * 65_536.0) as u32,
        })
    }

    fn notice(&mut self, lost: std::ops::Range<u64>, now: Instant) {
        if !self.recovers {
            return;
        }
        if self.missing.len() + (lost.end - lost.start) as usize > MAX_MISSING {
            self.missing.clear();
            self.decoder.give_up(now);
            return;
        }
        let missing = Missing { next_request: now + REORDERING, requests: 0 };
        self.missing.extend(lost.map(|sequence| (sequence, missing)));
    }
}
