//! What one described section of sound or pictures means for the engine: codecs, header extensions (RFC 8285), encodings
//! (RFC 8853, RFC 5576).

use super::codecs::Chosen;
use super::description::{Direction, Extension, Feedback, Section};
use crate::ids::{Mid, Rid};
use crate::rtp::ext::{ExtensionKind, ExtensionMap};
use crate::session::{
    CongestionFeedback, DataMedia, MAX_ENCODINGS, MediaKind, PayloadType, ReceiveMedia, RemoteEncoding,
    SSRC_GENERATION, SendMedia,
};

/// RFC 8841 §5.1: the port nearly everyone uses.
pub(super) const SCTP_PORT: u16 = 5_000;
/// The largest message we take: what browsers offer each other.
pub(super) const MAX_MESSAGE_SIZE: u32 = 65_536;
/// RFC 8841 §6.1: the size of an end that names none.
const DEFAULT_MESSAGE_SIZE: u32 = 65_536;

/// Names that tell quality, lowest first. Other names count in the order of `a=simulcast`, lowest first.
const KNOWN_RIDS: [&[&str]; 4] =
    [&["q", "h", "f"], &["l", "m", "h"], &["low", "mid", "high"], &["low", "medium", "high"]];

/// Adds the extensions of a section to the numbering of the bundle, and returns those that have their number there. Two
/// sections that use one number for two things cannot both have their way: the first wins.
pub(super) fn agree_on_extensions(section: &Section, map: &mut ExtensionMap, allow_mixed: bool) -> Vec<Extension> {
    let mut agreed: Vec<Extension> = Vec::new();
    for extension in &section.extensions {
        let fits = extension.id <= 14 || allow_mixed;
        let is_new = agreed.iter().all(|other| other.kind != extension.kind);
        let number = map.id(extension.kind).unwrap_or(extension.id);
        if fits && is_new && number == extension.id && map.set(extension.kind, extension.id) {
            agreed.push(Extension { direction: extension.direction.map(Direction::inverse), ..*extension });
        }
    }
    agreed
}

/// Whether a section numbers its packets over the whole transport.
pub(super) fn has_transport_cc(extensions: &[Extension]) -> bool {
    extensions.iter().any(|extension| extension.kind == ExtensionKind::TransportCc)
}

/// The better of two sections' congestion feedback: there is one estimator per transport.
pub(super) fn better_feedback(one: CongestionFeedback, other: CongestionFeedback) -> CongestionFeedback {
    use CongestionFeedback::{None, Remb, TransportCc};
    match (one, other) {
        (TransportCc, _) | (_, TransportCc) => TransportCc,
        (Remb, _) | (_, Remb) => Remb,
        (None, None) => None,
    }
}

/// The names of the encodings that the remote offers and we take, in the order of `a=simulcast`.
pub(super) fn offered_rids(section: &Section, chosen: &[Chosen<'_>]) -> Vec<Rid> {
    let is_described = |rid: Rid| {
        let line = section.rids.iter().find(|line| line.rid == rid && line.sends);
        line.is_some_and(|line| {
            let numbers = &line.payload_types;
            numbers.is_empty() || chosen.iter().any(|one| numbers.contains(&one.payload.number))
        })
    };
    let mut rids: Vec<Rid> = Vec::new();
    for name in &section.simulcast.send {
        if rids.len() < MAX_ENCODINGS && !rids.contains(&name.rid) && is_described(name.rid) {
            rids.push(name.rid);
        }
    }
    rids
}

/// `rids` lowest quality first.
pub(super) fn lowest_first(rids: &[Rid]) -> Vec<Rid> {
    let mut sorted = rids.to_vec();
    let rank = |names: &[&str], rid: &Rid| names.iter().position(|name| *name == rid.as_str());
    if let Some(names) = KNOWN_RIDS.iter().find(|names| rids.iter().all(|rid| rank(names, rid).is_some())) {
        sorted.sort_by_key(|rid| rank(names, rid));
    }
    sorted
}

/// Everything the engine needs of a section in which the remote sends. `remb`: whether the answer leaves that, where it was offered.
pub(super) fn receive_media(
    section: &Section,
    mid: Mid,
    kind: MediaKind,
    chosen: &[Chosen<'_>],
    rids: &[Rid],
    remb: bool,
) -> ReceiveMedia {
    let offers = |feedback| chosen.iter().any(|one| one.payload.feedback.contains(&feedback));
    let payload_types: Vec<PayloadType> = chosen.iter().map(Chosen::to_payload_type).collect();
    let has_rtx = payload_types.iter().any(|payload_type| payload_type.rtx.is_some());
    let encodings = if rids.is_empty() {
        vec![single_encoding(section, has_rtx)]
    } else {
        // SSRCs beside names are not tied to them by any rule: packets carry the names.
        lowest_first(rids)
            .into_iter()
            .map(|rid| RemoteEncoding { rid: Some(rid), ..RemoteEncoding::default() })
            .collect()
    };
    ReceiveMedia {
        mid,
        kind,
        payload_types,
        encodings,
        nack: offers(Feedback::Nack),
        pli: kind == MediaKind::Video && offers(Feedback::Pli),
        fir: kind == MediaKind::Video && offers(Feedback::Fir),
        remb: remb && kind == MediaKind::Video && offers(Feedback::Remb),
    }
}

fn single_encoding(section: &Section, has_rtx: bool) -> RemoteEncoding {
    use crate::ids::Ssrc;
    let is_repair = |ssrc: u32| section.repairs.iter().any(|(_, repair)| *repair == ssrc);
    let first = section.ssrcs.iter().map(|line| line.ssrc).find(|ssrc| !is_repair(*ssrc));
    let repair = section.repairs.iter().find(|(media, _)| Some(*media) == first).map(|(_, repair)| *repair);
    RemoteEncoding { rid: None, ssrc: first.map(Ssrc), rtx_ssrc: repair.filter(|_| has_rtx).map(Ssrc) }
}

/// Sets what the remote takes in a section of ours; `chosen` empty leaves the section idle.
pub(super) fn fill_send_media(media: &mut SendMedia, chosen: &[Chosen<'_>]) {
    use crate::ids::Ssrc;
    media.payload_types = chosen.iter().map(Chosen::to_payload_type).collect();
    media.nack = chosen.iter().any(|one| one.payload.feedback.contains(&Feedback::Nack));
    let has_rtx = media.payload_types.iter().any(|payload_type| payload_type.rtx.is_some());
    media.rtx_ssrc = has_rtx.then(|| Ssrc(media.ssrc.0.wrapping_add(1)));
}

/// A section in which nothing flows yet; `generation` counts the tracks before the one that it carries or carried last.
pub(super) fn idle_send_media(mid: Mid, kind: MediaKind, ssrc_base: u32, index: usize, generation: u32) -> SendMedia {
    let ssrc = ssrc_base.wrapping_add(2 * index as u32).wrapping_add(generation.wrapping_mul(SSRC_GENERATION));
    SendMedia { mid, kind, payload_types: Vec::new(), ssrc: crate::ids::Ssrc(ssrc), rtx_ssrc: None, nack: false }
}

/// The remote's data section.
pub(super) fn data_media(section: &Section, mid: Mid) -> DataMedia {
    let max_message_size = match section.max_message_size {
        None => DEFAULT_MESSAGE_SIZE,
        Some(0) => u32::MAX,
        Some(size) => size,
    };
    DataMedia { mid, sctp_port: section.sctp_port.unwrap_or(SCTP_PORT), max_message_size }
}
