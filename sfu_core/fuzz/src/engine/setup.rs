//! The room, its participants and what they negotiated.

use std::net::SocketAddr;
use std::sync::LazyLock;

use sfu_core::engine::command::{Command, Reply, TrackSource};
use sfu_core::engine::{Engine, EngineConfig};
use sfu_core::ids::{Mid, ParticipantId, Rid, RoomId, Ssrc, TrackId};
use sfu_core::peer::TransportConfig;
use sfu_core::peer::dtls::{DtlsVersions, Identity};
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::rtp::ext::{ExtensionKind, ExtensionMap};
use sfu_core::session::{
    Codec, CongestionFeedback, DtlsRole, MediaKind, NegotiatedSession, PayloadType, ReceiveMedia, RemoteEncoding,
    RemoteTransport, SendMedia,
};
use sfu_core::units::{Bitrate, Epoch, NtpTime};

use super::bounds::LIMITS;
use super::remote::{Remote, Wire};
use super::{Hostile, World};
use crate::bounds::Bounds;
use crate::start;

/// Payload types, the same for everyone.
pub(crate) const OPUS: u8 = 111;
pub(crate) const RED: u8 = 63;
pub(crate) const VP8: u8 = 96;
pub(crate) const H264: u8 = 98;
pub(crate) const VP9: u8 = 100;
pub(crate) const AV1: u8 = 102;
/// The SSRCs of the publisher: sound and pictures.
pub(crate) const PUBLISHED: [Ssrc; 2] = [Ssrc(0x1111), Ssrc(0x2222)];
/// Our first SSRC towards the hostile participant.
pub(super) const HOSTILE_SSRCS: u32 = 0x300;
/// The SSRC of the pictures that the hostile participant receives, and of their retransmissions.
pub(crate) const RECEIVED: [Ssrc; 2] = [Ssrc(0x302), Ssrc(0x303)];
/// The sections in which the subscriber receives: the hostile one's sound and pictures, then the publisher's.
pub(super) const SUBSCRIBED: [&str; 4] = ["ha", "hv", "pa", "pv"];
/// Where the hostile participant sends: sound, and pictures in two encodings named by RID.
pub(crate) const MIDS: [&str; 2] = ["a", "v"];
pub(crate) const RIDS: [&str; 2] = ["l", "h"];

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate(DtlsVersions::Only12).expect("an identity"));

/// The address of the `number`-th participant; the server is 0.
pub(crate) fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, number], 5_000))
}

pub(crate) fn mid(name: &str) -> Mid {
    Mid::new(name).expect("a name")
}

/// Where sound or pictures are sent, and what they show.
pub(crate) fn section(kind: MediaKind) -> (Mid, TrackSource) {
    match kind {
        MediaKind::Audio => (mid(MIDS[0]), TrackSource::Microphone),
        MediaKind::Video => (mid(MIDS[1]), TrackSource::Camera),
    }
}

impl World {
    /// Everybody is connected, and everything is allowed.
    pub(super) fn new() -> Self {
        let now = start();
        let transport = TransportConfig {
            identity: IDENTITY.clone(),
            candidates: vec![address(0)],
            check_signalled: false,
            aead_only: false,
        };
        let epoch = Epoch { instant: now, ntp: NtpTime(0xe000_0000 << 32) };
        let config = EngineConfig { transport, epoch, seed: [1; 32], initial_bitrate: Bitrate::kbps(5_000) };
        let mut engine = Engine::new(config, now);
        let Ok(Reply::Room { room }) = engine.command(Command::CreateRoom, now) else { panic!("no room") };
        let hostile = join(&mut engine, room, 1, &hostile_session());
        let announced = PUBLISHED.map(|ssrc| vec![RemoteEncoding { ssrc: Some(ssrc), ..RemoteEncoding::default() }]);
        let publisher = join(&mut engine, room, 2, &session(announced, &[], 0x500));
        let subscriber = join(&mut engine, room, 3, &session([vec![], vec![]], &SUBSCRIBED, 0x400));
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let tracks = kinds.map(|kind| Self::publish_track(&mut engine, &hostile, kind, now));
        let honest = kinds.map(|kind| Self::publish_track(&mut engine, &publisher, kind, now));
        let [sound, pictures] = honest;
        for (remote, section, track) in [
            (&subscriber, "ha", tracks[0]),
            (&subscriber, "hv", tracks[1]),
            (&subscriber, "pa", sound),
            (&subscriber, "pv", pictures),
            (&hostile, "pa", sound),
            (&hostile, "pv", pictures),
        ] {
            wire(&mut engine, remote, section, track);
        }
        let ours = |track, base| Hostile { track, allowed: true, muted: false, ssrcs: [Ssrc(base), Ssrc(base + 1)] };
        let tracks = [ours(tracks[0], 0x400), ours(tracks[1], 0x402)];
        let (wire, heard) = (Wire::default(), Vec::new());
        let mut world = Self {
            engine,
            room,
            bounds: Bounds::begin(LIMITS),
            now,
            hostile,
            publisher,
            subscriber,
            tracks,
            honest,
            next_packet: 1,
            wire,
            heard,
        };
        world.turn();
        world.bounds = Bounds::begin(LIMITS);
        world
    }
}

