//! What is written is read again as the same.

use super::*;
use crate::engine::command::{Cap, Command, Request, TrackSource};
use crate::ids::{Mid, ParticipantId, PeerId, RelayId, Rid, RoomId, Ssrc, TrackId};
use crate::peer::sctp::Reliability;
use crate::session::{
    CongestionFeedback, DtlsRole, Fingerprint, LocalTransport, MediaKind, NegotiatedSession, ReceiveMedia,
    RelayDescription, RemoteEncoding, RemoteTransport,
};

pub(in crate::driver) fn session() -> NegotiatedSession {
    NegotiatedSession {
        remote: RemoteTransport {
            ufrag: "ufrag".to_owned(),
            pwd: "a-password-of-22-chars".to_owned(),
            fingerprints: vec![Fingerprint { algorithm: "sha-256".to_owned(), value: vec![0xff; 32] }],
            dtls_role: DtlsRole::Client,
            candidates: vec!["192.0.2.1:7882".parse().expect("v4"), "[2001:db8::1]:7882".parse().expect("v6")],
        },
        extensions: crate::rtp::ext::ExtensionMap::default(),
        feedback: CongestionFeedback::TransportCc,
        reduced_size: true,
        receive: Vec::new(),
        send: Vec::new(),
        data: None,
    }
}

fn description() -> RelayDescription {
    let media = ReceiveMedia {
        mid: Mid::new("0").expect("a label"),
        kind: MediaKind::Video,
        payload_types: Vec::new(),
        encodings: vec![RemoteEncoding { rid: Rid::new("h"), ssrc: Some(Ssrc(5)), rtx_ssrc: None }],
        nack: true,
        pli: true,
        fir: false,
        remb: true,
    };
    let extensions = crate::rtp::ext::ExtensionMap::default();
    RelayDescription { source: TrackSource::Screen, encrypted: true, extensions, media }
}

#[test]
fn commands_are_read_as_they_were_written() {
    let (peer, track) = (PeerId::new(3, 1), TrackId::new(2, 9));
    let mid = Mid::new("0").expect("a label");
    for command in [
        Command::CreateRoom,
        Command::CreatePeer { room: RoomId::new(1, 2), participant: ParticipantId(u64::MAX) },
        Command::Connect { peer, session: Box::new(session()) },
        Command::Publish { peer, mid, source: TrackSource::ScreenAudio, encrypted: true },
        Command::Allow { track, subscriber: peer, echo: true },
        Command::RelayOut { track, relay: RelayId(u64::MAX) },
        Command::RelayIn {
            room: RoomId::new(1, 2),
            participant: ParticipantId(3),
            relay: RelayId(4),
            description: Box::new(description()),
        },
        Command::HoldData { peer },
        Command::OpenData {
            peer,
            label: "chat".to_owned(),
            ordered: false,
            reliability: Reliability::MaxRetransmits(0),
        },
        Command::SendData {
            peer,
            publisher: Some(PeerId::new(4, 2)),
            label: "chat".to_owned(),
            payload: vec![0, 0xff, 7],
            binary: true,
        },
    ] {
        let request = Request { id: 7, command };
        assert_eq!(decode::<Request>(&encode(&request)).expect("readable"), request);
    }
}

#[test]
fn answers_are_read_as_they_were_written() {
    let local = LocalTransport {
        ufrag: "ufrag".to_owned(),
        pwd: "pwd".to_owned(),
        fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![1; 32] },
        candidates: vec!["[2001:db8::1]:7882".parse().expect("v6")],
        ssrc_base: 7,
    };
    let event = Event::DataReceived { peer: PeerId::new(1, 1), label: "l".to_owned(), payload: vec![9], binary: false };
    for outgoing in [
        Outgoing::Reply { id: 1, reply: Reply::Done },
        Outgoing::Reply { id: 2, reply: Reply::Peer { peer: PeerId::new(1, 1), local } },
        Outgoing::Reply { id: 3, reply: Reply::Stats { stats: Box::default() } },
        Outgoing::Reply {
            id: 3,
            reply: Reply::Relay { peer: PeerId::new(1, 1), description: Box::new(description()) },
        },
        Outgoing::Reply { id: 3, reply: Reply::Relayed { peer: PeerId::new(1, 1), track: TrackId::new(2, 2) } },
        Outgoing::Refused { id: 4, refusal: Refusal::Full(Cap::PeersPerRoom) },
        Outgoing::Refused { id: 5, refusal: Refusal::UnknownRoom },
        Outgoing::Event { version: 6, event },
        Outgoing::WorkerFailed { reason: "a bug".to_owned() },
    ] {
        assert_eq!(decode::<Outgoing>(&encode(&outgoing)).expect("readable"), outgoing);
    }
}

#[test]
fn other_bytes_are_refused() {
    for bytes in [&b""[..], b"\x80", b"\xff\xff", b"{\"id\":1}"] {
        assert!(decode::<Request>(bytes).is_err());
    }
}

#[test]
fn what_is_deeper_than_any_message_is_refused_before_it_costs_memory() {
    // Lists of which each says that it is as long as a list can be, in a field that nobody knows.
    let mut bytes = b"\x82\xa2id\x01\xa7command\x82\xa4type\xa5stats\xa1x".to_vec();
    assert!(decode::<Request>(&[&bytes[..], &[0x91, 0xc0]].concat()).is_ok(), "a field more is none too many");
    bytes.extend([0xdd, 0xff, 0xff, 0xff, 0xff].repeat(500));
    let error = decode::<Request>(&bytes).expect_err("far too deep").to_string();
    assert!(error.contains("depth"), "{error}");
}
