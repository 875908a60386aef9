//! Two rooms: one with two who are hostile, a publisher and a subscriber, one with another such pair. The hostile are let in
//! like everybody: by ICE and DTLS, or, where the input asks for speed, with given keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sfu_core::engine::command::{Command, Reply};
use sfu_core::engine::event::Event;
use sfu_core::engine::{Engine, EngineConfig};
use sfu_core::ids::{ParticipantId, PeerId, RoomId, Ssrc, TrackId};
use sfu_core::peer::TransportConfig;
use sfu_core::peer::dtls::{DtlsVersions, Identity};
use sfu_core::session::{DataMedia, MediaKind, NegotiatedSession, RemoteEncoding};
use sfu_core::units::{Bitrate, Epoch, NtpTime};

use super::World;
use super::bounds::Bounds;
use super::honest::Pair;
use super::hostile::{Hostile, own_ssrc};
use super::link::{Link, fingerprints};
use super::orders::Rights;
use crate::engine::remote::{Remote, Wire};
use crate::engine::setup::{PUBLISHED, RIDS, address, join, mid, named, section, session};
use crate::start;
use crate::turns::Turns;

/// Where everybody receives: the honest publisher's sound and pictures, then the hostile one's.
pub(crate) const SECTIONS: [&str; 4] = ["pa", "pv", "ha", "hv"];
/// Rounds of a handshake, with a few milliseconds between them.
const HANDSHAKE_ROUNDS: usize = 32;
const ROUND: Duration = Duration::from_millis(5);
/// Fast enough that nobody is kept waiting by what a run can send.
const DOWNLINK: Bitrate = Bitrate::kbps(20_000);

/// Who everybody is, speaking DTLS 1.2 only, or up to 1.3.
pub(crate) static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| {
    [DtlsVersions::Only12, DtlsVersions::UpTo13].map(|versions| Identity::generate(versions).expect("an identity"))
});

/// How the hostile ones are let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// By ICE and DTLS.
    pub(super) for_real: [bool; 2],
    up_to_13: bool,
}

impl Options {
    pub(super) const fn read(options: u8) -> Self {
        Self { for_real: [options & 1 != 0, options & 2 != 0], up_to_13: options & 4 != 0 }
    }
}

impl World {
    /// Everybody is connected, everything is allowed, and the honest have been heard.
    pub(super) fn new(options: Options) -> Self {
        let now = start();
        let identity = &IDENTITIES[usize::from(options.up_to_13)];
        let mut engine = engine(identity.clone(), now);
        let bounds = Bounds::begin();
        let rooms = [(); 2].map(|()| match engine.command(Command::CreateRoom, now) {
            Ok(Reply::Room { room }) => room,
            answer => panic!("no room: {answer:?}"),
        });
        let mut now = now;
        let mut bases = BTreeMap::new();
        let hostile = [0, 1].map(|number: u8| {
            let session = hostile_session(number);
            let hostile = if options.for_real[usize::from(number)] {
                let (remote, link, session) = connect(&mut engine, rooms[0], number, session, identity, &mut now);
                (remote, Some(link), session)
            } else {
                (join(&mut engine, rooms[0], 1 + number, &session), None, session)
            };
            bases.insert(hostile.0.id, hostile.2.send[0].ssrc.0);
            let tracks = publish(&mut engine, hostile.0.id, now);
            Hostile::new(number, hostile.0, hostile.1, hostile.2, tracks)
        });
        let pairs = [0, 1].map(|n: u8| {
            let base = 0x500 + 0x100 * u32::from(n);
            let pair = pair(&mut engine, rooms[usize::from(n)], 3 + 2 * n, base, now);
            bases.insert(pair.subscriber.id, base);
            pair
        });
        let spoken = hostile.iter().filter(|remote| remote.link.is_some()).map(|remote| remote.media.address).collect();
        let mut world = Self {
            engine,
            rooms,
            now,
            next_media: now,
            turns: Turns::all(),
            bounds,
            hostile,
            pairs,
            rights: Rights::default(),
            bases,
            arriving: VecDeque::new(),
            held: Vec::new(),
            past: [VecDeque::new(), VecDeque::new()],
            spoken,
            answered: BTreeSet::new(),
            distinct: BTreeSet::new(),
            deaf: [0; 2],
            wire: Wire::default(),
            messages: 0,
        };
        world.wire_all();
        world.bounds.wired();
        world.turn(Duration::ZERO);
        world
    }

    fn wire_all(&mut self) {
        let tracks = |hostile: &Hostile| hostile.tracks;
        let ids: Vec<PeerId> = self.hostile.iter().map(|hostile| hostile.media.id).collect();
        let theirs: Vec<[TrackId; 2]> = self.hostile.iter().map(tracks).collect();
        let [first, second] = [&self.pairs[0], &self.pairs[1]].map(|pair| (pair.subscriber.id, pair.tracks));
        for (peer, sections, tracks) in [
            (first.0, ["pa", "pv"], first.1),
            (second.0, ["pa", "pv"], second.1),
            (first.0, ["ha", "hv"], theirs[0]),
            (ids[0], ["pa", "pv"], first.1),
            (ids[1], ["pa", "pv"], first.1),
            (ids[0], ["ha", "hv"], theirs[1]),
            (ids[1], ["ha", "hv"], theirs[0]),
        ] {
            for (section, track) in sections.into_iter().zip(tracks) {
                self.wire(peer, section, track);
            }
        }
        for (publisher, subscriber) in [(ids[0], ids[1]), (ids[1], ids[0])] {
            self.carry_out(Command::AllowData { publisher, subscriber }).expect("one room");
        }
    }
}

