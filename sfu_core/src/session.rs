//! What both ends agreed on: the only thing the engine knows of a negotiation. Made by [`crate::sdp`], off the media
//! thread; the engine never sees SDP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{Mid, Rid, Ssrc};
use crate::rtp::ext::ExtensionMap;

/// Most media sections one session may have (`reliability.md` A1.2: 64).
pub const MAX_MEDIA: usize = 64;
/// Most payload types one media section may keep; Chromium offers about 20 for video.
pub const MAX_PAYLOAD_TYPES: usize = 32;
/// Most certificates a remote may choose among (RFC 8122 §5); browsers name one.
pub const MAX_FINGERPRINTS: usize = 8;
/// Most addresses of the remote in one section; browsers gather fewer than 20 (`reliability.md` F5).
pub const MAX_CANDIDATES: usize = 32;
/// Most simulcast encodings of one track.
pub const MAX_ENCODINGS: usize = 4;
/// By how much the SSRCs of a section of ours rise when it carries another track: beyond those of all sections.
pub const SSRC_GENERATION: u32 = 2 * MAX_MEDIA.next_power_of_two() as u32 * 2;

/// What a track carries. An edge is granted for one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
}

/// What a track shows or sounds; decides its place in line when bandwidth is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A shared screen.
    Screen,
    /// The sound of a shared screen.
    ScreenAudio,
}

/// The most a subscription may receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerLimit {
    /// Index into the track's encodings, lowest quality first; more than there are means the best.
    pub encoding: u8,
    /// Highest temporal layer, 0 to 7.
    pub temporal: u8,
}

impl LayerLimit {
    /// No limit.
    pub const BEST: Self = Self { encoding: u8::MAX, temporal: u8::MAX };
}

/// A codec the engine forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// RFC 6716, payload RFC 7587.
    Opus,
    /// Redundant audio (RFC 2198) around Opus.
    Red,
    /// RFC 6386, payload RFC 7741.
    Vp8,
    /// Payload RFC 9628.
    Vp9,
    /// Payload RFC 6184.
    H264,
    /// AOMedia "RTP Payload Format For AV1".
    Av1,
}

impl Codec {
    /// Whether the codec is sound or pictures.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Red => MediaKind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => MediaKind::Video,
        }
    }
}

/// One negotiated payload type of one media section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadType {
    /// The number in the RTP header, 0 to 127.
    pub number: u8,
    /// What it stands for.
    pub codec: Codec,
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// The payload type of retransmissions (RFC 4588, `apt`), when negotiated.
    pub rtx: Option<u8>,
    /// Canonical format parameters that must match between publisher and subscriber: for H.264 the packetization mode
    /// and profile (`"1;42e0"`), for VP9 and AV1 the profile, else empty.
    pub format: String,
}

/// One stream that the remote sends inside a media section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteEncoding {
    /// Its name, when simulcast names it by RID (RFC 8853).
    pub rid: Option<Rid>,
    /// Its SSRC, when the description tells; else it is learned from authenticated packets by MID and RID.
    pub ssrc: Option<Ssrc>,
    /// The SSRC of its retransmissions (RFC 4588), when the description tells.
    pub rtx_ssrc: Option<Ssrc>,
}

/// A media section in which the remote sends to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveMedia {
    /// The section's name.
    pub mid: Mid,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// What may come, in the order of preference agreed on.
    pub payload_types: Vec<PayloadType>,
    /// What comes side by side, lowest quality first; one entry without simulcast.
    pub encodings: Vec<RemoteEncoding>,
    /// Whether lost packets may be asked for again (RFC 4585 generic NACK).
    pub nack: bool,
    /// Whether a keyframe may be asked for (PLI).
    pub pli: bool,
    /// Whether a keyframe may be asked for (FIR, RFC 5104), for those without PLI.
    pub fir: bool,
    /// Whether the remote may be asked to send less (REMB, draft-alvestrand-rmcat-remb-03), beside any other feedback.
    pub remb: bool,
}

/// What the far end of a relay must know of a track to publish it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayDescription {
    /// What it shows.
    pub source: TrackSource,
    /// Whether the payload is end-to-end encrypted.
    pub encrypted: bool,
    /// Header extension numbers in what is relayed.
    pub extensions: ExtensionMap,
    /// Its payload types and encodings, as if a remote had agreed to send them.
    pub media: ReceiveMedia,
}

impl RelayDescription {
    /// Whether it can be published: nothing in it is longer than it may be, and all is of one kind.
    pub fn is_sound(&self) -> bool {
        let payload_types = &self.media.payload_types;
        (1..=MAX_PAYLOAD_TYPES).contains(&payload_types.len())
            && self.media.encodings.len() <= MAX_ENCODINGS
            && payload_types.iter().all(|payload| payload.codec.kind() == self.media.kind)
    }
}

