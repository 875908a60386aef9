//! One encoding of a camera: frames at a rate, cut into RTP payloads of VP8 (RFC 7741) or H.264 (RFC 6184).

use std::time::{Duration, Instant};

use sfu_core::bwe::estimator::MAX_RATE;
use sfu_core::units::Bitrate;

use super::stamp::STAMP_LEN;
use super::{MediaPacket, Stamp, h264, vp8};

const MINUTE: Duration = Duration::from_secs(60);
/// RTP clock of every video codec, in Hz.
const CLOCK_HZ: u64 = 90_000;
/// A keyframe is this much larger than the mean frame; what libvpx makes of a talking head.
const KEYFRAME_FACTOR: usize = 4;
/// Largest payload: leaves room for IPv6, UDP, SRTP and header extensions in 1280 bytes.
pub const MAX_PAYLOAD: usize = 1_100;
/// Smallest payload: a descriptor and a stamp.
const MIN_PAYLOAD: usize = STAMP_LEN + 16;

/// What a camera is coded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 6184, packetization mode 1.
    H264,
}

/// How a camera encodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoConfig {
    /// With what.
    pub codec: VideoCodec,
    /// How much.
    pub bitrate: Bitrate,
    /// Frames per minute; 1800 are 30 a second.
    pub frames_per_minute: u32,
    /// 1 to 3; H.264 has 1.
    pub temporal_layers: u8,
    /// Frames between keyframes nobody asked for; 0: none.
    pub keyframe_interval: u32,
}

impl Default for VideoConfig {
    fn default() -> Self {
        let bitrate = Bitrate::kbps(1_300);
        Self { codec: VideoCodec::Vp8, bitrate, frames_per_minute: 1_800, temporal_layers: 1, keyframe_interval: 0 }
    }
}

/// Makes one encoding of one camera.
#[derive(Debug)]
pub struct Camera {
    source: u32,
    encoding: u8,
    config: VideoConfig,
    /// Whether frames are made at all; an encoding that nobody takes may be off.
    pub enabled: bool,
    /// What it may cost at most, whatever it is set to.
    pub ceiling: Bitrate,
    keyframe_wanted: bool,
    frame: u32,
    since_keyframe: u32,
    first_timestamp: u32,
    picture: vp8::Picture,
    first_at: Instant,
    ticks: u64,
    start: Instant,
}

impl Camera {
    /// An encoding whose first frame comes at `first_at`; `start` is the start of the world.
    pub fn new(source: u32, encoding: u8, config: VideoConfig, start: Instant, first_at: Instant) -> Self {
        let number = u64::from(source) << 8 | u64::from(encoding);
        let random = crate::random::mix(number);
        Self {
            source,
            encoding,
            config,
            enabled: true,
            ceiling: MAX_RATE,
            keyframe_wanted: true,
            frame: 0,
            since_keyframe: 0,
            first_timestamp: random as u32,
            picture: vp8::Picture::starting_at((random >> 32) as u16),
            first_at,
            ticks: 0,
            start,
        }
    }

    /// The number of the track.
    pub const fn source(&self) -> u32 {
        self.source
    }

    /// What it is coded with.
    pub const fn codec(&self) -> VideoCodec {
        self.config.codec
    }

    /// The next frame will be a keyframe.
    pub const fn request_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    /// Encodes at another rate from the next frame on.
    pub const fn set_bitrate(&mut self, bitrate: Bitrate) {
        self.config.bitrate = bitrate;
    }

    /// When there is a frame.
    pub fn poll_timeout(&self) -> Instant {
        self.first_at + MINUTE * (self.ticks as u32) / self.config.frames_per_minute
    }

    /// The packets of the frame due at `now`; empty when none is.
    pub fn poll_frame(&mut self, now: Instant) -> Vec<MediaPacket> {
        let at = self.poll_timeout();
        if at > now {
            return Vec::new();
        }
        let timestamp = self.timestamp();
        self.ticks += 1;
        if !self.enabled {
            // The encoder forgets what it coded last, so its next frame stands alone.
            self.keyframe_wanted = true;
            return Vec::new();
        }
        let packets = self.encode(timestamp, at);
        self.frame += 1;
        packets
    }

    fn encode(&mut self, timestamp: u32, at: Instant) -> Vec<MediaPacket> {
        let interval = self.config.keyframe_interval;
        let keyframe = self.keyframe_wanted || (interval > 0 && self.since_keyframe >= interval);
        self.keyframe_wanted = false;
        self.since_keyframe = if keyframe { 1 } else { self.since_keyframe + 1 };
        let temporal = if keyframe { 0 } else { self.temporal_layer() };
        let sizes = self.cut(keyframe);
        let stamp = Stamp {
            source: self.source,
            encoding: self.encoding,
            frame: self.frame,
            index: 0,
            count: sizes.len() as u16,
            keyframe,
            temporal,
            temporal_layers: self.config.temporal_layers,
            captured_us: (at - self.start).as_micros() as u64,
        };
        let picture = self.picture.next(keyframe, temporal, self.config.temporal_layers);
        let packets = sizes.iter().enumerate().map(|(index, &size)| {
            let stamp = Stamp { index: index as u16, ..stamp };
            let mut payload = Vec::with_capacity(MAX_PAYLOAD);
            match self.config.codec {
                VideoCodec::Vp8 => vp8::write_head(&picture, &stamp, &mut payload),
                VideoCodec::H264 => h264::write_head(&stamp, &mut payload, size),
            }
            stamp.append(size.saturating_sub(payload.len()), &mut payload);
            let marker = index + 1 == sizes.len();
            MediaPacket { payload, marker, timestamp, loudness: None, stamp }
        });
        packets.collect()
    }

    /// The sizes of the payloads of the next frame, as equal as can be: so libwebrtc cuts them.
    fn cut(&self, keyframe: bool) -> Vec<usize> {
        let mean = self.config.bitrate.min(self.ceiling).bytes_in(MINUTE).as_bytes() as usize
            / self.config.frames_per_minute as usize;
        let frame = (if keyframe { mean * KEYFRAME_FACTOR } else { mean }).max(MIN_PAYLOAD);
        let count = frame.div_ceil(MAX_PAYLOAD);
        (0..count).map(|index| frame / count + usize::from(index < frame % count)).collect()
    }

    /// 0 1 0 1 with two layers, 0 2 1 2 with three.
    const fn temporal_layer(&self) -> u8 {
        let position = self.since_keyframe - 1;
        match (self.config.temporal_layers, position % 4) {
            (2, 1 | 3) | (3, 2) => 1,
            (3, 1 | 3) => 2,
            _ => 0,
        }
    }

    fn timestamp(&self) -> u32 {
        let ticks = self.ticks * CLOCK_HZ * 60 / u64::from(self.config.frames_per_minute);
        self.first_timestamp.wrapping_add(ticks as u32)
    }
}
