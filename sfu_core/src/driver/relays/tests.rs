//! Workers with real threads and rings between them: bots in one, listeners through a relay in the other.

mod order;

use std::time::Duration;

use super::super::bots::BotLink;
use super::super::wire::Outgoing;
use super::super::{Driver, DriverConfig};
use super::*;
use crate::engine::Engine;
use crate::engine::command::{Command, Refusal, Reply, Request, TrackSource};
use crate::engine::event::Event;
use crate::engine::transmit::{Datagram, Sink};
use crate::ids::{Mid, ParticipantId, PeerId, RoomId, Ssrc, TrackId};
use crate::rtp::ext::ExtensionMap;
use crate::rtp::header::Packet;
use crate::session::{
    Codec, CongestionFeedback, DtlsRole, MediaKind, NegotiatedSession, PayloadType, ReceiveMedia, RelayDescription,
    RemoteEncoding, RemoteTransport, SendMedia,
};

/// The relay of the tests.
const RELAY: RelayId = RelayId(7);
const SAID: u32 = 5;
const HEARD: u32 = 9;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn mid() -> Mid {
    Mid::new("0").expect("a label")
}

/// Of a bot that says sound, and of one that hears some.
fn session() -> Box<NegotiatedSession> {
    let opus = PayloadType { number: 111, codec: Codec::Opus, clock_rate_hz: 48_000, rtx: None, format: String::new() };
    let encodings = vec![RemoteEncoding { ssrc: Some(Ssrc(SAID)), ..RemoteEncoding::default() }];
    let payload_types = vec![opus];
    let receive = ReceiveMedia {
        mid: mid(),
        kind: MediaKind::Audio,
        payload_types: payload_types.clone(),
        encodings,
        nack: false,
        pli: false,
        fir: false,
        remb: false,
    };
    let (ssrc, kind) = (Ssrc(HEARD), MediaKind::Audio);
    let send = SendMedia { mid: mid(), kind, payload_types, ssrc, rtx_ssrc: None, nack: false };
    Box::new(NegotiatedSession {
        remote: RemoteTransport {
            ufrag: String::new(),
            pwd: String::new(),
            fingerprints: Vec::new(),
            dtls_role: DtlsRole::Server,
            candidates: Vec::new(),
        },
        extensions: ExtensionMap::default(),
        feedback: CongestionFeedback::None,
        reduced_size: true,
        receive: vec![receive],
        send: vec![send],
        data: None,
    })
}

/// Two workers; Alice says something in the first, Bob hears it in the second.
struct Call {
    driver: Driver,
    next: u64,
    told: Vec<(usize, Outgoing)>,
    alice: PeerId,
    near: PeerId,
    track: TrackId,
    far: PeerId,
    far_room: RoomId,
    says: Arc<BotLink>,
    hears: Arc<BotLink>,
    number: u16,
}

impl Call {
    fn new() -> Self {
        let bind = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let config = DriverConfig { bind, workers: 2, ..DriverConfig::default() };
        let driver =
            Driver::start_with(&config, |config, now| Breaks(Engine::new(config, now)), || Ok(())).expect("it starts");
        let mut asker = Asker { driver: &driver, next: 0, told: Vec::new() };
        let (room, alice) = asker.join(0, 1);
        let (far_room, bob) = asker.join(1, 2);
        let publish = Command::Publish { peer: alice, mid: mid(), source: TrackSource::Microphone, encrypted: false };
        let Ok(Reply::Track { track }) = asker.ask(0, publish) else { panic!("no track") };
        let Ok(Reply::Relay { peer: near, description }) = asker.ask(0, Command::RelayOut { track, relay: RELAY })
        else {
            panic!("no relay")
        };
        let relay_in = |description: Box<RelayDescription>| Command::RelayIn {
            room: far_room,
            participant: ParticipantId(1),
            relay: RELAY,
            description,
        };
        let Ok(Reply::Relayed { peer: far, track: relayed }) = asker.ask(1, relay_in(description)) else {
            panic!("no relay")
        };
        for (worker, track, subscriber) in [(0, track, near), (1, relayed, bob)] {
            asker.ask(worker, Command::Allow { track, subscriber, echo: false }).expect("allowed");
        }
        asker.ask(1, Command::Subscribe { peer: bob, mid: mid(), track: relayed }).expect("subscribed");
        assert!(room.slot() == far_room.slot(), "each worker counts its own");
        let Asker { next, told, .. } = asker;
        let bot = |worker, peer| driver.bot(worker, peer).expect("it lives");
        let (says, hears) = (bot(0, alice), bot(1, bob));
        Self { driver, next, told, alice, near, track, far, far_room, says, hears, number: 0 }
    }

    fn ask(&mut self, worker: usize, command: Command) -> Result<Reply, Refusal> {
        let mut asker = Asker { driver: &self.driver, next: self.next, told: std::mem::take(&mut self.told) };
        let answer = asker.ask(worker, command);
        (self.next, self.told) = (asker.next, asker.told);
        answer
    }

