//! A microphone: Opus (RFC 7587), a packet each 20 ms, with the loudness of RFC 6464.

use std::time::{Duration, Instant};

use super::{MediaPacket, Stamp};

/// The packet time every browser uses.
const FRAME: Duration = Duration::from_millis(20);
/// Ticks of the 48 kHz clock in a frame.
const TICKS: u32 = 960;
/// "Fullband CELT, 20 ms, one frame, stereo" (RFC 6716 §3.1).
const TOC: u8 = 0xfc;
/// Payload bytes at 32 kbit/s.
const DEFAULT_PAYLOAD: usize = 80;

/// How loud a packet is (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loudness {
    /// Whether the encoder takes it for speech.
    pub voice: bool,
    /// -dBov: 0 is loudest, 127 silence.
    pub level: u8,
}

impl Loudness {
    /// Somebody speaks.
    pub const SPEECH: Self = Self { voice: true, level: 30 };
    /// Nobody speaks.
    pub const SILENCE: Self = Self { voice: false, level: 127 };
}

/// Makes Opus packets that no decoder has to understand.
#[derive(Debug)]
pub struct Microphone {
    source: u32,
    /// How loud the next packets are.
    pub loudness: Loudness,
    /// Bytes of each payload.
    pub payload_len: usize,
    frame: u32,
    timestamp: u32,
    next_at: Instant,
    start: Instant,
}

impl Microphone {
    /// A microphone that is heard from `first_at` on; `start` is the start of the world.
    pub const fn new(source: u32, first_timestamp: u32, start: Instant, first_at: Instant) -> Self {
        let (loudness, payload_len) = (Loudness::SPEECH, DEFAULT_PAYLOAD);
        Self { source, loudness, payload_len, frame: 0, timestamp: first_timestamp, next_at: first_at, start }
    }

    /// The number of the track.
    pub const fn source(&self) -> u32 {
        self.source
    }

    /// When there is a packet.
    pub const fn poll_timeout(&self) -> Instant {
        self.next_at
    }

    /// The packet due at `now`.
    pub fn poll_packet(&mut self, now: Instant) -> Option<MediaPacket> {
        if self.next_at > now {
            return None;
        }
        let stamp = Stamp {
            source: self.source,
            encoding: 0,
            frame: self.frame,
            index: 0,
            count: 1,
            keyframe: true,
            temporal: 0,
            temporal_layers: 1,
            captured_us: (self.next_at - self.start).as_micros() as u64,
        };
        let mut payload = vec![TOC];
        stamp.append(self.payload_len - 1, &mut payload);
        // RFC 3551 §4.1: the marker starts a talkspurt.
        let marker = self.frame == 0;
        let loudness = Some(self.loudness);
        let packet = MediaPacket { payload, marker, timestamp: self.timestamp, loudness, stamp };
        self.frame += 1;
        self.timestamp = self.timestamp.wrapping_add(TICKS);
        self.next_at += FRAME;
        Some(packet)
    }
}
