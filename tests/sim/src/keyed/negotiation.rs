//! What a participant with given keys and the server have agreed on, without any description going back and forth.

use sfu_core::ids::{Mid, Rid, Ssrc};
use sfu_core::rtp::ext::{ExtensionKind, ExtensionMap};
use sfu_core::session::{
    Codec, CongestionFeedback, DtlsRole, MediaKind, NegotiatedSession, PayloadType, ReceiveMedia, RemoteEncoding,
    RemoteTransport, SendMedia,
};

use crate::media::VideoCodec;

/// One number per codec, as Chromium gives them.
pub(super) const OPUS: u8 = 111;
pub(super) const VP8: (u8, u8) = (96, 97);
pub(super) const H264: (u8, u8) = (102, 103);
/// SSRCs of one participant lie this close together.
const SSRCS_PER_PARTICIPANT: u32 = 1 << 10;
/// Above this, SSRCs are the participant's own; below, the server's towards it.
const OWN_SSRCS: u32 = SSRCS_PER_PARTICIPANT / 2;

/// A section in which the participant sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// Sound.
    Audio,
    /// Pictures in one encoding, or in several named ones, lowest quality first.
    Video(VideoCodec, &'static [&'static str]),
}

/// What a participant wants, and the numbers that follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Unique in the world; all SSRCs follow from it.
    pub number: u32,
    /// Sections in which it sends; the `n`-th is named `s<n>`.
    pub sends: Vec<Sends>,
    /// Sections in which it receives sound; the `n`-th is named `a<n>`.
    pub receives_audio: usize,
    /// Sections in which it receives pictures; the `n`-th is named `v<n>`.
    pub receives_video: usize,
    /// How it tells what arrived.
    pub feedback: CongestionFeedback,
    /// Whether lost packets come again in a stream of their own (RFC 4588).
    pub rtx: bool,
}

impl Wishes {
    /// A participant that sends and receives nothing.
    pub const fn none(number: u32) -> Self {
        let feedback = CongestionFeedback::TransportCc;
        Self { number, sends: Vec::new(), receives_audio: 0, receives_video: 0, feedback, rtx: true }
    }

    /// The name of the `n`-th section in which it sends.
    pub fn send_mid(n: usize) -> Mid {
        mid('s', n)
    }

    /// The name of the `n`-th section in which it receives sound.
    pub fn audio_mid(n: usize) -> Mid {
        mid('a', n)
    }

    /// The name of the `n`-th section in which it receives pictures.
    pub fn video_mid(n: usize) -> Mid {
        mid('v', n)
    }

    /// The agreement, as the server's engine takes it.
    pub fn agreed(&self) -> NegotiatedSession {
        NegotiatedSession {
            remote: RemoteTransport {
                ufrag: String::new(),
                pwd: String::new(),
                fingerprints: Vec::new(),
                dtls_role: DtlsRole::Server,
                candidates: Vec::new(),
            },
            extensions: extensions(),
            feedback: self.feedback,
            // As aiortc, who tells by REMB has agreed to none.
            reduced_size: self.feedback == CongestionFeedback::TransportCc,
            receive: self.sends.iter().enumerate().map(|(n, &sends)| self.receive_media(n, sends)).collect(),
            send: self.send_media(),
            data: None,
        }
    }

    fn receive_media(&self, n: usize, sends: Sends) -> ReceiveMedia {
        let (kind, codec, rids): (_, _, &[&str]) = match sends {
            Sends::Audio => (MediaKind::Audio, opus(), &[]),
            Sends::Video(codec, rids) => (MediaKind::Video, video(codec, self.rtx), rids),
        };
        let named = rids.iter().map(|rid| RemoteEncoding { rid: Rid::new(rid), ..RemoteEncoding::default() });
        let encodings: Vec<RemoteEncoding> = if rids.is_empty() {
            let rtx_ssrc = codec.rtx.map(|_| self.own_rtx_ssrc(n, 0));
            vec![RemoteEncoding { rid: None, ssrc: Some(self.own_ssrc(n, 0)), rtx_ssrc }]
        } else {
            named.collect()
        };
        let video = kind == MediaKind::Video;
        let mid = Self::send_mid(n);
        ReceiveMedia {
            mid,
            kind,
            payload_types: vec![codec],
            encodings,
            nack: video,
            pli: video,
            fir: false,
            remb: video,
        }
    }

    fn send_media(&self) -> Vec<SendMedia> {
        let sound = (0..self.receives_audio).map(|n| (Self::audio_mid(n), MediaKind::Audio));
        let pictures = (0..self.receives_video).map(|n| (Self::video_mid(n), MediaKind::Video));
        let sections = sound.chain(pictures).enumerate().map(|(n, (mid, kind))| {
            let ssrc = self.first_ssrc() + 2 * n as u32;
            let (payload_types, rtx) = match kind {
                MediaKind::Audio => (vec![opus()], false),
                MediaKind::Video => {
                    (vec![video(VideoCodec::Vp8, self.rtx), video(VideoCodec::H264, self.rtx)], self.rtx)
                }
            };
            let (nack, rtx_ssrc) = (kind == MediaKind::Video, rtx.then_some(Ssrc(ssrc + 1)));
            SendMedia { mid, kind, payload_types, ssrc: Ssrc(ssrc), rtx_ssrc, nack }
        });
        sections.collect()
    }

    /// The SSRC of an encoding it sends.
    pub const fn own_ssrc(&self, section: usize, encoding: usize) -> Ssrc {
        Ssrc(self.first_ssrc() + OWN_SSRCS + (section as u32) * 8 + 2 * encoding as u32)
    }

    /// The SSRC of the retransmissions of an encoding it sends.
    pub const fn own_rtx_ssrc(&self, section: usize, encoding: usize) -> Ssrc {
        Ssrc(self.own_ssrc(section, encoding).0 + 1)
    }

    const fn first_ssrc(&self) -> u32 {
        // Wraps after four million participants, long after the first ones have left.
        (self.number + 1).wrapping_mul(SSRCS_PER_PARTICIPANT)
    }
}

/// The numbers of a codec.
pub(super) const fn payload_type(sends: Sends) -> (u8, u8) {
    match sends {
        Sends::Audio => (OPUS, 0),
        Sends::Video(VideoCodec::Vp8, _) => VP8,
        Sends::Video(VideoCodec::H264, _) => H264,
    }
}

/// The numbers of the header extensions.
pub(super) fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (kind, id) in [
        (ExtensionKind::AudioLevel, 1),
        (ExtensionKind::AbsSendTime, 2),
        (ExtensionKind::TransportCc, 3),
        (ExtensionKind::Mid, 4),
        (ExtensionKind::Rid, 10),
        (ExtensionKind::RepairedRid, 11),
    ] {
        assert!(map.set(kind, id), "every number stands for one extension");
    }
    map
}

fn mid(kind: char, n: usize) -> Mid {
    Mid::new(&format!("{kind}{n}")).expect("a letter and a number are a name")
}

fn opus() -> PayloadType {
    PayloadType { number: OPUS, codec: Codec::Opus, clock_rate_hz: 48_000, rtx: None, format: String::new() }
}

fn video(codec: VideoCodec, rtx: bool) -> PayloadType {
    let ((number, rtx_number), codec, format) = match codec {
        VideoCodec::Vp8 => (VP8, Codec::Vp8, ""),
        VideoCodec::H264 => (H264, Codec::H264, "1;42e0"),
    };
    PayloadType { number, codec, clock_rate_hz: 90_000, rtx: rtx.then_some(rtx_number), format: format.to_owned() }
}