    fn say(&mut self) {
        let [high, low] = self.number.to_be_bytes();
        self.number += 1;
        let head = [0x80, 111, high, low, 0, 0, high, low, 0, 0, 0, SAID as u8];
        assert!(self.says.send(&[&head[..], b"hello", &[high, low]].concat()));
    }

    /// What Bob has heard since this was last asked, by number.
    fn heard(&self) -> Vec<u16> {
        let packets = self.hears.drain();
        let sound = packets.iter().filter_map(|packet| Packet::parse(packet).ok());
        let sound = sound.filter(|packet| packet.header.ssrc == Ssrc(HEARD));
        let number = |packet: Packet<'_>| match packet.payload {
            [b'h', b'e', b'l', b'l', b'o', high, low] => u16::from_be_bytes([*high, *low]),
            other => panic!("nobody said {other:?}"),
        };
        sound.map(number).collect()
    }

    /// One packet: more than an encoding's ring holds would not all leave.
    fn says_until_heard(&mut self) {
        self.say();
        until(|| !self.heard().is_empty());
    }

    fn waits_until_closed(&mut self, worker: usize, peer: PeerId) {
        let is_closed = |told: &(usize, Outgoing)| {
            told.0 == worker
                && matches!(&told.1, Outgoing::Event { event: Event::PeerClosed { peer: closed }, .. } if *closed == peer)
        };
        until(|| {
            self.driver.drain(usize::MAX, |worker, outgoing| self.told.push((worker, outgoing)));
            self.told.iter().any(is_closed)
        });
    }
}

struct Asker<'a> {
    driver: &'a Driver,
    next: u64,
    told: Vec<(usize, Outgoing)>,
}

impl Asker<'_> {
    fn join(&mut self, worker: usize, participant: u64) -> (RoomId, PeerId) {
        let Ok(Reply::Room { room }) = self.ask(worker, Command::CreateRoom) else { panic!("no room") };
        let create = Command::CreateBot { room, participant: ParticipantId(participant), session: session() };
        let Ok(Reply::Bot { peer }) = self.ask(worker, create) else { panic!("no bot") };
        (room, peer)
    }

    fn ask(&mut self, worker: usize, command: Command) -> Result<Reply, Refusal> {
        self.next += 1;
        let asked = self.next;
        self.driver.submit(worker, Request { id: asked, command }).expect("not busy");
        let mut answer = None;
        until(|| {
            self.driver.drain(usize::MAX, |from, outgoing| match outgoing {
                Outgoing::Reply { id, reply } if id == asked => answer = Some(Ok(reply)),
                Outgoing::Refused { id, refusal } if id == asked => answer = Some(Err(refusal)),
                other => self.told.push((from, other)),
            });
            answer.is_some()
        });
        answer.expect("it was waited for")
    }
}

/// Looks again and again; threads do the rest.
#[allow(clippy::disallowed_methods)]
fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_said_in_one_worker_is_heard_in_another() {
    let mut call = Call::new();
    call.says_until_heard();
    for _ in 0..100 {
        let first = call.number;
        (0..10).for_each(|_| call.say());
        let mut heard = Vec::new();
        until(|| {
            heard.extend(call.heard());
            heard.last() == Some(&(first + 9))
        });
        heard.retain(|number| *number >= first);
        assert_eq!(heard, (first..first + 10).collect::<Vec<_>>());
    }
    assert_eq!(call.driver.counters().iter().map(|figures| figures.relay_drops).sum::<u64>(), 0);
}

#[test]
fn nothing_is_heard_in_another_worker_after_the_answer_to_a_revocation() {
    let mut call = Call::new();
    for _ in 0..300 {
        call.says_until_heard();
        (0..20).for_each(|_| call.say());
        let revoke = Command::Revoke { track: call.track, subscriber: call.near };
        assert_eq!(call.ask(0, revoke), Ok(Reply::Done));
        call.heard(); // what had come before the answer
        (0..20).for_each(|_| call.say());
        for worker in [0, 1, 0, 1] {
            // Each of them has taken turns since.
            assert!(matches!(call.ask(worker, Command::Stats), Ok(Reply::Stats { .. })));
            assert_eq!(call.heard(), []);
        }
        let allow = Command::Allow { track: call.track, subscriber: call.near, echo: false };
        assert_eq!(call.ask(0, allow), Ok(Reply::Done));
    }
    for worker in [0, 1] {
        let Ok(Reply::Stats { stats }) = call.ask(worker, Command::Stats) else { panic!("no figures") };
        assert_eq!((stats.unauthorized_forwards, stats.panics), (0, 0));
    }
}

