//! Real offers, answered; the grammar, by properties. The offers are in `tests/sdp`, with addresses and names replaced.

mod grammar;
mod negotiation;
mod offers;

use super::*;
use crate::session::Codec;

pub(super) fn local() -> LocalTransport {
    LocalTransport {
        ufrag: "localufrag".to_owned(),
        pwd: "local-password-of-24-chr".to_owned(),
        fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: (0..32).collect() },
        candidates: vec![
            "192.0.2.1:7882".parse().expect("an address"),
            "[2001:db8::1]:7882".parse().expect("an address"),
        ],
        ssrc_base: 1_000,
    }
}

pub(super) fn track(kind: MediaKind, track: &str) -> SendPlan {
    SendPlan { kind, publisher: ParticipantId(0x2a), stream: "PA_1".to_owned(), track: track.to_owned(), mid: None }
}

pub(super) fn plan() -> AnswerPlan {
    AnswerPlan {
        local: local(),
        policy: MediaPolicy::default(),
        send: vec![track(MediaKind::Audio, "TR_a"), track(MediaKind::Video, "TR_v")],
        data: true,
        previous: None,
    }
}

pub(super) fn answered(offer: &str) -> Answered {
    answer(offer, &plan()).unwrap_or_else(|fault| panic!("{fault}"))
}

pub(super) fn codecs_of(payload_types: &[crate::session::PayloadType]) -> Vec<Codec> {
    let mut codecs: Vec<Codec> = payload_types.iter().map(|payload_type| payload_type.codec).collect();
    codecs.dedup();
    codecs
}

/// Every captured offer.
pub(super) const OFFERS: [(&str, &str); 18] = [
    ("aiortc_play", include_str!("../../tests/sdp/aiortc_play.sdp")),
    ("aiortc_publish", include_str!("../../tests/sdp/aiortc_publish.sdp")),
    ("chromium_balanced_publish", include_str!("../../tests/sdp/chromium_balanced_publish.sdp")),
    ("chromium_data", include_str!("../../tests/sdp/chromium_data.sdp")),
    ("chromium_data_only", include_str!("../../tests/sdp/chromium_data_only.sdp")),
    ("chromium_play", include_str!("../../tests/sdp/chromium_play.sdp")),
    ("chromium_publish", include_str!("../../tests/sdp/chromium_publish.sdp")),
    ("chromium_sendrecv", include_str!("../../tests/sdp/chromium_sendrecv.sdp")),
    ("chromium_simulcast", include_str!("../../tests/sdp/chromium_simulcast.sdp")),
    ("firefox_balanced_publish", include_str!("../../tests/sdp/firefox_balanced_publish.sdp")),
    ("firefox_data", include_str!("../../tests/sdp/firefox_data.sdp")),
    ("firefox_data_only", include_str!("../../tests/sdp/firefox_data_only.sdp")),
    ("firefox_play", include_str!("../../tests/sdp/firefox_play.sdp")),
    ("firefox_publish", include_str!("../../tests/sdp/firefox_publish.sdp")),
    ("firefox_sendrecv", include_str!("../../tests/sdp/firefox_sendrecv.sdp")),
    ("firefox_simulcast", include_str!("../../tests/sdp/firefox_simulcast.sdp")),
    ("pion_play", include_str!("../../tests/sdp/pion_play.sdp")),
    ("pion_publish", include_str!("../../tests/sdp/pion_publish.sdp")),
];

pub(super) fn captured(name: &str) -> &'static str {
    OFFERS.iter().find(|(known, _)| *known == name).expect("a captured offer").1
}
