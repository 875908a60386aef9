//! Commands by choices, about what there is and what there may be: ids are slots and generations, of which few are in use.

use sfu_core::engine::command::{Command, LayerLimit, TrackSource};
use sfu_core::ids::{Mid, ParticipantId, PeerId, RelayId, RoomId, TrackId};
use sfu_core::peer::sctp::Reliability;
use sfu_core::rtp::ext::ExtensionKind;
use sfu_core::session::{
    CongestionFeedback, DataMedia, DtlsRole, Fingerprint, MediaKind, NegotiatedSession, ReceiveMedia, RelayDescription,
    RemoteEncoding,
};

use super::desk::{SSRCS, session};
use crate::bytes::Choices;
use crate::connected::room::SECTIONS;
use crate::engine::setup::{MIDS, address, mid};

/// Most changes to what was negotiated.
const MAX_CHANGES: u8 = 6;

/// One command.
pub(super) fn command(choices: &mut Choices<'_>) -> Command {
    let (kind, choice) = (choices.byte(), choices.byte());
    let participant = ParticipantId(u64::from(choice));
    match kind & 31 {
        0 => Command::CreateRoom,
        1 => Command::RemoveRoom { room: room(choice) },
        2 => Command::CreatePeer { room: room(choice), participant },
        3 => {
            let session = Box::new(negotiated(choice, choices));
            Command::CreateBot { room: room(choice), participant, session }
        }
        4 | 24..=27 => {
            let session = Box::new(negotiated(choice, choices));
            Command::Connect { peer: peer(choice), session }
        }
        5 => Command::RestartIce { peer: peer(choice) },
        6 => Command::RemovePeer { peer: peer(choice) },
        7 => {
            let source = if choice & 0x10 == 0 { TrackSource::Camera } else { TrackSource::Microphone };
            Command::Publish { peer: peer(choice), mid: section(choices), source, encrypted: choice & 0x20 != 0 }
        }
        8 => Command::Unpublish { track: track(choice) },
        9 => Command::Subscribe { peer: peer(choice), mid: section(choices), track: track(choices.byte()) },
        10 => Command::Unsubscribe { peer: peer(choice), mid: section(choices) },
        11 => Command::Allow { track: track(choice), subscriber: peer(choices.byte()), echo: choice & 0x80 != 0 },
        12 => Command::Revoke { track: track(choice), subscriber: peer(choices.byte()) },
        13 => Command::AllowData { publisher: peer(choice), subscriber: peer(choices.byte()) },
        14 => Command::RevokeData { publisher: peer(choice), subscriber: peer(choices.byte()) },
        15 => {
            let label = String::from_utf8_lossy(choices.chunk(64)).into_owned();
            let payload = vec![choice; usize::from(choices.word())];
            let publisher = (choice & 0x20 != 0).then(|| peer(choices.byte()));
            match choice >> 6 {
                0 => Command::HoldData { peer: peer(choice) },
                1 => {
                    let (ordered, reliability) = (choice & 1 == 0, Reliability::MaxRetransmits(choice.into()));
                    Command::OpenData { peer: peer(choice), label, ordered, reliability }
                }
                _ => Command::SendData { peer: peer(choice), publisher, label, payload, binary: choice & 0x10 != 0 },
            }
        }
        16 => Command::RelayOut { track: track(choice), relay: relay(choices.byte()) },
        17 | 28..=31 => {
            let description = Box::new(described(choice, choices));
            Command::RelayIn { room: room(choice), participant, relay: relay(choices.byte()), description }
        }
        18 => Command::Mute { track: track(choice), muted: choice & 0x10 == 0 },
        19 => {
            let limit = LayerLimit { encoding: choices.byte(), temporal: choices.byte() };
            Command::LimitLayer { track: track(choice), subscriber: peer(choices.byte()), limit }
        }
        20 => Command::RequestKeyframe { track: track(choice) },
        21 => Command::PeerStats { peer: peer(choice) },
        22 => Command::Stats,
        _ => Command::Snapshot,
    }
}

/// Slots and generations: who there was, who there is, and who there is not.
const fn place(choice: u8) -> (u32, u32) {
    ((choice & 7) as u32, (choice >> 3 & 1) as u32)
}

const fn room(choice: u8) -> RoomId {
    // Most of it happens where somebody is.
    let (slot, generation) = place(choice);
    RoomId::new(slot.saturating_sub(4), generation)
}

const fn peer(choice: u8) -> PeerId {
    let (slot, generation) = place(choice);
    PeerId::new(slot, generation)
}

const fn track(choice: u8) -> TrackId {
    let (slot, generation) = place(choice);
    TrackId::new(slot, generation)
}

const fn relay(choice: u8) -> RelayId {
    RelayId((choice & 3) as u64)
}

fn section(choices: &mut Choices<'_>) -> Mid {
    let choice = choices.byte();
    let named = MIDS.into_iter().chain(SECTIONS).nth(usize::from(choice & 7));
    named.map_or_else(|| mid("x"), mid)
}

