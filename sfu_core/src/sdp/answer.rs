//! Answering an offer (RFC 8829 §5.3.1).

use super::codecs::{self, Chosen};
use super::description::{
    Description, Direction, Extension, Feedback, Msid, RidLine, Section, SectionKind, Setup, Simulcast, SimulcastName,
    SourceLine,
};
use super::error::SdpError;
use super::plan::{AnswerPlan, SendPlan};
use super::{Answered, SentTrack, media, parse, transport, write};
use crate::ids::{Mid, Rid};
use crate::rtp::ext::ExtensionMap;
use crate::session::{
    CongestionFeedback, DtlsRole, MAX_MEDIA, MediaKind, NegotiatedSession, RemoteTransport, SendMedia,
};

/// What becomes of one offered section.
enum SectionPlan<'a> {
    Refused,
    Data(Mid),
    Media(Box<MediaPlan<'a>>),
}

struct MediaPlan<'a> {
    mid: Mid,
    kind: MediaKind,
    /// In the order of our policy.
    chosen: Vec<Chosen<'a>>,
    extensions: Vec<Extension>,
    /// What the remote sends, when it may.
    rids: Vec<Rid>,
    receives: bool,
    sends: Option<&'a SendPlan>,
}

/// Answers an offer.
///
/// # Errors
/// [`SdpError`], when the offer cannot be read, lacks what the transport needs, or has nothing we can use.
pub fn answer(offer: &str, plan: &AnswerPlan) -> Result<Answered, SdpError> {
    plan.check()?;
    let offer = parse::parse(offer)?;
    let mut extensions = ExtensionMap::default();
    let mut plans = plan_sections(&offer, plan, &mut extensions)?;
    let placed = place(&offer, plan, &mut plans);
    let remote = remote(&offer, plan, &plans)?;
    let feedback =
        plans.iter().fold(CongestionFeedback::None, |best, planned| media::better_feedback(best, planned.feedback()));
    let send = send_sections(&offer, plan, &plans)?;

    let setup = if remote.dtls_role == DtlsRole::Server { Setup::Passive } else { Setup::Active };
    let mut description = Description {
        origin: (u64::from(plan.local.ssrc_base), offer.origin.1),
        extmap_allow_mixed: offer.extmap_allow_mixed,
        trickle: true,
        ..Description::default()
    };
    for (offered, planned) in offer.media.iter().zip(&plans) {
        description.media.push(match planned {
            SectionPlan::Refused => transport::refused(offered),
            SectionPlan::Data(_) => data_section(offered, plan, setup),
            SectionPlan::Media(planned) => media_section(offered, planned, &send, feedback, plan, setup),
        });
    }
    transport::bundle(&mut description, &plan.local);
    let session = NegotiatedSession {
        remote,
        extensions,
        feedback,
        reduced_size: offer.media.iter().zip(&plans).any(|(offered, planned)| planned.is_media() && offered.rtcp_rsize),
        receive: receive_sections(&offer, &plans, feedback),
        send,
        data: offer.media.iter().zip(&plans).find_map(|(offered, planned)| match planned {
            SectionPlan::Data(mid) => Some(media::data_media(offered, *mid)),
            _ => None,
        }),
    };
    Ok(Answered { sdp: write::write(&description), session, placed, sent: sent_tracks(&offer, &plans) })
}

impl SectionPlan<'_> {
    const fn is_media(&self) -> bool {
        matches!(self, Self::Media(_))
    }

    fn feedback(&self) -> CongestionFeedback {
        match self {
            Self::Media(planned) => {
                codecs::congestion_feedback(&planned.chosen, media::has_transport_cc(&planned.extensions))
            }
            _ => CongestionFeedback::None,
        }
    }
}

