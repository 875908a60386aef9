//! The retransmission ring (RFC 4588): the recent packets of one published encoding, kept once, shared by everyone who
//! receives it. The pacers' queues point into it too, so that a payload is copied once in and once out per subscriber.
//!
//! Payloads lie one after the other in a circular arena. A packet is found by its source sequence number and is there as
//! long as the arena has not been written over; nothing has to be freed.

use std::time::{Duration, Instant};

use super::{PacketFacts, Vp8Facts};
use crate::ids::TrackId;
use crate::prefetch::prefetch;
use crate::session::{Codec, MediaKind};

/// What is younger than this can be sent again to a subscriber whose path is short: a few round trips of it.
const MIN_KEEP: Duration = Duration::from_millis(300);
/// The longest that anyone may ask for: two round trips of a bad path, and what waits longest in a pacer's queue.
pub const MAX_KEEP: Duration = Duration::from_secs(1);
/// Packets one ring holds at most: 1 s at 8 Mbit/s of full packets.
pub const MAX_RING_PACKETS: usize = 1024;
/// Bytes one ring holds at most, likewise.
pub const MAX_RING_BYTES: usize = 1 << 20;
/// The largest payload with its passed-on extensions: what fits a datagram of an Ethernet path.
pub const MAX_STORED_BYTES: usize = 1500;

/// First sizes: sound of 50 packets/s fits without growing, pictures grow by their rate.
const AUDIO_PACKETS: usize = 32;
const AUDIO_BYTES: usize = 4 << 10;
const VIDEO_PACKETS: usize = 128;
const VIDEO_BYTES: usize = 64 << 10;

/// What a packet was when it came, apart from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The track it came in as part of: the witness is asked about this, not about the queue's opinion.
    pub track: TrackId,
    /// RTP timestamp of the source.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// Which of the track's payload types it has.
    pub payload_index: u8,
    /// The audio level extension's byte (RFC 6464), when there was one.
    pub audio_level: Option<u8>,
    /// The video orientation extension's byte, when there was one.
    pub video_orientation: Option<u8>,
    /// Where its payload descriptor is rewritten, for VP8.
    pub vp8: Option<Vp8Facts>,
}

impl Origin {
    /// Of a packet of the track that has no bytes.
    #[inline]
    pub const fn blank(track: TrackId) -> Self {
        Self {
            track,
            timestamp: 0,
            marker: false,
            payload_index: 0,
            audio_level: None,
            video_orientation: None,
            vp8: None,
        }
    }

    /// The facts that numbering the packet again needs.
    pub fn facts(&self, sequence: u64, now: Instant) -> PacketFacts {
        PacketFacts {
            arrival: now,
            sequence,
            timestamp: self.timestamp,
            payload_len: 0,
            codec: Codec::Vp8,
            marker: self.marker,
            keyframe: false,
            may_be_keyframe: false,
            layer_sync: false,
            padding_only: false,
            tid: None,
            vp8: self.vp8,
        }
    }
}

/// A packet as it lies in the ring.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// What it was.
    pub origin: &'a Origin,
    /// Rarer extensions to pass on: kind, length, value, one after the other.
    pub extensions: &'a [u8],
    /// Its payload without padding.
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Source sequence number, unwrapped; `u64::MAX` marks a place never used.
    sequence: u64,
    /// Where the bytes begin, counted from the first byte ever written.
    position: u64,
    extensions_len: u16,
    payload_len: u16,
    origin: Origin,
}

const VACANT: Entry = Entry {
    sequence: u64::MAX,
    position: 0,
    extensions_len: 0,
    payload_len: 0,
    origin: Origin::blank(TrackId::new(0, 0)),
};

/// The recent packets of one encoding.
#[derive(Debug)]
pub struct PacketRing {
    entries: Box<[Entry]>,
    arena: Box<[u8]>,
    /// Bytes ever written, gaps at the end of the arena included.
    written: u64,
    /// For how long packets are wanted.
    keep: Duration,
    /// Packets since the last look at the age, and when that was: to see whether the ring is too small for that.
    lap_started: Option<Instant>,
    lap_packets: usize,
    lap_from: u64,
}

impl PacketRing {
    /// An empty ring of the first size for `kind`.
    pub fn new(kind: MediaKind) -> Self {
        let (packets, bytes) = match kind {
            MediaKind::Audio => (AUDIO_PACKETS, AUDIO_BYTES),
            MediaKind::Video => (VIDEO_PACKETS, VIDEO_BYTES),
        };
        Self {
            entries: vec![VACANT; packets].into_boxed_slice(),
            arena: vec![0; bytes].into_boxed_slice(),
            written: 0,
            keep: MIN_KEEP,
            lap_started: None,
            lap_packets: 0,
            lap_from: 0,
        }
    }

