//! SDP fragments (RFC 8840 §9, `application/trickle-ice-sdpfrag`), as WHIP's PATCH carries them (RFC 9725 §4.3).

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::description::{Description, Section, SectionKind};
use super::error::SdpError;
use super::{parse, transport, write};
use crate::ids::Mid;
use crate::session::{LocalTransport, MediaKind};

/// What a fragment says of the remote's transport.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// The remote's ICE user name fragment. Another one than before asks for an ICE restart.
    pub ufrag: Option<String>,
    /// The remote's ICE password.
    pub pwd: Option<String>,
    /// Addresses the remote found.
    pub candidates: Vec<SocketAddr>,
    /// Whether there will be no more of them.
    pub end_of_candidates: bool,
    /// The section the fragment speaks of.
    pub mid: Option<Mid>,
    /// The kind of that section.
    pub kind: Option<MediaKind>,
    /// The sections on the transport.
    pub bundle: Vec<Mid>,
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fragment").field("mid", &self.mid).finish_non_exhaustive()
    }
}

/// Reads a fragment.
///
/// # Errors
/// [`SdpError`], when the text is too big, is not SDP, or breaks its grammar.
pub fn parse_fragment(text: &str) -> Result<Fragment, SdpError> {
    let description = parse::parse_fragment(text)?;
    let section = description.media.first().cloned().unwrap_or_default();
    let Description { transport: shared, bundle, .. } = description;
    Ok(Fragment {
        candidates: transport::addresses(&section),
        ufrag: section.transport.ufrag.or(shared.ufrag),
        pwd: section.transport.pwd.or(shared.pwd),
        end_of_candidates: section.end_of_candidates,
        mid: section.mid,
        kind: match section.kind {
            SectionKind::Media(kind) => Some(kind),
            SectionKind::Data | SectionKind::Unknown => None,
        },
        bundle,
    })
}

/// Writes our new credentials and addresses in answer to a fragment that restarted ICE.
pub fn write_fragment(local: &LocalTransport, restart: &Fragment) -> String {
    let kind = restart.kind.map_or(SectionKind::Data, SectionKind::Media);
    let (protocol, format) = match kind {
        SectionKind::Media(_) => ("UDP/TLS/RTP/SAVPF", "0"),
        _ => ("UDP/DTLS/SCTP", "webrtc-datachannel"),
    };
    let half = transport::Local { transport: local, setup: super::description::Setup::Passive };
    let mut section = transport::live_section(kind, restart.mid, half);
    section.transport.fingerprints.clear();
    section.transport.setup = None;
    let section = Section {
        protocol: protocol.to_owned(),
        formats: vec![format.to_owned()],
        candidates: transport::local_candidates(local),
        end_of_candidates: true,
        ..section
    };
    let mut lines = write::Lines::default();
    write::write_bundle(&mut lines, &Description { bundle: restart.bundle.clone(), ..Description::default() });
    lines.push(format_args!("a=ice-options:trickle"));
    write::write_head(&mut lines, &section);
    lines.into_text()
}
