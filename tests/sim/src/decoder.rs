//! When a receiver of pictures asks for a keyframe: while it has none, while it waits for a packet that it has given up, and
//! when it has been stuck for too long, as libwebrtc does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::media::Stamp;
use crate::oracle::follows;

/// A whole keyframe comes within this once anything comes (libwebrtc: `max_wait_for_keyframe`).
const MAX_WAIT_FOR_KEYFRAME: Duration = Duration::from_millis(200);
/// A frame that can be decoded comes within this while others come: ten requests for a packet, or 100 ms apart. libwebrtc
/// waits three times as long, but gives up the packet before.
const MAX_WAIT_FOR_FRAME: Duration = Duration::from_secs(1);
/// Between two requests for a keyframe that does not come: it or the request was lost. libwebrtc asks again after 0.2 s or
/// 3 s, depending on what it waits for.
const RETRY: Duration = Duration::from_secs(1);
/// Frames that wait for one that is missing.
const MAX_WAITING: usize = 200;

/// What decodes one stream of pictures, as far as the order of frames goes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// By timestamp: a packet of the frame, and which of its packets came.
    waiting: BTreeMap<u64, (Stamp, BTreeSet<u16>)>,
    /// The latest decoded frame of temporal layer 0, and its timestamp.
    good: Option<(u64, Stamp)>,
    /// When to ask for a keyframe.
    due: Option<Instant>,
    /// A missing packet was given up, and only a keyframe helps.
    gave_up: bool,
}

impl Decoder {
    /// A packet came.
    pub(crate) fn on_packet(&mut self, stamp: Stamp, timestamp: u64, now: Instant) {
        if self.good.is_some_and(|(decoded, _)| timestamp <= decoded) {
            return;
        }
        self.waiting.entry(timestamp).or_insert_with(|| (stamp, BTreeSet::new())).1.insert(stamp.index);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_first();
        }
        let patience = if self.good.is_some() { MAX_WAIT_FOR_FRAME } else { MAX_WAIT_FOR_KEYFRAME };
        if self.decode() && !self.gave_up {
            self.due = None;
        }
        if !self.waiting.is_empty() {
            self.due.get_or_insert(now + patience);
        }
    }

    /// A missing packet is asked for no longer.
    pub(crate) fn give_up(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.gave_up, true) {
            self.due = Some(now);
        }
    }

    /// Whether to ask for a keyframe now; again and again until one comes.
    pub(crate) fn requests_keyframe(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.due = Some(now + RETRY);
        }
        due
    }

    /// When to ask.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Decodes what can be decoded; says whether that is anything.
    fn decode(&mut self) -> bool {
        let mut decoded = false;
        loop {
            let whole = |(stamp, came): &(Stamp, BTreeSet<u16>)| came.len() == usize::from(stamp.count);
            let next = self.waiting.first_key_value().filter(|(_, frame)| {
                whole(frame) && (frame.0.keyframe || self.good.is_some_and(|(_, good)| follows(&good, &frame.0)))
            });
            // A keyframe makes up for whatever is missing before it.
            let keyframe = || self.waiting.iter().rfind(|(_, frame)| frame.0.keyframe && whole(frame));
            let Some((&timestamp, &(stamp, _))) = next.or_else(keyframe) else { return decoded };
            self.gave_up &= !stamp.keyframe;
            if stamp.temporal == 0 {
                self.good = Some((timestamp, stamp));
            }
            self.waiting = self.waiting.split_off(&(timestamp + 1));
            decoded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::media::{Camera, MediaPacket, VideoConfig};

    const MS: Duration = Duration::from_millis(1);

    /// Ten frames of a camera, the first of them a keyframe, and when they come.
    fn frames() -> (Vec<Vec<MediaPacket>>, Instant) {
        let start = Clock::new().now();
        let mut camera = Camera::new(1, 0, VideoConfig::default(), start, start);
        let frames = (0..10).map(|_| {
            let due = camera.poll_timeout();
            camera.poll_frame(due)
        });
        (frames.collect(), start)
    }

    fn give(decoder: &mut Decoder, packets: &[MediaPacket], now: Instant) {
        for packet in packets {
            decoder.on_packet(packet.stamp, packet.timestamp.into(), now);
        }
    }

    #[test]
    fn whoever_has_everything_asks_for_nothing() {
        let (frames, start) = frames();
        let mut decoder = Decoder::default();
        for frame in &frames {
            give(&mut decoder, frame, start);
        }
        assert_eq!(decoder.poll_timeout(), None);
    }

    #[test]
    fn who_has_no_whole_keyframe_asks_for_one_until_it_comes() {
        let (frames, start) = frames();
        let mut decoder = Decoder::default();
        give(&mut decoder, &frames[0][1..], start);
        give(&mut decoder, &frames[1], start + 33 * MS);
        assert!(!decoder.requests_keyframe(start + 199 * MS));
        assert!(decoder.requests_keyframe(start + 200 * MS));
        assert!(!decoder.requests_keyframe(start + 1_199 * MS) && decoder.requests_keyframe(start + 1_200 * MS));
        give(&mut decoder, &frames[0][..1], start + 1_300 * MS);
        assert_eq!(decoder.poll_timeout(), None, "it came late, and what waited for it can be decoded");
    }

    #[test]
    fn who_has_given_up_a_packet_asks_at_once_and_whoever_is_stuck_after_a_while() {
        let (frames, start) = frames();
        let mut decoder = Decoder::default();
        give(&mut decoder, &frames[0], start);
        give(&mut decoder, &frames[2], start + 66 * MS);
        assert_eq!(decoder.poll_timeout(), Some(start + 1_066 * MS));
        decoder.give_up(start + 500 * MS);
        assert!(decoder.requests_keyframe(start + 500 * MS));
    }
}
