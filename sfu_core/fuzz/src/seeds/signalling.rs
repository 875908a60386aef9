//! What comes from signalling: descriptions as browsers wrote them, and commands.

use std::net::SocketAddr;

use sfu_core::engine::command::{Command, LayerLimit, Request, TrackSource};
use sfu_core::ids::{Mid, ParticipantId, PeerId, RoomId, Ssrc, TrackId};
use sfu_core::rtp::ext::{ExtensionKind, ExtensionMap};
use sfu_core::sdp::{AnswerPlan, MediaPolicy, OfferPlan, OfferSection, SendPlan, answer, offer};
use sfu_core::session::{
    Codec, CongestionFeedback, DataMedia, DtlsRole, Fingerprint, LocalTransport, MediaKind, NegotiatedSession,
    PayloadType, ReceiveMedia, RemoteEncoding, RemoteTransport, SendMedia,
};

use super::{Seed, owned, seeds};
use crate::bytes::chunk;
use crate::command::encode;

macro_rules! captured {
    ($($name:literal = $file:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../tests/sdp/", $file)) as &[u8])),*]
    };
}

/// Offers as browsers and others wrote them.
const OFFERS: &[(&str, &[u8])] = captured![
    "aiortc_play" = "aiortc_play.sdp",
    "aiortc_publish" = "aiortc_publish.sdp",
    "chromium_data_only" = "chromium_data_only.sdp",
    "chromium_play" = "chromium_play.sdp",
    "chromium_sendrecv" = "chromium_sendrecv.sdp",
    "chromium_simulcast" = "chromium_simulcast.sdp",
    "firefox_data" = "firefox_data.sdp",
    "firefox_data_only" = "firefox_data_only.sdp",
    "firefox_publish" = "firefox_publish.sdp",
    "firefox_simulcast" = "firefox_simulcast.sdp",
    "pion_publish" = "pion_publish.sdp",
];
const ANSWERS: &[(&str, &[u8])] = captured![
    "chromium_simulcast_answer" = "chromium_simulcast.answer",
    "firefox_play_answer" = "firefox_play.answer",
    "an_offer_instead" = "firefox_sendrecv.sdp",
];
/// What is wrong with offers: nothing in them, cut short, and twice the same section.
const BAD_OFFERS: &[(&str, &[u8])] = &[
    ("bad_empty", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"),
    ("bad_section", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF\r\n"),
    (
        "bad_twice",
        b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
          a=mid:0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n",
    ),
];

pub(super) fn all() -> Vec<Seed> {
    [
        seeds("sdp_answer", OFFERS),
        seeds("sdp_answer", BAD_OFFERS),
        seeds("sdp_accept", ANSWERS),
        our_answers(),
        offers_to_the_living(),
        commands(),
    ]
    .concat()
}

fn local() -> LocalTransport {
    LocalTransport {
        ufrag: "ufrag".to_owned(),
        pwd: "a-password-of-22-chars".to_owned(),
        fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![9; 32] },
        candidates: vec![SocketAddr::from(([192, 0, 2, 2], 7_882))],
        ssrc_base: 2_000,
    }
}

/// What we ourselves would answer to the offer the target makes.
fn our_answers() -> Vec<Seed> {
    let send =
        |kind| SendPlan { kind, publisher: ParticipantId(1), stream: "s".to_owned(), track: "t".to_owned(), mid: None };
    let section = |kind| OfferSection::Media { kind, send: Some(send(kind)), receive: true, generation: 0 };
    let sections = vec![section(MediaKind::Audio), section(MediaKind::Video), OfferSection::Data];
    let plan = OfferPlan { local: local(), policy: MediaPolicy::default(), sections, version: 1 };
    let offered = offer(&plan).expect("a plan that can be offered").sdp;
    let answered = |send: Vec<SendPlan>, policy: MediaPolicy| {
        let data = policy.data;
        let plan = AnswerPlan { local: local(), policy, send, data, previous: None };
        answer(&offered, &plan).expect("we can answer what we offer").sdp
    };
    let full = answered(vec![send(MediaKind::Audio), send(MediaKind::Video)], MediaPolicy::default());
    let sound_alone = MediaPolicy { video: Vec::new(), data: false, ..MediaPolicy::default() };
    let cut = full.split_at(full.len() / 2).0.to_owned();
    owned(
        "sdp_accept",
        [
            ("ours", full.into_bytes()),
            ("ours_receiving", answered(Vec::new(), MediaPolicy::default()).into_bytes()),
            ("ours_with_sound_alone", answered(Vec::new(), sound_alone).into_bytes()),
            ("ours_cut_short", cut.into_bytes()),
        ],
    )
}

/// The same offers, and then pictures of the publisher, one of them asked for again, silence, another negotiation and pictures.
fn offers_to_the_living() -> Vec<Seed> {
    let steps = [5, 5, 6, 10, 1, 0, 6, 20, 7 | 6 << 3, 0x81, 5, 5, 6, 60];
    let offers = OFFERS.iter().chain(BAD_OFFERS);
    owned("sdp_session", offers.map(|(name, offer)| (*name, [&chunk(offer)[..], &steps].concat())))
}

fn commands() -> Vec<Seed> {
    let (room, peer, track) = (RoomId::new(1, 2), PeerId::new(3, 4), TrackId::new(5, 6));
    let subscriber = PeerId::new(7, 0);
    let mid = Mid::new("0").expect("a name");
    let participant = ParticipantId(9);
    let payload = b"hello".to_vec();
    let limit = LayerLimit { encoding: 1, temporal: 2 };
    let named = [
        ("create_room", Command::CreateRoom),
        ("remove_room", Command::RemoveRoom { room }),
        ("create_peer", Command::CreatePeer { room, participant }),
        ("create_bot", Command::CreateBot { room, participant, session: Box::new(session()) }),
        ("connect", Command::Connect { peer, session: Box::new(session()) }),
        ("publish", Command::Publish { peer, mid, source: TrackSource::Camera, encrypted: true }),
        ("subscribe", Command::Subscribe { peer, mid, track }),
        ("allow", Command::Allow { track, subscriber, echo: false }),
        ("revoke", Command::Revoke { track, subscriber }),
        ("send_data", Command::SendData { peer, publisher: None, label: "chat".to_owned(), payload, binary: true }),
        ("mute", Command::Mute { track, muted: true }),
        ("limit_layer", Command::LimitLayer { track, subscriber, limit }),
        ("peer_stats", Command::PeerStats { peer }),
        ("snapshot", Command::Snapshot),
    ];
    let requests = named.into_iter().map(|(name, command)| (name, encode(&Request { id: 300, command })));
    owned("command", requests)
}

fn session() -> NegotiatedSession {
    let mut extensions = ExtensionMap::default();
    extensions.set(ExtensionKind::Mid, 4);
    extensions.set(ExtensionKind::TransportCc, 3);
    let mid = Mid::new("0").expect("a name");
    let vp8 =
        PayloadType { number: 96, codec: Codec::Vp8, clock_rate_hz: 90_000, rtx: Some(97), format: String::new() };
    let (kind, payload_types) = (MediaKind::Video, vec![vp8]);
    NegotiatedSession {
        remote: RemoteTransport {
            ufrag: "EsAw".to_owned(),
            pwd: "P2uYro0UCOQ4zxjKXaWCBui1".to_owned(),
            fingerprints: vec![Fingerprint { algorithm: "sha-256".to_owned(), value: vec![1; 32] }],
            dtls_role: DtlsRole::Server,
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 61_764)), "[2001:db8::1]:5".parse().expect("one")],
        },
        extensions,
        feedback: CongestionFeedback::TransportCc,
        reduced_size: true,
        receive: vec![ReceiveMedia {
            mid,
            kind,
            payload_types: payload_types.clone(),
            encodings: vec![RemoteEncoding { rid: None, ssrc: Some(Ssrc(1)), rtx_ssrc: Some(Ssrc(2)) }],
            nack: true,
            pli: true,
            fir: false,
            remb: true,
        }],
        send: vec![SendMedia { mid, kind, payload_types, ssrc: Ssrc(256), rtx_ssrc: Some(Ssrc(257)), nack: true }],
        data: Some(DataMedia { mid: Mid::new("1").expect("a name"), sctp_port: 5_000, max_message_size: 262_144 }),
    }
}