#[test]
fn a_relay_has_one_end_of_each_kind_in_all_workers() {
    let mut call = Call::new();
    let out = Command::RelayOut { track: call.track, relay: RELAY };
    assert_eq!(call.ask(0, out.clone()), Err(Refusal::RelayInUse));
    let Ok(Reply::Relay { description, .. }) = call.ask(0, Command::RelayOut { track: call.track, relay: RelayId(8) })
    else {
        panic!("another number is another relay")
    };
    let again =
        |room| Command::RelayIn { room, participant: ParticipantId(1), relay: RELAY, description: description.clone() };
    assert_eq!(call.ask(0, again(call.far_room)), Err(Refusal::RelayInUse), "the other worker has it");
    assert_eq!(call.ask(1, again(call.far_room)), Err(Refusal::RelayInUse));
    for (worker, peer) in [(0, call.near), (1, call.far)] {
        assert_eq!(call.ask(worker, Command::RemovePeer { peer }), Ok(Reply::Done));
    }
    assert!(matches!(call.ask(0, out), Ok(Reply::Relay { .. })), "the number is free again");
}

#[test]
fn a_command_that_is_refused_leaves_the_number_free() {
    let mut call = Call::new();
    let nowhere = Command::RelayOut { track: TrackId::new(99, 0), relay: RelayId(8) };
    for _ in 0..2 {
        assert_eq!(call.ask(0, nowhere.clone()), Err(Refusal::UnknownTrack));
    }
    let out = Command::RelayOut { track: call.track, relay: RelayId(8) };
    let Ok(Reply::Relay { description, .. }) = call.ask(0, out) else { panic!("no relay") };
    let into = |room| {
        let (participant, relay, description) = (ParticipantId(1), RelayId(8), description.clone());
        Command::RelayIn { room, participant, relay, description }
    };
    for _ in 0..2 {
        assert_eq!(call.ask(1, into(RoomId::new(99, 0))), Err(Refusal::UnknownRoom), "while the near end is there");
    }
    assert!(matches!(call.ask(1, into(call.far_room)), Ok(Reply::Relayed { .. })));
}

#[test]
fn an_end_that_is_removed_closes_the_one_in_the_other_worker() {
    let mut call = Call::new();
    assert_eq!(call.ask(1, Command::RemovePeer { peer: call.far }), Ok(Reply::Done));
    call.waits_until_closed(0, call.near);
    let mut call = Call::new();
    assert_eq!(call.ask(0, Command::RemovePeer { peer: call.alice }), Ok(Reply::Done));
    call.waits_until_closed(0, call.near);
    call.waits_until_closed(1, call.far);
}

#[test]
fn a_worker_that_fails_closes_its_relays_in_the_others_and_keeps_no_answer_waiting() {
    for failing in [0, 1] {
        let mut call = Call::new();
        call.says_until_heard();
        call.next += 1;
        call.driver.submit(failing, Request { id: call.next, command: Command::Snapshot }).expect("not busy");
        let (other, end) = if failing == 0 { (1, call.far) } else { (0, call.near) };
        call.waits_until_closed(other, end);
        let revoke = Command::RemovePeer { peer: end };
        assert_eq!(call.ask(other, revoke), Ok(Reply::Done));
        let Ok(Reply::Stats { stats }) = call.ask(other, Command::Stats) else { panic!("no figures") };
        assert_eq!((stats.panics, stats.peers), (0, 1), "the others of the room go on");
    }
}

#[test]
fn a_revocation_that_meets_a_failure_is_answered() {
    for _ in 0..20 {
        let mut call = Call::new();
        call.next += 1;
        call.driver.submit(1, Request { id: call.next, command: Command::Snapshot }).expect("not busy");
        let revoke = Command::Revoke { track: call.track, subscriber: call.near };
        assert_eq!(call.ask(0, revoke), Ok(Reply::Done));
    }
}

/// An engine around which there is a bug: it guards itself against those within.
struct Breaks(Engine);

impl Drive for Breaks {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        self.0.ingest(batch, now);
    }
    fn ingest_bot(&mut self, bot: PeerId, packet: &[u8], now: Instant) {
        self.0.ingest_bot(bot, packet, now);
    }
    fn tick(&mut self, now: Instant) -> Instant {
        self.0.tick(now)
    }
    fn flush(&mut self, sink: &mut dyn Sink, now: Instant) {
        self.0.flush(sink, now);
    }
    fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
        assert!(command != Command::Snapshot, "the bug that was asked for");
        self.0.command(command, now)
    }
    fn drain_events(&mut self, into: &mut Vec<Event>) {
        self.0.drain_events(into);
    }
    fn ingest_relay(&mut self, relay: RelayId, frame: Frame<'_>, now: Instant) {
        self.0.ingest_relay(relay, frame, now);
    }
    fn cut_relay(&mut self, relay: RelayId) {
        self.0.cut_relay(relay);
    }
    fn close_relay(&mut self, relay: RelayId, end: RelayEnd) {
        self.0.close_relay(relay, end);
    }
    fn drain_relay_notices(&mut self, into: &mut Vec<RelayNotice>) {
        self.0.drain_relay_notices(into);
    }
}