fn plan_sections<'a>(
    offer: &'a Description,
    plan: &AnswerPlan,
    extensions: &mut ExtensionMap,
) -> Result<Vec<SectionPlan<'a>>, SdpError> {
    let usable = transport::usable_sections(offer)?;
    let mut has_data = false;
    let mut plans = Vec::with_capacity(usable.len());
    for (section, usable) in offer.media.iter().zip(usable) {
        let is_stopped = plan.policy.stop_inactive && section.direction == Direction::Inactive;
        let planned = match (section.kind, section.mid.filter(|_| usable)) {
            (SectionKind::Media(_), _) if is_stopped => SectionPlan::Refused,
            (SectionKind::Media(kind), Some(mid)) => {
                let chosen = codecs::choose(&section.payloads, kind, &plan.policy);
                if chosen.is_empty() {
                    SectionPlan::Refused
                } else {
                    let allow_mixed = offer.extmap_allow_mixed || section.extmap_allow_mixed;
                    let extensions = media::agree_on_extensions(section, extensions, allow_mixed);
                    let receives = section.direction.sends() && plan.policy.receive;
                    let simulcast = receives && kind == MediaKind::Video;
                    let rids = if simulcast { media::offered_rids(section, &chosen) } else { Vec::new() };
                    SectionPlan::Media(Box::new(MediaPlan {
                        mid,
                        kind,
                        chosen,
                        extensions,
                        rids,
                        receives,
                        sends: None,
                    }))
                }
            }
            (SectionKind::Data, Some(mid)) if plan.data && plan.policy.data && !has_data => {
                has_data = true;
                SectionPlan::Data(mid)
            }
            _ => SectionPlan::Refused,
        };
        plans.push(planned);
    }
    Ok(plans)
}

/// Gives the planned tracks their sections: those with a name first, then the others in order.
fn place<'a>(offer: &Description, plan: &'a AnswerPlan, plans: &mut [SectionPlan<'a>]) -> Vec<Option<Mid>> {
    let mut placed = vec![None; plan.send.len()];
    for named in [true, false] {
        for (index, send) in plan.send.iter().enumerate().filter(|(_, send)| send.mid.is_some() == named) {
            let seat = offer.media.iter().zip(plans.iter_mut()).find_map(|(offered, planned)| match planned {
                SectionPlan::Media(planned)
                    if offered.direction.receives()
                        && planned.kind == send.kind
                        && planned.sends.is_none()
                        && send.mid.is_none_or(|mid| mid == planned.mid) =>
                {
                    Some(planned)
                }
                _ => None,
            });
            if let Some(seat) = seat {
                seat.sends = Some(send);
                placed[index] = Some(seat.mid);
            }
        }
    }
    placed
}

