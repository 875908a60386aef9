//! RTP header extensions (RFC 8285): their numbers in a session, reading them, writing them.

use serde::{Deserialize, Serialize};

/// A header extension that forwarding reads, writes or passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ExtensionKind {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    RepairedRid,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    AudioLevel,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportCc,
    /// Absolute send time, 24 bits of 6.18 fixed point seconds (libwebrtc's description).
    AbsSendTime,
    /// Absolute capture time (libwebrtc's description).
    AbsCaptureTime,
    /// `urn:3gpp:video-orientation`.
    VideoOrientation,
    /// Playout delay limits (libwebrtc's description).
    PlayoutDelay,
    /// AV1 dependency descriptor; other codecs use it too.
    DependencyDescriptor,
}

/// How many kinds there are.
pub const EXTENSION_KINDS: usize = 10;

impl ExtensionKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; EXTENSION_KINDS] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::AbsCaptureTime,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
    ];

    /// The name that SDP uses.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// The kind that SDP calls `uri`.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which number stands for which extension in one session. Numbers are 1 to 14 (one-byte form) or up to 255 (two-byte).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExtensionMap {
    /// By kind; 0 is "not negotiated".
    ids: [u8; EXTENSION_KINDS],
}

impl ExtensionMap {
    /// Lets `id` stand for `kind`. Returns false, and changes nothing, when the number is 0, 15 or taken.
    pub fn set(&mut self, kind: ExtensionKind, id: u8) -> bool {
        let taken = self.kind(id).is_some_and(|other| other != kind);
        if id == 0 || id == 15 || taken {
            return false;
        }
        self.ids[kind as usize] = id;
        true
    }

    /// The number of `kind`, when negotiated.
    #[inline]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        match self.ids[kind as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// What `id` stands for.
    #[inline]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        if id == 0 {
            return None;
        }
        ExtensionKind::ALL.into_iter().find(|&kind| self.ids[kind as usize] == id)
    }
}
