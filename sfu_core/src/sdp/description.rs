//! A session description (RFC 8866) as typed values: what we need of it, for reading and for writing.

use std::fmt;
use std::net::SocketAddr;

use crate::ids::{Mid, Rid};
use crate::rtp::ext::ExtensionKind;
use crate::session::{Fingerprint, MediaKind};

/// A whole description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// `o=`: the number of the session and of this version of it.
    pub(super) origin: (u64, u64),
    /// Sections on one transport (RFC 9143).
    pub(super) bundle: Vec<Mid>,
    /// RFC 8285 §6, for all sections.
    pub(super) extmap_allow_mixed: bool,
    /// RFC 8840 §4.1.
    pub(super) trickle: bool,
    /// RFC 8839 §5.3: the other end leads.
    pub(super) ice_lite: bool,
    /// What sections without lines of their own take.
    pub(super) transport: TransportLines,
    /// The m= lines.
    pub(super) media: Vec<Section>,
}

/// ICE (RFC 8839) and DTLS (RFC 8842) lines of one level.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TransportLines {
    pub(super) ufrag: Option<String>,
    pub(super) pwd: Option<String>,
    /// Those of the kind sha-256.
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) setup: Option<Setup>,
}

impl fmt::Debug for TransportLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportLines").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// What an m= line describes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SectionKind {
    Media(MediaKind),
    Data,
    #[default]
    Unknown,
}

/// One m= line with its attributes.
#[allow(clippy::struct_excessive_bools, reason = "each is a line without a value, and none depends on another")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// Where the m= line is, from 1; 0 before it is written.
    pub(super) line: u32,
    pub(super) kind: SectionKind,
    /// `audio`, `video`, `application` or something else.
    pub(super) media: String,
    /// 0 means refused or stopped, unless [`Section::bundle_only`].
    pub(super) port: u16,
    pub(super) protocol: String,
    /// The rest of the m= line.
    pub(super) formats: Vec<String>,
    pub(super) mid: Option<Mid>,
    pub(super) direction: Direction,
    pub(super) transport: TransportLines,
    pub(super) bundle_only: bool,
    pub(super) rtcp_mux: bool,
    pub(super) rtcp_rsize: bool,
    pub(super) extmap_allow_mixed: bool,
    pub(super) end_of_candidates: bool,
    /// Component 1, UDP, with a numeric address.
    pub(super) candidates: Vec<Candidate>,
    pub(super) extensions: Vec<Extension>,
    /// In the order of the m= line.
    pub(super) payloads: Vec<Payload>,
    pub(super) msid: Option<Msid>,
    pub(super) ssrcs: Vec<SourceLine>,
    /// `a=ssrc-group:FID`: media and its retransmissions.
    pub(super) repairs: Vec<(u32, u32)>,
    pub(super) rids: Vec<RidLine>,
    pub(super) simulcast: Simulcast,
    pub(super) sctp_port: Option<u16>,
    pub(super) max_message_size: Option<u32>,
}

impl Section {
    /// Whether the section is neither refused nor stopped.
    pub(super) fn is_live(&self) -> bool {
        self.port != 0 || self.bundle_only
    }
}

/// `a=sendrecv` and so on, seen from who wrote the description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(super) const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(super) const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same direction seen from the other end.
    pub(super) const fn inverse(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|d| d.name() == name)
    }
}

/// `a=setup` (RFC 4145).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    ActPass,
    Active,
    Passive,
    HoldConn,
}

impl Setup {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::HoldConn => "holdconn",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::ActPass, Self::Active, Self::Passive, Self::HoldConn].into_iter().find(|s| s.name() == name)
    }
}

/// `a=candidate` (RFC 8839 §5.1).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) foundation: String,
    pub(super) priority: u32,
    pub(super) address: SocketAddr,
    /// `host`, `srflx`, …
    pub(super) kind: String,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// `a=extmap` (RFC 8285 §5) of an extension that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) id: u8,
    pub(super) kind: ExtensionKind,
    pub(super) direction: Option<Direction>,
}

/// One payload type of an m= line with its rtpmap, fmtp and rtcp-fb lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) number: u8,
    /// As written; empty without rtpmap.
    pub(super) name: String,
    pub(super) clock_rate_hz: u32,
    pub(super) channels: Option<u8>,
    /// As written; empty without fmtp.
    pub(super) fmtp: String,
    pub(super) feedback: Vec<Feedback>,
}

impl Payload {
    /// The value of one parameter of `a=fmtp`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp
            .split(';')
            .filter_map(|part| part.trim().split_once('='))
            .find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// `a=rtcp-fb` (RFC 4585 §4.2, RFC 5104 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feedback {
    TransportCc,
    Remb,
    Nack,
    Pli,
    Fir,
}

impl Feedback {
    pub(super) const ALL: [Self; 5] = [Self::TransportCc, Self::Remb, Self::Nack, Self::Pli, Self::Fir];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TransportCc => "transport-cc",
            Self::Remb => "goog-remb",
            Self::Nack => "nack",
            Self::Pli => "nack pli",
            Self::Fir => "ccm fir",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feedback| feedback.name() == name)
    }
}

/// `a=msid` (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Msid {
    pub(super) stream: String,
    pub(super) track: Option<String>,
}

/// The `a=ssrc` lines (RFC 5576) of one SSRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceLine {
    pub(super) ssrc: u32,
    pub(super) cname: Option<String>,
    pub(super) msid: Option<Msid>,
}

/// `a=rid` (RFC 8851).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RidLine {
    pub(super) rid: Rid,
    /// Whether who wrote the description sends it.
    pub(super) sends: bool,
    /// `pt=`: the payload types it may have; empty is any.
    pub(super) payload_types: Vec<u8>,
}

/// `a=simulcast` (RFC 8853), one name per encoding: of alternatives the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Simulcast {
    pub(super) send: Vec<SimulcastName>,
    pub(super) recv: Vec<SimulcastName>,
}

/// One encoding in `a=simulcast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimulcastName {
    pub(super) rid: Rid,
    /// `~`: known, but not flowing at first.
    pub(super) paused: bool,
}
