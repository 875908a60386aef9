//! The payloads of all recent packets of an engine, one behind the other in the order in which they came. Writing goes on where it
//! stopped, so the next lines are on their way already; with memory of its own for each encoding, each packet of another one
//! would begin at a place that has left the caches. Which packet lies where is known to [`resend`](super::resend).
//!
//! The log is made of segments. The oldest is written over when nobody wants what it holds any more, else one is added. A
//! position is used once, ever: what was written over is found no more, whosever it was.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::prefetch::prefetch;

/// What is younger than this can be sent again to a subscriber whose path is short: a few round trips of it.
pub const MIN_KEEP: Duration = Duration::from_millis(300);
/// The longest that anyone may ask for: two round trips of a bad path, and what waits longest in a pacer's queue.
pub const MAX_KEEP: Duration = Duration::from_secs(1);
/// Segments at most: a second of 2 Gbit/s, which is more than one processor forwards.
pub const MAX_SEGMENTS: usize = 256;
/// Bytes of one segment: some thousand packets.
const SEGMENT_BYTES: usize = 1 << 20;
/// For so long somebody's wish to keep packets holds unless it is renewed: several reports of theirs.
const WISH: Duration = Duration::from_secs(10);
/// Segments that nobody wants any more are given back, one at a time, but for these and a quarter: the load goes up and down.
const SPARE_SEGMENTS: usize = 2;

/// The log, empty at first.
#[derive(Debug, Default)]
pub struct PayloadLog {
    /// Oldest first; the last is being written.
    segments: VecDeque<Segment>,
    /// How many segments were written over or given back.
    gone: u64,
    /// Bytes written of the last segment.
    written: usize,
    /// For how long packets are wanted: the longest wish since `wished_since`, and in the period before.
    wish: Duration,
    former_wish: Duration,
    wished_since: Option<Instant>,
}

#[derive(Debug)]
struct Segment {
    bytes: Box<[u8]>,
    /// When it was full.
    full_at: Option<Instant>,
}

impl PayloadLog {
    /// Somebody may want packets that are `span` old, or [`MAX_KEEP`] if that is less.
    #[inline]
    pub fn keep_for(&mut self, span: Duration) {
        self.wish = self.wish.max(span.min(MAX_KEEP));
    }

    /// For how long packets are kept, at least.
    #[inline]
    pub fn keeps(&self) -> Duration {
        self.wish.max(self.former_wish).max(MIN_KEEP)
    }

    /// Writes `head` and `body`, one behind the other, and says where. Together they fit a datagram.
    #[inline]
    pub fn append(&mut self, head: &[u8], body: &[u8], now: Instant) -> u64 {
        let len = head.len() + body.len();
        debug_assert!(len <= SEGMENT_BYTES, "a packet fits a segment");
        if self.segments.is_empty() || self.written + len > SEGMENT_BYTES {
            self.begin_segment(now);
        }
        let place = self.written;
        if let Some(Segment { bytes, .. }) = self.segments.back_mut() {
            let (into_head, into_body) = bytes[place..place + len].split_at_mut(head.len());
            into_head.copy_from_slice(head);
            into_body.copy_from_slice(body);
        }
        self.written += len;
        (self.gone + self.segments.len() as u64 - 1) * SEGMENT_BYTES as u64 + place as u64
    }

    /// The `len` bytes that were written at `position`, if they are still there.
    #[inline]
    pub fn get(&self, position: u64, len: usize) -> Option<&[u8]> {
        let segment = (position / SEGMENT_BYTES as u64).checked_sub(self.gone)?;
        let place = (position % SEGMENT_BYTES as u64) as usize;
        self.segments.get(segment as usize)?.bytes.get(place..place + len)
    }

    /// Forgets all of it: nobody is left of whom anything could be asked for.
    pub fn clear(&mut self) {
        self.gone += self.segments.len() as u64;
        self.segments = VecDeque::new();
    }

    /// Fetches where the next `len` bytes will be written.
    #[inline]
    pub fn prefetch(&self, len: usize) {
        if let Some(Segment { bytes, .. }) = self.segments.back() {
            prefetch(&bytes[self.written..SEGMENT_BYTES.min(self.written + len)]);
        }
    }

    /// Bytes that the log occupies.
    pub fn footprint(&self) -> usize {
        self.segments.len() * SEGMENT_BYTES
    }

    #[cold]
    fn begin_segment(&mut self, now: Instant) {
        if let Some(full) = self.segments.back_mut() {
            full.full_at = Some(now);
        }
        let since = *self.wished_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= WISH {
            (self.former_wish, self.wish, self.wished_since) = (self.wish, Duration::ZERO, Some(now));
        }
        let unwanted = self.unwanted(now);
        if unwanted > SPARE_SEGMENTS + self.segments.len() / 4 {
            self.drop_oldest();
        }
        let is_free = unwanted > 0 || self.segments.len() >= MAX_SEGMENTS;
        let free = if is_free { self.drop_oldest() } else { None };
        let bytes = free.map_or_else(|| vec![0; SEGMENT_BYTES].into_boxed_slice(), |segment| segment.bytes);
        self.segments.push_back(Segment { bytes, full_at: None });
        self.written = 0;
    }

    /// How many segments, from the oldest on, hold nothing that anyone wants.
    fn unwanted(&self, now: Instant) -> usize {
        let is_old = |full: Instant| now.saturating_duration_since(full) >= self.keeps();
        self.segments.iter().take_while(|segment| segment.full_at.is_some_and(is_old)).count()
    }

    fn drop_oldest(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.gone += 1;
        Some(segment)
    }
}

#[cfg(test)]
mod tests;
