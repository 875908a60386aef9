//! What can be wrong with a session description (RFC 8866), told so that the other end can be mended.
//!
//! A message names the line and at most the attribute, never its content: descriptions hold addresses and names.

use super::{MAX_BYTES, MAX_LINES};
use crate::session::MAX_MEDIA;

/// Why a description was refused. All but [`SdpError::Plan`] are the remote's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Refused before reading.
    #[error("the description is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Refused before reading.
    #[error("the description has more than {MAX_LINES} lines")]
    TooManyLines,
    /// More m= lines than a session may have.
    #[error("line {line}: there are more than {MAX_MEDIA} media sections")]
    TooManySections {
        /// Where, from 1.
        line: u32,
    },
    /// The remote asks for more sending sections, over the life of the peer, than there are SSRCs for.
    #[error("line {line}: the session has had more than {MAX_MEDIA} sections to send in")]
    TooManySendSections {
        /// Where, from 1.
        line: u32,
    },
    /// Not `letter=value`.
    #[error("line {line}: this is not a line of SDP, which is a letter, an equals sign and a value")]
    NotALine {
        /// Where, from 1.
        line: u32,
    },
    /// Not SDP at all.
    #[error("line {line}: a description begins with v=0")]
    Version {
        /// Where, from 1.
        line: u32,
    },
    /// Unreadable m= line.
    #[error("line {line}: the m= line cannot be read")]
    MediaLine {
        /// Where, from 1.
        line: u32,
    },
    /// An attribute we need has a value that breaks its grammar.
    #[error("line {line}: the value of a={name} cannot be read")]
    Attribute {
        /// Where, from 1.
        line: u32,
        /// Which attribute.
        name: &'static str,
    },
    /// Two sections of one name.
    #[error("line {line}: another media section has the same a=mid")]
    DuplicateMid {
        /// Of the later m= line, from 1.
        line: u32,
    },
    /// A section without a name.
    #[error("line {line}: the media section has no a=mid")]
    MidMissing {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// We have one transport per peer.
    #[error("line {line}: there are several media sections but no a=group:BUNDLE")]
    BundleMissing {
        /// Of the second m= line, from 1.
        line: u32,
    },
    /// We have one port.
    #[error("line {line}: the media section has no a=rtcp-mux")]
    RtcpMuxMissing {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// Nothing to check STUN with.
    #[error("line {line}: the media section has no a=ice-ufrag and a=ice-pwd")]
    CredentialsMissing {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// Nothing to check DTLS with.
    #[error("line {line}: the media section has no a=fingerprint of the kind sha-256")]
    FingerprintMissing {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// `holdconn`, or a choice left open by an answer.
    #[error("line {line}: the a=setup of the media section leaves nobody to start DTLS")]
    SetupUnusable {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// There is not one section that both ends can use.
    #[error("none of the media sections can be used: they are stopped, or no codec is known to both ends")]
    NothingUsable,
    /// An answer has as many sections as its offer.
    #[error("the answer has {answered} media sections, the offer had {offered}")]
    SectionCount {
        /// What we offered.
        offered: usize,
        /// What came.
        answered: usize,
    },
    /// A section of an answer, or of a later offer, is another one than before.
    #[error("line {line}: the media section has another kind or a=mid than in the description before")]
    SectionChanged {
        /// Of the m= line, from 1.
        line: u32,
    },
    /// The caller's fault: something in the plan cannot be written into a description.
    #[error("the plan cannot be written as SDP: {0}")]
    Plan(&'static str),
}

impl SdpError {
    /// A name for the fault that stays the same between versions.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "sdp_too_long",
            Self::TooManyLines => "sdp_too_many_lines",
            Self::TooManySections { .. } => "sdp_too_many_sections",
            Self::TooManySendSections { .. } => "sdp_too_many_send_sections",
            Self::NotALine { .. } => "sdp_not_a_line",
            Self::Version { .. } => "sdp_version",
            Self::MediaLine { .. } => "sdp_media_line",
            Self::Attribute { .. } => "sdp_attribute",
            Self::DuplicateMid { .. } => "sdp_duplicate_mid",
            Self::MidMissing { .. } => "sdp_mid_missing",
            Self::BundleMissing { .. } => "sdp_bundle_missing",
            Self::RtcpMuxMissing { .. } => "sdp_rtcp_mux_missing",
            Self::CredentialsMissing { .. } => "sdp_credentials_missing",
            Self::FingerprintMissing { .. } => "sdp_fingerprint_missing",
            Self::SetupUnusable { .. } => "sdp_setup_unusable",
            Self::NothingUsable => "sdp_nothing_usable",
            Self::SectionCount { .. } => "sdp_section_count",
            Self::SectionChanged { .. } => "sdp_section_changed",
            Self::Plan(_) => "sdp_plan",
        }
    }

    /// The line the fault is on, from 1, when it is on one line.
    pub const fn line(&self) -> Option<u32> {
        match *self {
            Self::TooManySections { line }
            | Self::TooManySendSections { line }
            | Self::NotALine { line }
            | Self::Version { line }
            | Self::MediaLine { line }
            | Self::Attribute { line, .. }
            | Self::DuplicateMid { line }
            | Self::MidMissing { line }
            | Self::BundleMissing { line }
            | Self::RtcpMuxMissing { line }
            | Self::CredentialsMissing { line }
            | Self::FingerprintMissing { line }
            | Self::SetupUnusable { line }
            | Self::SectionChanged { line } => Some(line),
            _ => None,
        }
    }
}
