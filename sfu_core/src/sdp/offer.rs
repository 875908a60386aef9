//! Offering (RFC 8829 §5.2.1) and taking the answer (§5.11).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::announce;
use super::codecs::{self, Chosen};
use super::description::{Description, Direction, Extension, Section, SectionKind, Setup};
use super::error::SdpError;
use super::plan::{MediaPolicy, OfferPlan, OfferSection};
use super::{media, parse, transport, write};
use crate::ids::Mid;
use crate::rtp::ext::{ExtensionKind, ExtensionMap};
use crate::session::{CongestionFeedback, MediaKind, NegotiatedSession, ReceiveMedia, RemoteTransport, SendMedia};

/// The numbers of the header extensions we offer: those of Chromium. RIDs are only offered by who sends simulcast.
const OFFERED_EXTENSIONS: [(u8, ExtensionKind, MediaKind); 7] = [
    (1, ExtensionKind::AudioLevel, MediaKind::Audio),
    (2, ExtensionKind::AbsSendTime, MediaKind::Video),
    (5, ExtensionKind::PlayoutDelay, MediaKind::Video),
    (6, ExtensionKind::AbsCaptureTime, MediaKind::Audio),
    (6, ExtensionKind::AbsCaptureTime, MediaKind::Video),
    (12, ExtensionKind::DependencyDescriptor, MediaKind::Video),
    (13, ExtensionKind::VideoOrientation, MediaKind::Video),
];
/// The same for both kinds.
const OFFERED_EVERYWHERE: [(u8, ExtensionKind); 2] = [(4, ExtensionKind::Mid), (3, ExtensionKind::TransportCc)];

/// An offer that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PendingOffer {
    plan: OfferPlan,
}

/// An offer and what is needed to understand its answer. Its debug form leaves out the text, which holds credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// For the remote.
    pub sdp: String,
    /// For [`accept`].
    pub pending: PendingOffer,
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// Writes an offer.
///
/// # Errors
/// [`SdpError::Plan`], when the plan cannot be written.
pub fn offer(plan: &OfferPlan) -> Result<Offered, SdpError> {
    plan.check()?;
    Ok(Offered { sdp: write::write(&describe(plan)), pending: PendingOffer { plan: plan.clone() } })
}

fn describe(plan: &OfferPlan) -> Description {
    let mut description = Description {
        origin: (u64::from(plan.local.ssrc_base), plan.version),
        extmap_allow_mixed: true,
        trickle: true,
        // RFC 8445 §6.1.1: who offers leads, unless it is lite. We never lead, and Firefox keeps asking as one who is led,
        // whatever we answer (487).
        ice_lite: true,
        ..Description::default()
    };
    let local = transport::Local { transport: &plan.local, setup: Setup::ActPass };
    let mut media_sections = 0;
    for (index, section) in plan.sections.iter().enumerate() {
        let mid = Mid::new(&index.to_string());
        description.media.push(match section {
            OfferSection::Data => data_section(mid, local),
            OfferSection::Media { .. } => {
                media_sections += 1;
                media_section(section, mid, media_sections - 1, plan, local)
            }
        });
    }
    transport::bundle(&mut description, &plan.local);
    description
}

fn data_section(mid: Option<Mid>, local: transport::Local<'_>) -> Section {
    Section {
        protocol: "UDP/DTLS/SCTP".to_owned(),
        formats: vec!["webrtc-datachannel".to_owned()],
        sctp_port: Some(media::SCTP_PORT),
        max_message_size: Some(media::MAX_MESSAGE_SIZE),
        ..transport::live_section(SectionKind::Data, mid, local)
    }
}

fn media_section(
    planned: &OfferSection,
    mid: Option<Mid>,
    index: usize,
    plan: &OfferPlan,
    local: transport::Local<'_>,
) -> Section {
    let OfferSection::Media { kind, send, receive, generation } = planned else { return Section::default() };
    let payloads = codecs::offered(*kind, &plan.policy);
    let mut section = Section {
        protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
        formats: payloads.iter().map(|payload| payload.number.to_string()).collect(),
        direction: Direction::new(send.is_some(), *receive && plan.policy.receive),
        rtcp_mux: true,
        rtcp_rsize: true,
        extensions: offered_extensions(*kind),
        ..transport::live_section(SectionKind::Media(*kind), mid, local)
    };
    if let (Some(send), Some(mid)) = (send, mid) {
        let chosen = codecs::choose(&payloads, *kind, &plan.policy);
        let mut media = media::idle_send_media(mid, *kind, plan.local.ssrc_base, index, *generation);
        media::fill_send_media(&mut media, &chosen);
        announce(&mut section, send, &media);
    }
    section.payloads = payloads;
    section
}

fn offered_extensions(kind: MediaKind) -> Vec<Extension> {
    let special = OFFERED_EXTENSIONS.iter().filter(|(_, _, of)| *of == kind).map(|&(id, kind, _)| (id, kind));
    let each = OFFERED_EVERYWHERE.into_iter().chain(special);
    each.map(|(id, kind)| Extension { id, kind, direction: None }).collect()
}