/// What was agreed on, or what nobody would agree on.
fn negotiated(choice: u8, choices: &mut Choices<'_>) -> NegotiatedSession {
    let mut session = session(SSRCS[usize::from(choice & 1)]);
    let remote = &mut session.remote;
    (remote.ufrag, remote.pwd) = ("ufrg".to_owned(), "a-password-of-22-chars".to_owned());
    remote.fingerprints = vec![Fingerprint { algorithm: "sha-256".to_owned(), value: vec![choice; 32] }];
    for _ in 0..choices.byte() % (MAX_CHANGES + 1) {
        change(&mut session, choices);
    }
    session
}

fn change(session: &mut NegotiatedSession, choices: &mut Choices<'_>) {
    let (kind, value, which) = (choices.byte(), choices.byte(), usize::from(choices.byte()));
    let count = session.receive.len().max(1);
    match kind & 15 {
        0 => session.receive.truncate(usize::from(value & 3)),
        1 => session.send.truncate(usize::from(value & 7)),
        2 => {
            // Refused where there can be no such number.
            session.extensions.set(ExtensionKind::ALL[which % ExtensionKind::ALL.len()], value);
        }
        3 => {
            session.feedback =
                [CongestionFeedback::TransportCc, CongestionFeedback::Remb, CongestionFeedback::None][which % 3];
        }
        4 => session.remote.candidates = vec![address(value); which],
        5 => session.remote.dtls_role = if value & 1 == 0 { DtlsRole::Client } else { DtlsRole::Server },
        6 => session.remote.ufrag = "u".repeat(which << (value & 7)),
        7 => session.remote.pwd = "p".repeat(which << (value & 7)),
        8 => session.remote.fingerprints.iter_mut().for_each(|it| it.value.truncate(which)),
        9 => {
            let data = DataMedia { mid: mid("d"), sctp_port: u16::from(value) << 8, max_message_size: which as u32 };
            session.data = (value != 0).then_some(data);
        }
        10 if !session.send.is_empty() => {
            let count = session.send.len();
            let media = &mut session.send[which % count];
            match value & 7 {
                0 => media.mid = mid("pa"),
                1 => media.kind = MediaKind::Audio,
                2 => media.rtx_ssrc = None,
                3 => media.payload_types.truncate(usize::from(value >> 3)),
                4 => media.ssrc.0 = media.ssrc.0.wrapping_add(1),
                5 => media.payload_types.reverse(),
                _ => media.payload_types.iter_mut().for_each(|payload| payload.clock_rate_hz = u32::from(value >> 3)),
            }
        }
        11 => {
            let section = session.receive.first().cloned();
            session.receive.extend(section.into_iter().cycle().take(usize::from(value)));
        }
        _ if !session.receive.is_empty() => change_section(&mut session.receive[which % count], kind >> 4, value),
        _ => {}
    }
}

/// A section in which somebody sends becomes another.
fn change_section(media: &mut ReceiveMedia, kind: u8, value: u8) {
    match kind & 15 {
        0 => media.payload_types.truncate(usize::from(value)),
        1 => media.payload_types.iter_mut().for_each(|payload| payload.number ^= value),
        2 => media.payload_types.iter_mut().for_each(|payload| payload.clock_rate_hz = u32::from(value)),
        3 => media.payload_types.iter_mut().for_each(|payload| payload.clock_rate_hz <<= value & 31),
        4 => media.payload_types.iter_mut().for_each(|payload| payload.rtx = Some(value)),
        5 => media.payload_types.reverse(),
        6 => media.encodings = vec![RemoteEncoding::default(); usize::from(value & 7)],
        7 => media.encodings.iter_mut().for_each(|encoding| encoding.rtx_ssrc = encoding.ssrc),
        8 => media.encodings.reverse(),
        9 => media.kind = if value & 1 == 0 { MediaKind::Audio } else { MediaKind::Video },
        10 => media.mid = mid(MIDS[usize::from(value & 1)]),
        11 => media.payload_types.iter_mut().for_each(|payload| payload.format = "f".repeat(usize::from(value))),
        12 => {
            let payload = media.payload_types.first().cloned();
            media.payload_types.extend(payload.into_iter().cycle().take(usize::from(value)));
        }
        _ => {
            (media.nack, media.pli, media.fir, media.remb) =
                (value & 1 == 0, value & 2 == 0, value & 4 == 0, value & 8 == 0);
        }
    }
}

/// What the far end of a relay is told that it is to publish.
fn described(choice: u8, choices: &mut Choices<'_>) -> RelayDescription {
    let session = negotiated(choice, choices);
    let media = session.receive.into_iter().nth(usize::from(choice >> 1 & 1));
    let media = media.unwrap_or_else(|| ReceiveMedia {
        mid: mid("a"),
        kind: MediaKind::Audio,
        payload_types: Vec::new(),
        encodings: Vec::new(),
        nack: false,
        pli: false,
        fir: false,
        remb: false,
    });
    let source = if choice & 0x10 == 0 { TrackSource::Camera } else { TrackSource::Screen };
    RelayDescription { source, encrypted: choice & 0x20 != 0, extensions: session.extensions, media }
}