fn remote(offer: &Description, plan: &AnswerPlan, plans: &[SectionPlan<'_>]) -> Result<RemoteTransport, SdpError> {
    let before = plan.previous.as_ref().map(|previous| &previous.remote);
    let used = |(_, planned): &(&Section, &SectionPlan<'_>)| !matches!(planned, SectionPlan::Refused);
    match offer.media.iter().zip(plans).find(used) {
        Some((section, _)) => {
            let role = transport::role_for_offer(offer, section, before)?;
            transport::remote_transport(offer, section, role)
        }
        // A later offer may stop everything: the transport stays.
        None => before.cloned().ok_or(SdpError::NothingUsable),
    }
}

/// What comes from the remote, under the names it has there.
fn sent_tracks(offer: &Description, plans: &[SectionPlan<'_>]) -> Vec<SentTrack> {
    let each = offer.media.iter().zip(plans);
    each.filter_map(|(offered, planned)| match planned {
        SectionPlan::Media(planned) if planned.receives => {
            let name = offered.msid.as_ref().and_then(|msid| msid.track.clone());
            let codec = planned.chosen.first().map(|first| first.codec);
            Some(SentTrack { mid: planned.mid, kind: planned.kind, name, codec })
        }
        _ => None,
    })
    .collect()
}

/// The sections in which we could send, old ones in their places.
fn send_sections(
    offer: &Description,
    plan: &AnswerPlan,
    plans: &[SectionPlan<'_>],
) -> Result<Vec<SendMedia>, SdpError> {
    let ssrc_base = plan.local.ssrc_base;
    let mut send = plan.previous.as_ref().map_or_else(Vec::new, |previous| previous.send.clone());
    for idle in &mut send {
        media::fill_send_media(idle, &[]);
    }
    for (offered, planned) in offer.media.iter().zip(plans) {
        let SectionPlan::Media(planned) = planned else { continue };
        let known = send.iter().position(|media| media.mid == planned.mid);
        if known.is_some_and(|index| send[index].kind != planned.kind) {
            return Err(SdpError::SectionChanged { line: offered.line });
        }
        if !offered.direction.receives() {
            continue;
        }
        let index = known.unwrap_or(send.len());
        if index == MAX_MEDIA {
            return Err(SdpError::TooManySendSections { line: offered.line });
        }
        if known.is_none() {
            send.push(media::idle_send_media(planned.mid, planned.kind, ssrc_base, index, 0));
        }
        media::fill_send_media(&mut send[index], &in_offered_order(offered, &planned.chosen));
    }
    Ok(send)
}

/// What the remote takes, most wanted by the remote first.
fn in_offered_order<'a>(offered: &Section, chosen: &[Chosen<'a>]) -> Vec<Chosen<'a>> {
    let mut sorted = chosen.to_vec();
    sorted.sort_by_key(|one| offered.payloads.iter().position(|payload| payload.number == one.payload.number));
    sorted
}

fn receive_sections(
    offer: &Description,
    plans: &[SectionPlan<'_>],
    feedback: CongestionFeedback,
) -> Vec<crate::session::ReceiveMedia> {
    let each = offer.media.iter().zip(plans);
    each.filter_map(|(offered, planned)| match planned {
        SectionPlan::Media(planned) if planned.receives => {
            let remb = codecs::keeps(Feedback::Remb, planned.kind, feedback, planned.sends.is_none());
            Some(media::receive_media(offered, planned.mid, planned.kind, &planned.chosen, &planned.rids, remb))
        }
        _ => None,
    })
    .collect()
}

fn data_section(offered: &Section, plan: &AnswerPlan, setup: Setup) -> Section {
    let local = transport::Local { transport: &plan.local, setup };
    Section {
        protocol: offered.protocol.clone(),
        formats: vec!["webrtc-datachannel".to_owned()],
        sctp_port: Some(media::SCTP_PORT),
        max_message_size: Some(media::MAX_MESSAGE_SIZE),
        ..transport::live_section(SectionKind::Data, offered.mid, local)
    }
}

fn media_section(
    offered: &Section,
    planned: &MediaPlan<'_>,
    send: &[SendMedia],
    feedback: CongestionFeedback,
    plan: &AnswerPlan,
    setup: Setup,
) -> Section {
    let local = transport::Local { transport: &plan.local, setup };
    let payloads = codecs::answered(
        &planned.chosen,
        planned.kind,
        feedback,
        planned.receives && planned.sends.is_none(),
        &plan.policy,
    );
    let mut section = Section {
        protocol: offered.protocol.clone(),
        formats: payloads.iter().map(|payload| payload.number.to_string()).collect(),
        direction: Direction::new(planned.sends.is_some(), planned.receives),
        rtcp_mux: true,
        rtcp_rsize: offered.rtcp_rsize,
        extmap_allow_mixed: offered.extmap_allow_mixed,
        extensions: planned.extensions.clone(),
        payloads,
        rids: planned.rids.iter().map(|&rid| RidLine { rid, sends: false, payload_types: Vec::new() }).collect(),
        simulcast: Simulcast {
            send: Vec::new(),
            recv: planned.rids.iter().map(|&rid| SimulcastName { rid, paused: false }).collect(),
        },
        ..transport::live_section(SectionKind::Media(planned.kind), offered.mid, local)
    };
    if let (Some(plan), Some(media)) = (planned.sends, send.iter().find(|media| media.mid == planned.mid)) {
        announce(&mut section, plan, media);
    }
    section
}

/// Names the track and our SSRCs. Chromium refuses sound with two SSRCs, so retransmissions are for pictures only.
pub(super) fn announce(section: &mut Section, plan: &SendPlan, media: &SendMedia) {
    let msid = Msid { stream: plan.stream.clone(), track: Some(plan.track.clone()) };
    let rtx = media.rtx_ssrc.filter(|_| media.kind == MediaKind::Video);
    section.repairs.extend(rtx.map(|rtx| (media.ssrc.0, rtx.0)));
    section.ssrcs = std::iter::once(media.ssrc)
        .chain(rtx)
        .map(|ssrc| SourceLine {
            ssrc: ssrc.0,
            cname: Some(plan.publisher.cname().to_string()),
            msid: Some(msid.clone()),
        })
        .collect();
    section.msid = Some(msid);
}