    /// Somebody may want packets that are `span` old, or [`MAX_KEEP`] if that is less: room is made when it is needed.
    #[inline]
    pub fn keep_for(&mut self, span: Duration) {
        self.keep = self.keep.max(span.min(MAX_KEEP));
    }

    /// Keeps a packet. Returns false, and keeps nothing, when it is too large to be forwarded.
    pub fn insert(&mut self, sequence: u64, origin: Origin, extensions: &[u8], payload: &[u8], now: Instant) -> bool {
        let len = extensions.len() + payload.len();
        if len > MAX_STORED_BYTES {
            return false;
        }
        self.grow_when_too_small(now);
        let mut start = self.place(self.written);
        if start + len > self.arena.len() {
            self.written += (self.arena.len() - start) as u64;
            start = 0;
        }
        self.arena[start..start + extensions.len()].copy_from_slice(extensions);
        self.arena[start + extensions.len()..start + len].copy_from_slice(payload);
        let place = sequence as usize & (self.entries.len() - 1);
        self.entries[place] = Entry {
            sequence,
            position: self.written,
            extensions_len: extensions.len() as u16,
            payload_len: payload.len() as u16,
            origin,
        };
        self.written += len as u64;
        true
    }

    /// The packet with this source sequence number, if it is still there.
    #[inline]
    pub fn find(&self, sequence: u64) -> Option<Stored<'_>> {
        let entry = &self.entries[sequence as usize & (self.entries.len() - 1)];
        if entry.sequence != sequence || self.written - entry.position > self.arena.len() as u64 {
            return None;
        }
        let start = self.place(entry.position);
        let middle = start + usize::from(entry.extensions_len);
        let end = middle + usize::from(entry.payload_len);
        Some(Stored {
            origin: &entry.origin,
            extensions: &self.arena[start..middle],
            payload: &self.arena[middle..end],
        })
    }

    /// Fetches where `count` packets from this number on will be kept, of `bytes` in all.
    #[inline]
    pub fn prefetch(&self, sequence_number: u16, count: usize, bytes: usize) {
        let first = usize::from(sequence_number) & (self.entries.len() - 1);
        prefetch(&self.entries[first..self.entries.len().min(first + count)]);
        let start = self.place(self.written);
        prefetch(&self.arena[start..self.arena.len().min(start + bytes)]);
    }

    /// Where a position falls in the arena, whose length is a power of two.
    #[inline]
    fn place(&self, position: u64) -> usize {
        position as usize & (self.arena.len() - 1)
    }

    /// Whether the packet came already, or is so late that its place is a newer one's.
    pub fn contains(&self, sequence: u64) -> bool {
        let kept = self.entries[sequence as usize & (self.entries.len() - 1)].sequence;
        kept >= sequence && kept != VACANT.sequence
    }

    /// Bytes this ring occupies.
    pub fn footprint(&self) -> usize {
        self.arena.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Doubles what ran full in less time than packets are wanted for: happens a few times at the start of an encoding, or
    /// when a subscriber comes whose path is long.
    fn grow_when_too_small(&mut self, now: Instant) {
        let started = *self.lap_started.get_or_insert(now);
        self.lap_packets += 1;
        let full = self.lap_packets >= self.entries.len();
        let lapped = self.written - self.lap_from >= self.arena.len() as u64;
        if !full && !lapped {
            return;
        }
        if now.saturating_duration_since(started) < self.keep {
            if full && self.entries.len() < MAX_RING_PACKETS {
                self.double_entries();
            }
            if lapped && self.arena.len() < MAX_RING_BYTES {
                self.double_arena();
            }
        }
        self.lap_started = Some(now);
        self.lap_packets = 0;
        self.lap_from = self.written;
    }

    fn double_entries(&mut self) {
        let mut doubled = vec![VACANT; self.entries.len() * 2].into_boxed_slice();
        for entry in self.entries.iter().filter(|entry| entry.sequence != u64::MAX) {
            doubled[entry.sequence as usize & (doubled.len() - 1)] = *entry;
        }
        self.entries = doubled;
    }

    /// Positions stay what they are: each byte moves to where its position falls in the larger arena.
    fn double_arena(&mut self) {
        let old_len = self.arena.len() as u64;
        let mut doubled = vec![0; self.arena.len() * 2].into_boxed_slice();
        let oldest = self.written.saturating_sub(old_len);
        for entry in self.entries.iter_mut().filter(|entry| entry.sequence != u64::MAX) {
            if entry.position < oldest {
                entry.sequence = u64::MAX;
                continue;
            }
            let len = usize::from(entry.extensions_len) + usize::from(entry.payload_len);
            let from = (entry.position % old_len) as usize;
            let to = (entry.position % (old_len * 2)) as usize;
            doubled[to..to + len].copy_from_slice(&self.arena[from..from + len]);
        }
        self.arena = doubled;
    }
}

#[cfg(test)]
mod tests;