/// Takes the answer to an offer of ours.
///
/// # Errors
/// [`SdpError`], when the answer cannot be read, does not fit the offer, or lacks what the transport needs.
pub fn accept(pending: &PendingOffer, answer: &str) -> Result<NegotiatedSession, SdpError> {
    let plan = &pending.plan;
    plan.check()?;
    let offered = describe(plan);
    let answer = parse::parse(answer)?;
    check_places(&offered, &answer)?;
    let usable = usable(&answer);
    let remote = remote(&answer, &usable)?;

    let mut session = NegotiatedSession {
        remote,
        extensions: ExtensionMap::default(),
        feedback: CongestionFeedback::None,
        reduced_size: false,
        receive: Vec::new(),
        send: Vec::new(),
        data: None,
    };
    for (((ours, theirs), usable), planned) in offered.media.iter().zip(&answer.media).zip(usable).zip(&plan.sections) {
        let Some(mid) = ours.mid else { continue };
        match ours.kind {
            SectionKind::Media(kind) => {
                accept_media(&mut session, &Pair { mid, kind, ours, theirs, usable, planned }, plan);
            }
            _ if usable => session.data = Some(media::data_media(theirs, mid)),
            _ => {}
        }
    }
    Ok(session)
}

/// One section of the offer and its answer.
struct Pair<'a> {
    mid: Mid,
    kind: MediaKind,
    ours: &'a Section,
    theirs: &'a Section,
    usable: bool,
    planned: &'a OfferSection,
}

fn accept_media(session: &mut NegotiatedSession, pair: &Pair<'_>, plan: &OfferPlan) {
    let chosen = if pair.usable { codecs::choose(&pair.theirs.payloads, pair.kind, &plan.policy) } else { Vec::new() };
    let extensions = if pair.usable { agreed_extensions(pair, &mut session.extensions) } else { Vec::new() };
    let feedback = codecs::congestion_feedback(&chosen, media::has_transport_cc(&extensions));
    session.feedback = media::better_feedback(session.feedback, feedback);
    session.reduced_size |= pair.usable && pair.theirs.rtcp_rsize;
    session.send.push(sent(pair, &chosen, plan.local.ssrc_base, session.send.len()));
    session.receive.extend(received(pair, &chosen, &plan.policy));
}

/// An answer may keep fewer extensions than were offered, but not give them other numbers.
fn agreed_extensions(pair: &Pair<'_>, map: &mut ExtensionMap) -> Vec<Extension> {
    let mut section = Section { extensions: pair.theirs.extensions.clone(), ..Section::default() };
    section
        .extensions
        .retain(|theirs| pair.ours.extensions.iter().any(|ours| (ours.id, ours.kind) == (theirs.id, theirs.kind)));
    media::agree_on_extensions(&section, map, true)
}

/// In answers the order is the remote's.
fn sent(pair: &Pair<'_>, chosen: &[Chosen<'_>], ssrc_base: u32, index: usize) -> SendMedia {
    let generation = if let OfferSection::Media { generation, .. } = pair.planned { *generation } else { 0 };
    let mut media = media::idle_send_media(pair.mid, pair.kind, ssrc_base, index, generation);
    if pair.theirs.direction.receives() && pair.ours.direction.sends() {
        let mut chosen = chosen.to_vec();
        let place = |number| pair.theirs.payloads.iter().position(|payload| payload.number == number);
        chosen.sort_by_key(|one| place(one.payload.number));
        media::fill_send_media(&mut media, &chosen);
    }
    media
}

/// The remote sends with the numbers of our offer, so those that the answer renumbers are left out.
fn received(pair: &Pair<'_>, chosen: &[Chosen<'_>], policy: &MediaPolicy) -> Option<ReceiveMedia> {
    let ours = codecs::choose(&pair.ours.payloads, pair.kind, policy);
    let same =
        |one: &&Chosen<'_>| ours.iter().any(|our| our.payload.number == one.payload.number && our.codec == one.codec);
    let chosen: Vec<Chosen<'_>> = chosen.iter().filter(same).cloned().collect();
    let sends = pair.theirs.direction.sends() && pair.ours.direction.receives();
    (sends && !chosen.is_empty()).then(|| media::receive_media(pair.theirs, pair.mid, pair.kind, &chosen, &[], true))
}

/// RFC 3264 §6: as many sections, of the same kinds, in the same order.
fn check_places(offered: &Description, answer: &Description) -> Result<(), SdpError> {
    if offered.media.len() != answer.media.len() {
        return Err(SdpError::SectionCount { offered: offered.media.len(), answered: answer.media.len() });
    }
    for (ours, theirs) in offered.media.iter().zip(&answer.media) {
        if ours.kind != theirs.kind || (theirs.mid.is_some() && theirs.mid != ours.mid) {
            return Err(SdpError::SectionChanged { line: theirs.line });
        }
    }
    Ok(())
}

/// Which sections the remote accepted on our one transport.
fn usable(answer: &Description) -> Vec<bool> {
    let in_bundle =
        |section: &Section| answer.bundle.is_empty() || section.mid.is_none_or(|mid| answer.bundle.contains(&mid));
    answer.media.iter().map(|section| section.is_live() && in_bundle(section)).collect()
}

fn remote(answer: &Description, usable: &[bool]) -> Result<RemoteTransport, SdpError> {
    let mut used = answer.media.iter().zip(usable).filter(|(_, usable)| **usable).map(|(section, _)| section);
    let carrier = used.clone().next().ok_or(SdpError::NothingUsable)?;
    if let Some(unbundled) = used.clone().nth(1).filter(|_| answer.bundle.is_empty()) {
        return Err(SdpError::BundleMissing { line: unbundled.line });
    }
    if let Some(plain) = used.find(|section| matches!(section.kind, SectionKind::Media(_)) && !section.rtcp_mux) {
        return Err(SdpError::RtcpMuxMissing { line: plain.line });
    }
    transport::remote_transport(answer, carrier, transport::role_by_answer(answer, carrier)?)
}
