//! The one transport of a peer in SDP: BUNDLE (RFC 9143), ICE (RFC 8839), DTLS (RFC 8842).

use std::net::SocketAddr;

use super::description::{Candidate, Description, Direction, Section, SectionKind, Setup, TransportLines};
use super::error::SdpError;
use crate::ids::Mid;
use crate::session::{DtlsRole, LocalTransport, MediaKind, RemoteTransport};

/// RFC 8445 §5.1.2.2: the preference of host candidates.
const HOST_PREFERENCE: u32 = 126;

/// Our half of the transport, with the DTLS role that a description gives us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local<'a> {
    pub(super) transport: &'a LocalTransport,
    pub(super) setup: Setup,
}

/// For each section whether it may be used: it is live, of a kind we know, and on the bundle's transport.
pub(super) fn usable_sections(description: &Description) -> Result<Vec<bool>, SdpError> {
    let live = |section: &Section| section.is_live() && has_known_protocol(section);
    let mut usable: Vec<bool> = description.media.iter().map(live).collect();
    let mut live_sections =
        description.media.iter().zip(&usable).filter(|(_, live)| **live).map(|(section, _)| section);
    if let Some(nameless) = live_sections.clone().find(|section| section.mid.is_none()) {
        return Err(SdpError::MidMissing { line: nameless.line });
    }
    if description.bundle.is_empty() {
        if let Some(second) = live_sections.nth(1) {
            return Err(SdpError::BundleMissing { line: second.line });
        }
    } else {
        for (section, usable) in description.media.iter().zip(&mut usable) {
            *usable &= section.mid.is_some_and(|mid| description.bundle.contains(&mid));
        }
    }
    let with_media = description.media.iter().zip(&usable).filter(|(_, usable)| **usable);
    for (section, _) in with_media {
        if matches!(section.kind, SectionKind::Media(_)) && !section.rtcp_mux {
            return Err(SdpError::RtcpMuxMissing { line: section.line });
        }
    }
    Ok(usable)
}

/// RFC 8829 §5.1.2: which profiles mean "over DTLS".
fn has_known_protocol(section: &Section) -> bool {
    match section.kind {
        SectionKind::Media(_) => ["UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"]
            .contains(&section.protocol.as_str()),
        SectionKind::Data => {
            ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"].contains(&section.protocol.as_str())
                && section.formats.iter().any(|format| format == "webrtc-datachannel")
        }
        SectionKind::Unknown => false,
    }
}

/// The remote's half of the transport, from the section that carries the bundle.
pub(super) fn remote_transport(
    description: &Description,
    section: &Section,
    dtls_role: DtlsRole,
) -> Result<RemoteTransport, SdpError> {
    let line = section.line;
    let (own, shared) = (&section.transport, &description.transport);
    let ufrag = own.ufrag.as_ref().or(shared.ufrag.as_ref()).ok_or(SdpError::CredentialsMissing { line })?;
    let pwd = own.pwd.as_ref().or(shared.pwd.as_ref()).ok_or(SdpError::CredentialsMissing { line })?;
    let fingerprints = if own.fingerprints.is_empty() { &shared.fingerprints } else { &own.fingerprints };
    if fingerprints.is_empty() {
        return Err(SdpError::FingerprintMissing { line });
    }
    Ok(RemoteTransport {
        ufrag: ufrag.clone(),
        pwd: pwd.clone(),
        fingerprints: fingerprints.clone(),
        dtls_role,
        candidates: addresses(section),
    })
}

/// The addresses a section names, each once.
pub(super) fn addresses(section: &Section) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for candidate in &section.candidates {
        if !addresses.contains(&candidate.address) {
            addresses.push(candidate.address);
        }
    }
    addresses
}

fn setup_of(description: &Description, section: &Section) -> Option<Setup> {
    section.transport.setup.or(description.transport.setup)
}

/// Our role for an offer: we wait, unless the remote does, or did in the association that goes on (RFC 8842 §5.3).
pub(super) fn role_for_offer(
    description: &Description,
    section: &Section,
    before: Option<&RemoteTransport>,
) -> Result<DtlsRole, SdpError> {
    match setup_of(description, section) {
        Some(Setup::HoldConn) => Err(SdpError::SetupUnusable { line: section.line }),
        Some(Setup::Passive) => Ok(DtlsRole::Client),
        Some(Setup::Active) => Ok(DtlsRole::Server),
        Some(Setup::ActPass) | None => {
            let own = &section.transport.fingerprints;
            let fingerprints = if own.is_empty() { &description.transport.fingerprints } else { own };
            let goes_on = before.filter(|before| before.fingerprints == *fingerprints);
            Ok(goes_on.map_or(DtlsRole::Server, |before| before.dtls_role))
        }
    }
}

/// Our role by an answer to an offer of ours, which left the choice open.
pub(super) fn role_by_answer(description: &Description, section: &Section) -> Result<DtlsRole, SdpError> {
    match setup_of(description, section) {
        Some(Setup::Active) | None => Ok(DtlsRole::Server),
        Some(Setup::Passive) => Ok(DtlsRole::Client),
        Some(Setup::ActPass | Setup::HoldConn) => Err(SdpError::SetupUnusable { line: section.line }),
    }
}

/// What every section of ours has that is in use.
pub(super) fn live_section(kind: SectionKind, mid: Option<Mid>, local: Local<'_>) -> Section {
    let media = match kind {
        SectionKind::Media(MediaKind::Audio) => "audio",
        SectionKind::Media(MediaKind::Video) => "video",
        SectionKind::Data | SectionKind::Unknown => "application",
    };
    let transport = TransportLines {
        ufrag: Some(local.transport.ufrag.clone()),
        pwd: Some(local.transport.pwd.clone()),
        fingerprints: vec![local.transport.fingerprint.clone()],
        setup: Some(local.setup),
    };
    // RFC 8829 §5.2.1: the port says nothing while candidates do.
    Section { kind, media: media.to_owned(), port: 9, mid, transport, ..Section::default() }
}

/// Our addresses, the first most wanted.
pub(super) fn local_candidates(local: &LocalTransport) -> Vec<Candidate> {
    let each = local.candidates.iter().take(usize::from(u8::MAX)).zip(0u32..);
    each.map(|(&address, index)| Candidate {
        foundation: (index + 1).to_string(),
        priority: (HOST_PREFERENCE << 24) | ((65_535 - index) << 8) | 255,
        address,
        kind: "host".to_owned(),
    })
    .collect()
}

/// A refused section (RFC 3264 §6): it keeps its place and nothing else.
pub(super) fn refused(offered: &Section) -> Section {
    Section {
        kind: offered.kind,
        media: offered.media.clone(),
        protocol: offered.protocol.clone(),
        formats: offered.formats.clone(),
        mid: offered.mid,
        direction: Direction::Inactive,
        ..Section::default()
    }
}

/// Puts the sections in use on one transport and gives the first of them our addresses.
pub(super) fn bundle(description: &mut Description, local: &LocalTransport) {
    let in_use = description.media.iter_mut().filter(|section| section.is_live());
    for (index, section) in in_use.enumerate() {
        if index == 0 {
            section.candidates = local_candidates(local);
            section.end_of_candidates = true;
        }
        description.bundle.extend(section.mid);
    }
}
