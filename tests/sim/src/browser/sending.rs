//! From a microphone or camera to str0m.

use std::time::{Duration, Instant};

use sfu_core::units::Bitrate;
use str0m::Rtc;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Pt, Rid};
use str0m::rtp::{ExtensionValues, RtpWrite};

use crate::media::{Camera, MediaPacket, Microphone, VideoCodec};
use crate::random::mix;

/// First sequence numbers lie below this, so that the first wrap is far off (RFC 3711 §3.3.1).
const FIRST_SEQUENCE_BELOW: u64 = 1 << 15;
/// What is kept to be sent again: what str0m keeps by default.
const RTX_PACKETS: usize = 2_000;
const RTX_AGE: Duration = Duration::from_secs(3);
/// `profile_idc` and `profile-iop` of H.264's constrained baseline (RFC 6184 §8.1).
const CONSTRAINED_BASELINE: u32 = 0x42e0;

/// What a participant sends as one encoding.
#[derive(Debug)]
pub enum Source {
    /// Sound.
    Microphone(Microphone),
    /// Pictures.
    Camera(Camera),
}

impl Source {
    /// When there is something.
    pub fn poll_timeout(&self) -> Instant {
        match self {
            Self::Microphone(microphone) => microphone.poll_timeout(),
            Self::Camera(camera) => camera.poll_timeout(),
        }
    }

    /// What is due at `now`.
    pub fn poll_packets(&mut self, now: Instant) -> Vec<MediaPacket> {
        match self {
            Self::Microphone(microphone) => microphone.poll_packet(now).into_iter().collect(),
            Self::Camera(camera) => camera.poll_frame(now),
        }
    }

    /// The next frame will be a keyframe.
    pub const fn request_keyframe(&mut self) {
        if let Self::Camera(camera) = self {
            camera.request_keyframe();
        }
    }

    /// No more than this from the next frame on; sound stays as it is.
    pub const fn set_ceiling(&mut self, ceiling: Bitrate) {
        if let Self::Camera(camera) = self {
            camera.ceiling = ceiling;
        }
    }

    /// The number of the track.
    pub const fn number(&self) -> u32 {
        match self {
            Self::Microphone(microphone) => microphone.source(),
            Self::Camera(camera) => camera.source(),
        }
    }

    const fn codec(&self) -> Codec {
        match self {
            Self::Microphone(_) => Codec::Opus,
            Self::Camera(camera) => match camera.codec() {
                VideoCodec::Vp8 => Codec::Vp8,
                VideoCodec::H264 => Codec::H264,
            },
        }
    }
}

impl From<Microphone> for Source {
    fn from(microphone: Microphone) -> Self {
        Self::Microphone(microphone)
    }
}

impl From<Camera> for Source {
    fn from(camera: Camera) -> Self {
        Self::Camera(camera)
    }
}

/// One encoding on its way out.
#[derive(Debug)]
pub(super) struct Sender {
    mid: Mid,
    rid: Option<Rid>,
    pub(super) source: Source,
    next_sequence: u64,
    sent: u64,
}

impl Sender {
    pub(super) fn new(mid: Mid, rid: Option<Rid>, source: Source) -> Self {
        let next_sequence = mix(u64::from(source.number())) % FIRST_SEQUENCE_BELOW;
        Self { mid, rid, source, next_sequence, sent: 0 }
    }

    pub(super) const fn sent(&self, source: u32) -> u64 {
        if self.source.number() == source { self.sent } else { 0 }
    }

    pub(super) fn on_keyframe_request(&mut self, mid: Mid, rid: Option<Rid>) {
        if self.mid == mid && (rid.is_none() || self.rid == rid) {
            self.source.request_keyframe();
        }
    }

    /// Sends what is due, if it may; false when nothing was due.
    pub(super) fn write_due(&mut self, rtc: &mut Rtc, connected: bool, now: Instant) -> bool {
        let due = self.source.poll_timeout() <= now;
        let packets = self.source.poll_packets(now);
        let pt = self.payload_type(rtc);
        let mut direct = rtc.direct_api();
        let stream = direct.stream_tx_by_mid(self.mid, self.rid);
        let (true, Some(stream), Some(pt)) = (connected, stream, pt) else {
            // Nobody has heard what was made so far, so the first frame that goes out must stand alone.
            self.source.request_keyframe();
            return due;
        };
        if self.sent == 0 {
            // Without a cap: str0m's own stops repeating at 15 %, where browsers go on.
            stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, None);
        }
        for packet in packets {
            let nackable = packet.loudness.is_none();
            let extensions = ExtensionValues {
                audio_level: packet.loudness.map(|loudness| -(loudness.level as i8)),
                voice_activity: packet.loudness.map(|loudness| loudness.voice),
                ..ExtensionValues::default()
            };
            let write = RtpWrite::new(pt, self.next_sequence.into(), packet.timestamp, now, packet.payload);
            stream.write_rtp(write.marker(packet.marker).nackable(nackable).ext_vals(extensions));
            self.next_sequence += 1;
            self.sent += 1;
        }
        due
    }

    /// The number that both ends know the codec by.
    fn payload_type(&self, rtc: &Rtc) -> Option<Pt> {
        let codec = self.source.codec();
        let media = rtc.media(self.mid)?;
        let fits = |params: &PayloadParams| {
            let format = params.spec().format;
            let h264 = (format.packetization_mode, format.profile_level_id.map(|id| id >> 8));
            params.spec().codec == codec && (codec != Codec::H264 || h264 == (Some(1), Some(CONSTRAINED_BASELINE)))
        };
        let known = |pt: &&Pt| rtc.codec_config().iter().any(|params| params.pt() == **pt && fits(params));
        media.remote_pts().iter().find(known).copied()
    }
}