/// An engine in which nobody is.
pub(crate) fn engine(identity: Identity, now: Instant) -> Engine {
    let transport =
        TransportConfig { identity, candidates: vec![address(0)], check_signalled: false, aead_only: false };
    let epoch = Epoch { instant: now, ntp: NtpTime(0xe000_0000 << 32) };
    Engine::new(EngineConfig { transport, epoch, seed: [1; 32], initial_bitrate: DOWNLINK }, now)
}

/// The first announces its SSRCs, the second names its encodings by RID.
pub(crate) fn hostile_session(number: u8) -> NegotiatedSession {
    let announced = |n: usize, again: Option<usize>| RemoteEncoding {
        rid: None,
        ssrc: Some(own_ssrc(number, n)),
        rtx_ssrc: again.map(|n| own_ssrc(number, n)),
    };
    let pictures = if number == 0 { vec![announced(1, Some(3))] } else { RIDS.map(named).to_vec() };
    let mut session = session([vec![announced(0, None)], pictures], &SECTIONS, 0x300 + 0x100 * u32::from(number));
    session.data = Some(DataMedia { mid: mid("d"), sctp_port: 5_000, max_message_size: 65_536 });
    session
}

/// Makes tracks of the sound and the pictures that the peer sends.
pub(crate) fn publish(engine: &mut Engine, peer: PeerId, now: Instant) -> [TrackId; 2] {
    [MediaKind::Audio, MediaKind::Video].map(|kind| {
        let (mid, source) = section(kind);
        match engine.command(Command::Publish { peer, mid, source, encrypted: false }, now) {
            Ok(Reply::Track { track }) => track,
            answer => panic!("nothing is published there: {answer:?}"),
        }
    })
}

fn pair(engine: &mut Engine, room: RoomId, number: u8, ssrc_base: u32, now: Instant) -> Pair {
    let announced = PUBLISHED.map(|ssrc| vec![RemoteEncoding { ssrc: Some(ssrc), ..RemoteEncoding::default() }]);
    let publisher = join(engine, room, number, &session(announced, &[], 0x800));
    let subscriber = join(engine, room, number + 1, &session([vec![], vec![]], &SECTIONS, ssrc_base));
    let tracks = publish(engine, publisher.id, now);
    Pair::new(publisher, subscriber, tracks, ssrc_base)
}

/// Lets the remote in by ICE and DTLS.
fn connect(
    engine: &mut Engine,
    room: RoomId,
    number: u8,
    mut session: NegotiatedSession,
    identity: &Identity,
    now: &mut Instant,
) -> (Remote, Link, NegotiatedSession) {
    let participant = ParticipantId(1 + u64::from(number));
    let Ok(Reply::Peer { peer, local }) = engine.command(Command::CreatePeer { room, participant }, *now) else {
        panic!("there is room");
    };
    let home = address(1 + number);
    let media = session.data.expect("data channels were agreed on");
    let mut link = Link::new(identity.clone(), number, &local, media, *now);
    (session.remote.ufrag, session.remote.pwd) = link.own.clone();
    session.remote.fingerprints = fingerprints(identity);
    for (n, media) in session.send.iter_mut().enumerate() {
        let ssrc = local.ssrc_base.wrapping_add(2 * n as u32);
        media.ssrc = Ssrc(ssrc);
        media.rtx_ssrc = media.rtx_ssrc.map(|_| Ssrc(ssrc.wrapping_add(1)));
    }
    let described = Box::new(session.clone());
    assert_eq!(engine.command(Command::Connect { peer, session: described }, *now), Ok(Reply::Done));
    let request = link.request(true);
    let mut to_server = vec![link.sign(&request)];
    link.start(*now);
    let (mut wire, mut events) = (Wire::default(), Vec::new());
    for _ in 0..HANDSHAKE_ROUNDS {
        to_server.extend(link.datagrams(*now));
        for mut bytes in std::mem::take(&mut to_server) {
            super::hand_in(engine, &mut [(home, &mut bytes)], *now);
        }
        engine.tick(*now);
        engine.flush(&mut wire, *now);
        for (to, bytes) in std::mem::take(&mut wire.sent).into_iter().filter(|(to, _)| *to == home) {
            if link.is_asked(&bytes) {
                to_server.extend(link.answer(&bytes, to));
            } else {
                link.receive(&bytes, *now);
            }
        }
        engine.drain_events(&mut events);
        let connected =
            events.iter().any(|event| matches!(event, Event::PeerConnected { peer: who, .. } if *who == peer));
        if let Some(keys) = link.keys.as_ref().filter(|_| connected && to_server.is_empty()) {
            return (Remote::new(peer, home, keys), link, session);
        }
        *now += ROUND;
    }
    panic!("the hostile participant is let in: {events:?}");
}