/// A media section in which we send to the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendMedia {
    /// The section's name.
    pub mid: Mid,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// What the remote takes, in its order of preference.
    pub payload_types: Vec<PayloadType>,
    /// Our SSRC in this section.
    pub ssrc: Ssrc,
    /// Our SSRC for retransmissions in this section, when any payload type has them.
    pub rtx_ssrc: Option<Ssrc>,
    /// Whether the remote may ask for lost packets again.
    pub nack: bool,
}

/// How RTCP tells the sender what arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CongestionFeedback {
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    TransportCc,
    /// draft-alvestrand-rmcat-remb-03.
    Remb,
    /// Only receiver reports.
    #[default]
    None,
}

/// SCTP over DTLS (RFC 8841).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMedia {
    /// The section's name.
    pub mid: Mid,
    /// The remote's SCTP port; 5000 everywhere so far.
    pub sctp_port: u16,
    /// The largest message the remote takes, in bytes.
    pub max_message_size: u32,
}

/// A hash of the certificate the other end must show in DTLS (RFC 8122).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Always `sha-256`; others are refused where SDP is read.
    pub algorithm: String,
    /// 32 bytes.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// Who speaks first in DTLS (RFC 5763 §5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DtlsRole {
    /// We wait for the ClientHello. Our answer to everyone who leaves the choice to us.
    #[default]
    Server,
    /// We send the ClientHello: the remote insisted on `setup:passive`.
    Client,
}

/// How to reach the remote, and who it must turn out to be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteTransport {
    /// The remote's ICE user name fragment (RFC 8839).
    pub ufrag: String,
    /// The remote's ICE password: keys the integrity of STUN.
    pub pwd: String,
    /// Any of these certificates is the right one.
    pub fingerprints: Vec<Fingerprint>,
    /// Who sends the ClientHello.
    pub dtls_role: DtlsRole,
    /// Addresses the remote named; not needed to connect (`connect.md`).
    pub candidates: Vec<SocketAddr>,
}

impl std::fmt::Debug for RemoteTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTransport").field("dtls_role", &self.dtls_role).finish_non_exhaustive()
    }
}

/// Why a peer is gone without having been removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// No address answered our checks in time.
    Ice,
    /// DTLS did not finish in time; tried again as often as allowed.
    Dtls,
    /// The certificate is not the one the description announced.
    Fingerprint,
    /// The room failed.
    Room,
}

/// Our own half, chosen by the engine when the peer was made, before there is any description.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTransport {
    /// Our ICE user name fragment: carries the peer's slot, generation and a check value.
    pub ufrag: String,
    /// Our ICE password.
    pub pwd: String,
    /// SHA-256 of our DTLS certificate.
    pub fingerprint: Fingerprint,
    /// The addresses that clients are told.
    pub candidates: Vec<SocketAddr>,
    /// The `n`-th media section in which we send uses `ssrc_base + 2n`, its retransmissions `ssrc_base + 2n + 1`.
    pub ssrc_base: u32,
}

impl std::fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTransport").field("ssrc_base", &self.ssrc_base).finish_non_exhaustive()
    }
}

/// The whole of an offer and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegotiatedSession {
    /// How to reach the remote.
    pub remote: RemoteTransport,
    /// Header extension numbers; one numbering for the whole bundle (RFC 9143 §9.2).
    pub extensions: ExtensionMap,
    /// Which congestion feedback both ends know.
    pub feedback: CongestionFeedback,
    /// Whether the remote takes feedback without a report before it (RFC 5506). Firefox says so in its sections of pictures only:
    /// all sections are one RTP session (RFC 9143 §9), so one that says it is enough.
    pub reduced_size: bool,
    /// Where the remote sends.
    pub receive: Vec<ReceiveMedia>,
    /// Where we send. The `n`-th has SSRC `ssrc_base + 2n` for life: sections are never removed, only left idle.
    pub send: Vec<SendMedia>,
    /// Data channels.
    pub data: Option<DataMedia>,
}

impl NegotiatedSession {
    /// Whether nothing in it is longer than it may be. What [`crate::sdp`] makes is; a command may carry anything.
    pub fn is_within_caps(&self) -> bool {
        let receive = self
            .receive
            .iter()
            .all(|media| media.payload_types.len() <= MAX_PAYLOAD_TYPES && media.encodings.len() <= MAX_ENCODINGS);
        let send = self.send.iter().all(|media| media.payload_types.len() <= MAX_PAYLOAD_TYPES);
        self.receive.len() <= MAX_MEDIA
            && self.send.len() <= MAX_MEDIA
            && self.remote.fingerprints.len() <= MAX_FINGERPRINTS
            && self.remote.candidates.len() <= MAX_CANDIDATES * MAX_MEDIA
            && receive
            && send
    }
}