pub(super) fn hostile_session() -> NegotiatedSession {
    session([vec![RemoteEncoding::default()], RIDS.map(named).to_vec()], &["pa", "pv"], HOSTILE_SSRCS)
}

/// What the hostile participant may agree on later, bit by bit: where it receives there are no retransmissions, other numbers,
/// or nothing; where it sends there is nothing, or another order; it takes no RTCP of reduced size.
pub(super) fn negotiated_anew(choice: u8) -> NegotiatedSession {
    let mut session = hostile_session();
    let pictures = &mut session.send[1];
    if choice & 1 != 0 {
        pictures.rtx_ssrc = None;
        pictures.payload_types.iter_mut().for_each(|payload| payload.rtx = None);
    }
    if choice & 2 != 0 {
        pictures.payload_types.iter_mut().for_each(|payload| payload.number ^= 0x10);
    }
    if choice & 4 != 0 {
        pictures.payload_types.clear();
    }
    if choice & 8 != 0 {
        session.receive.pop();
    }
    if choice & 16 != 0 {
        session.receive.iter_mut().for_each(|section| section.payload_types.reverse());
    }
    session.reduced_size = choice & 32 == 0;
    session
}

pub(crate) fn join(engine: &mut Engine, room: RoomId, number: u8, session: &NegotiatedSession) -> Remote {
    let profile = SrtpProfile::ALL[usize::from(number) % SrtpProfile::ALL.len()];
    let material: Vec<u8> = (0..2 * (profile.key_len() + profile.salt_len())).map(|n| n as u8 ^ number << 6).collect();
    let keys = SrtpKeys::new(profile, &material).expect("as many as the profile asks for");
    let participant = ParticipantId(u64::from(number));
    let address = address(number);
    let id = engine.create_keyed_peer(room, participant, address, &keys, session, start()).expect("there is room");
    Remote::new(id, address, &keys)
}

/// Lets the participant receive the track in that section.
fn wire(engine: &mut Engine, remote: &Remote, section: &str, track: TrackId) {
    let now = start();
    engine.command(Command::Subscribe { peer: remote.id, mid: mid(section), track }, now).expect("a free section");
    engine.command(Command::Allow { track, subscriber: remote.id, echo: false }, now).expect("one room");
}

pub(crate) fn named(rid: &str) -> RemoteEncoding {
    RemoteEncoding { rid: Rid::new(rid), ..RemoteEncoding::default() }
}

fn payload_types(kind: MediaKind) -> Vec<PayloadType> {
    let codecs: &[(u8, Codec)] = match kind {
        MediaKind::Audio => &[(OPUS, Codec::Opus), (RED, Codec::Red)],
        MediaKind::Video => &[(VP8, Codec::Vp8), (H264, Codec::H264), (VP9, Codec::Vp9), (AV1, Codec::Av1)],
    };
    let clock_rate_hz = if kind == MediaKind::Audio { 48_000 } else { 90_000 };
    let rtx = |number| (kind == MediaKind::Video).then_some(number + 1);
    let of = |&(number, codec)| PayloadType { number, codec, clock_rate_hz, rtx: rtx(number), format: String::new() };
    codecs.iter().map(of).collect()
}

pub(crate) fn kind_of(section: &str) -> MediaKind {
    if section.ends_with('a') { MediaKind::Audio } else { MediaKind::Video }
}

/// Every extension, by the same numbers for everyone.
pub(crate) fn extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::default();
    for kind in ExtensionKind::ALL {
        extensions.set(kind, kind as u8 + 1);
    }
    extensions
}

/// What a participant sends (nothing where there are no encodings), and in which sections it receives.
pub(crate) fn session(encodings: [Vec<RemoteEncoding>; 2], sections: &[&str], ssrc_base: u32) -> NegotiatedSession {
    let extensions = extensions();
    let receive = MIDS.iter().zip(encodings).filter(|(_, encodings)| !encodings.is_empty()).map(|(name, encodings)| {
        let kind = kind_of(name);
        let payload_types = payload_types(kind);
        ReceiveMedia { mid: mid(name), kind, payload_types, encodings, nack: true, pli: true, fir: false, remb: true }
    });
    let send = sections.iter().enumerate().map(|(n, name)| {
        let (kind, ssrc) = (kind_of(name), Ssrc(ssrc_base + 2 * n as u32));
        let rtx_ssrc = (kind == MediaKind::Video).then_some(Ssrc(ssrc.0 + 1));
        SendMedia { mid: mid(name), kind, payload_types: payload_types(kind), ssrc, rtx_ssrc, nack: true }
    });
    NegotiatedSession {
        remote: RemoteTransport {
            ufrag: String::new(),
            pwd: String::new(),
            fingerprints: Vec::new(),
            dtls_role: DtlsRole::Server,
            candidates: Vec::new(),
        },
        extensions,
        feedback: CongestionFeedback::TransportCc,
        reduced_size: true,
        receive: receive.collect(),
        send: send.collect(),
        data: None,
    }
}
