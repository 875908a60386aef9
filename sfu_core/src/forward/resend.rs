//! The retransmission ring (RFC 4588): the recent packets of one published encoding, kept once, shared by everyone who
//! receives it. The pacers' queues point into it too, so that a payload is copied once in and once out per subscriber.
//!
//! A packet is found by its source sequence number, and is there as long as the log that holds its bytes has not been written
//! over; nothing has to be freed.

use std::time::{Duration, Instant};

use super::payload_log::PayloadLog;
use super::{PacketFacts, Vp8Facts};
use crate::ids::TrackId;
use crate::prefetch::prefetch;
use crate::session::{Codec, MediaKind};

/// Packets one ring holds at most: 1 s at 8 Mbit/s of full packets.
pub const MAX_RING_PACKETS: usize = 1024;
/// The largest payload with its passed-on extensions: what fits a datagram of an Ethernet path.
pub const MAX_STORED_BYTES: usize = 1500;

/// First sizes: sound of 50 packets/s fits without growing, pictures grow by their rate.
const AUDIO_PACKETS: usize = 32;
const VIDEO_PACKETS: usize = 128;

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
    /// Where the log has its bytes.
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
    origin: Origin {
        track: TrackId::new(0, 0),
        timestamp: 0,
        marker: false,
        payload_index: 0,
        audio_level: None,
        video_orientation: None,
        vp8: None,
    },
};

/// The recent packets of one encoding.
#[derive(Debug)]
pub struct PacketRing {
    entries: Box<[Entry]>,
    /// Packets since the ring was last gone round, and when that was: to see whether it is too small.
    lap_started: Option<Instant>,
    lap_packets: usize,
}

impl PacketRing {
    /// An empty ring of the first size for `kind`.
    pub fn new(kind: MediaKind) -> Self {
        let packets = match kind {
            MediaKind::Audio => AUDIO_PACKETS,
            MediaKind::Video => VIDEO_PACKETS,
        };
        Self { entries: vec![VACANT; packets].into_boxed_slice(), lap_started: None, lap_packets: 0 }
    }

    /// Keeps a packet, its bytes in `log`. Returns false, and keeps nothing, when it is too large to be forwarded.
    pub fn insert(
        &mut self,
        sequence: u64,
        origin: Origin,
        (extensions, payload): (&[u8], &[u8]),
        log: &mut PayloadLog,
        now: Instant,
    ) -> bool {
        if extensions.len() + payload.len() > MAX_STORED_BYTES {
            return false;
        }
        self.grow_when_too_small(log.keeps(), now);
        let place = sequence as usize & (self.entries.len() - 1);
        self.entries[place] = Entry {
            sequence,
            position: log.append(extensions, payload, now),
            extensions_len: extensions.len() as u16,
            payload_len: payload.len() as u16,
            origin,
        };
        true
    }

    /// The packet with this source sequence number, if it is still there.
    #[inline]
    pub fn find<'a>(&'a self, sequence: u64, log: &'a PayloadLog) -> Option<Stored<'a>> {
        let entry = &self.entries[sequence as usize & (self.entries.len() - 1)];
        if entry.sequence != sequence {
            return None;
        }
        let len = usize::from(entry.extensions_len) + usize::from(entry.payload_len);
        let bytes = log.get(entry.position, len)?;
        let (extensions, payload) = bytes.split_at_checked(usize::from(entry.extensions_len))?;
        Some(Stored { origin: &entry.origin, extensions, payload })
    }

    /// Fetches where `count` packets from this number on will be kept.
    #[inline]
    pub fn prefetch(&self, sequence_number: u16, count: usize) {
        let first = usize::from(sequence_number) & (self.entries.len() - 1);
        prefetch(&self.entries[first..self.entries.len().min(first + count)]);
    }

    /// Whether the packet came already, or is so late that its place is a newer one's.
    pub fn contains(&self, sequence: u64) -> bool {
        let kept = self.entries[sequence as usize & (self.entries.len() - 1)].sequence;
        kept >= sequence && kept != VACANT.sequence
    }

    /// Packets for which there is room.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Doubles a ring that was gone round in less time than packets are kept: happens a few times at the start of an encoding,
    /// or when a subscriber comes whose path is long.
    fn grow_when_too_small(&mut self, keeps: Duration, now: Instant) {
        let started = *self.lap_started.get_or_insert(now);
        self.lap_packets += 1;
        if self.lap_packets < self.entries.len() {
            return;
        }
        if self.entries.len() < MAX_RING_PACKETS && now.saturating_duration_since(started) < keeps {
            let mut doubled = vec![VACANT; self.entries.len() * 2].into_boxed_slice();
            for entry in self.entries.iter().filter(|entry| entry.sequence != VACANT.sequence) {
                doubled[entry.sequence as usize & (doubled.len() - 1)] = *entry;
            }
            self.entries = doubled;
        }
        (self.lap_started, self.lap_packets) = (Some(now), 0);
    }
}

#[cfg(test)]
mod tests;
