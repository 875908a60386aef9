//! What signalling would do around the engine: rooms, peers, tracks and rights, with the test's own book of who may receive
//! what.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::engine::command::{Command, LayerLimit, Reply, TrackSource};
use sfu_core::ids::{Mid, ParticipantId, PeerId, RoomId, TrackId};
use sfu_core::peer::dtls::DtlsVersions;
use sfu_core::peer::srtp::SrtpProfile;
use sfu_core::sdp::{AnswerPlan, Answered, MediaPolicy, SendPlan};
use sfu_core::session::{LocalTransport, MediaKind, NegotiatedSession};
use sfu_core::stats::{EngineStats, PeerStats};
use str0m::config::DtlsVersion;

use crate::browser::{Browser, BrowserConfig, Section};
use crate::clock::Clock;
use crate::keyed::{Keyed, Wishes};
use crate::oracle::{Permissions, Reception};
use crate::server::{EngineServer, KeyedPeer};
use crate::world::{Path, RemoteId, World};

/// Where the server listens.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);
/// Where participants send from.
const PARTICIPANT_PORT: u16 = 40_000;

/// A published track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The engine's name for it.
    pub track: TrackId,
    /// The number in its payloads.
    pub source: u32,
    /// Who publishes it.
    pub publisher: RemoteId,
    /// Sound or pictures.
    pub kind: MediaKind,
}

/// What the test knows of one participant.
#[derive(Debug)]
struct Seat {
    peer: PeerId,
    local: Option<LocalTransport>,
    agreed: NegotiatedSession,
    sends: Vec<Mid>,
    /// The numbers of the tracks it publishes.
    sources: Vec<u32>,
    /// What a browser has asked for so far.
    sections: Vec<Section>,
    /// Sections in which it receives, and what was put there.
    receives: Vec<(Mid, MediaKind, Option<TrackId>)>,
}

/// A world around an engine, and the book of who is where.
#[derive(Debug)]
pub struct Meeting {
    /// The world.
    pub world: World<EngineServer>,
    /// Who may receive what.
    pub permissions: Permissions,
    /// The room that [`join_browser`](Self::join_browser) and [`join_keyed`](Self::join_keyed) join.
    pub room: RoomId,
    /// Whether what is published from here on is end-to-end encrypted, as far as the engine knows.
    pub encrypts: bool,
    /// What DTLS the browsers speak that join from here on.
    pub browsers_speak: DtlsVersion,
    seats: BTreeMap<RemoteId, Seat>,
    next_participant: u32,
    seed: u64,
}

impl Meeting {
    /// An engine with one empty room.
    pub fn new(seed: u64) -> Self {
        Self::speaking(DtlsVersions::Only12, seed)
    }

    /// The same with a choice of what DTLS the server speaks.
    pub fn speaking(dtls: DtlsVersions, seed: u64) -> Self {
        let clock = Clock::new();
        let address = SocketAddr::from(SERVER);
        let mut server = EngineServer::speaking(dtls, address, seed, clock.now());
        let room = make_room(&mut server, clock.now());
        Self {
            world: World::new(server, address, clock, seed),
            permissions: Permissions::default(),
            room,
            encrypts: false,
            browsers_speak: DtlsVersion::Dtls12,
            seats: BTreeMap::new(),
            next_participant: 0,
            seed,
        }
    }

    /// Opens another room; whoever joins from here on joins it.
    pub fn open_room(&mut self) -> RoomId {
        let now = self.world.now();
        self.room = make_room(&mut self.world.server, now);
        self.room
    }

    /// Carries out a command that must not be refused, and lets the server act on it.
    pub fn command(&mut self, command: Command) -> Reply {
        let now = self.world.now();
        let shown = format!("{command:?}");
        let reply = self.world.server.command(command, now);
        self.world.step_server();
        reply.unwrap_or_else(|refusal| panic!("{shown}: {refusal}"))
    }

    /// Lets a browser in: an offer and an answer pass, and its transport starts to connect.
    pub fn join_browser(&mut self, sections: &[Section], path: Path) -> RemoteId {
        let (start, now) = (self.world.start(), self.world.now());
        let participant = self.number();
        let config = BrowserConfig { dtls: self.browsers_speak, ..BrowserConfig::at(participant_address(participant)) };
        let mut browser = Browser::new(&config, start, now);
        let (offer, mids) = browser.offer(sections);
        let command = Command::CreatePeer { room: self.room, participant: ParticipantId(u64::from(participant)) };
        let Reply::Peer { peer, local } = self.command(command) else { panic!("no peer") };
        let plan = answer_plan(local.clone(), sections);
        let Answered { sdp, session, .. } = sfu_core::sdp::answer(&offer, &plan).expect("the offer can be answered");
        self.command(Command::Connect { peer, session: Box::new(session.clone()) });
        browser.accept(&sdp, now);
        let id = self.world.join(browser, config.address, path);
        let mids = mids.iter().map(|mid| Mid::new(mid).expect("a name"));
        let media = sections.iter().filter(|section| !matches!(section, Section::Channel(_)));
        let mut seat = Seat {
            peer,
            local: Some(local),
            agreed: session,
            sends: Vec::new(),
            sources: Vec::new(),
            sections: sections.to_vec(),
            receives: Vec::new(),
        };
        for (mid, section) in mids.zip(media) {
            match section {
                Section::ReceiveAudio => seat.receives.push((mid, MediaKind::Audio, None)),
                Section::ReceiveVideo => seat.receives.push((mid, MediaKind::Video, None)),
                _ => seat.sends.push(mid),
            }
        }
        self.seats.insert(id, seat);
        id
    }

    /// Lets a light participant in; it is connected at once.
    pub fn join_keyed(&mut self, wishes: impl FnOnce(Wishes) -> Wishes, path: Path) -> RemoteId {
        let times = (self.world.start(), self.world.now());
        let number = self.number();
        let wishes = wishes(Wishes::none(number));
        let addresses = (participant_address(number), self.world.server_address());
        let keyed = Keyed::new(wishes, SrtpProfile::AeadAes128Gcm, addresses, self.seed, times);
        let agreed = keyed.wishes().agreed();
        let participant = ParticipantId(u64::from(number));
        let (room, address, keys) = (self.room, addresses.0, keyed.keys());
        let peer = KeyedPeer { room, participant, address, keys, agreed: &agreed };
        let peer = self.world.server.create_keyed_peer(&peer, times.1).expect("a peer can be made");
        let sends = agreed.receive.iter().map(|media| media.mid).collect();
        let receives = agreed.send.iter().map(|media| (media.mid, media.kind, None)).collect();
        let id = self.world.join(keyed, addresses.0, path);
        self.seats
            .insert(id, Seat { peer, local: None, agreed, sends, sources: Vec::new(), sections: Vec::new(), receives });
        id
    }

    /// Makes a track of what a participant sends in its `section`-th sending section; payloads carry the number `source`.
    pub fn publish(&mut self, publisher: RemoteId, section: usize, source: u32) -> Published {
        let seat = &self.seats[&publisher];
        let (peer, mid) = (seat.peer, seat.sends[section]);
        let kind = seat.agreed.receive.iter().find(|media| media.mid == mid).expect("the section was agreed on").kind;
        let shows = if kind == MediaKind::Audio { TrackSource::Microphone } else { TrackSource::Camera };
        let reply = self.command(Command::Publish { peer, mid, source: shows, encrypted: self.encrypts });
        let Reply::Track { track } = reply else { panic!("no track: {reply:?}") };
        self.seats.entry(publisher).and_modify(|seat| seat.sources.push(source));
        Published { track, source, publisher, kind }
    }

    /// The name of a participant's `section`-th sending section.
    pub fn sending_mid(&self, publisher: RemoteId, section: usize) -> Mid {
        self.seats[&publisher].sends[section]
    }

    /// Puts a track into the first free section of its kind of a participant, without a right to it.
    pub fn subscribe(&mut self, subscriber: RemoteId, published: Published) {
        let seat = self.seats.get_mut(&subscriber).expect("the participant is seated");
        let free = |place: &&mut (Mid, MediaKind, Option<TrackId>)| place.1 == published.kind && place.2.is_none();
        let place = seat.receives.iter_mut().find(free).expect("a free section of this kind");
        place.2 = Some(published.track);
        let (peer, mid) = (seat.peer, place.0);
        self.command(Command::Subscribe { peer, mid, track: published.track });
    }

    /// Takes a track off the section it is in.
    pub fn unsubscribe(&mut self, subscriber: RemoteId, published: Published) {
        let seat = self.seats.get_mut(&subscriber).expect("the participant is seated");
        let place = seat.receives.iter_mut().find(|place| place.2 == Some(published.track)).expect("it was subscribed");
        place.2 = None;
        let (peer, mid) = (seat.peer, place.0);
        self.command(Command::Unsubscribe { peer, mid });
    }

    /// Lets a track flow to a participant.
    pub fn allow(&mut self, subscriber: RemoteId, published: Published) {
        let peer = self.seats[&subscriber].peer;
        let departures = self.world.network.departures();
        self.permissions.allow(published.source, subscriber.index(), departures);
        let echo = subscriber == published.publisher;
        self.command(Command::Allow { track: published.track, subscriber: peer, echo });
    }

    /// Ends that right. From the engine's reply on, nothing of it may leave.
    pub fn revoke(&mut self, subscriber: RemoteId, published: Published) {
        let (peer, now) = (self.seats[&subscriber].peer, self.world.now());
        let command = Command::Revoke { track: published.track, subscriber: peer };
        self.world.server.command(command, now).expect("a right can be taken away");
        let departures = self.world.network.departures();
        self.permissions.revoke(published.source, subscriber.index(), departures);
        self.world.step_server();
    }

    /// Silences a track for everybody, or lets it flow again to those who may have it.
    pub fn mute(&mut self, published: Published, muted: bool) {
        let now = self.world.now();
        let command = Command::Mute { track: published.track, muted };
        self.world.server.command(command, now).expect("a track can be muted");
        self.permissions.mute(published.source, muted, self.world.network.departures());
        self.world.step_server();
    }

    /// Lets messages flow one way; the book knows the publisher's as those of `source`.
    pub fn allow_data(&mut self, from: RemoteId, to: RemoteId, source: u32) {
        let (publisher, subscriber) = (self.peer(from), self.peer(to));
        self.permissions.allow(source, to.index(), self.world.network.departures());
        self.command(Command::AllowData { publisher, subscriber });
    }

    /// Ends that.
    pub fn revoke_data(&mut self, from: RemoteId, to: RemoteId, source: u32) {
        let (publisher, subscriber, now) = (self.peer(from), self.peer(to), self.world.now());
        self.world.server.command(Command::RevokeData { publisher, subscriber }, now).expect("it can be taken away");
        self.permissions.revoke(source, to.index(), self.world.network.departures());
        self.world.step_server();
    }

    /// [`subscribe`](Self::subscribe) and [`allow`](Self::allow).
    pub fn watch(&mut self, subscriber: RemoteId, published: Published) {
        self.subscribe(subscriber, published);
        self.allow(subscriber, published);
    }

    /// Limits what a participant gets of a track to this encoding.
    pub fn limit(&mut self, subscriber: RemoteId, published: Published, encoding: u8) {
        let limit = LayerLimit { encoding, temporal: u8::MAX };
        let subscriber = self.seats[&subscriber].peer;
        self.command(Command::LimitLayer { track: published.track, subscriber, limit });
    }

    /// Removes a participant: the server is told first, then it is gone from the world.
    pub fn leave(&mut self, id: RemoteId) {
        self.dismiss(id);
        self.world.vanish(id);
        self.permissions.forget_listener(id.index());
    }

    /// Removes a participant, which stays where it is, listens, and sends and asks as before. From the engine's reply on nothing
    /// may leave for it, and nothing of it to anybody.
    pub fn dismiss(&mut self, id: RemoteId) {
        let seat = self.seats.remove(&id).expect("the participant is seated");
        let now = self.world.now();
        self.world.server.command(Command::RemovePeer { peer: seat.peer }, now).expect("the peer can be removed");
        let departures = self.world.network.departures();
        for source in seat.sources {
            self.permissions.revoke_all(source, departures);
        }
        self.permissions.revoke_listener(id.index(), departures);
        self.world.network.dismiss(id);
        self.world.step_server();
    }

    /// Restarts ICE of a browser, by an offer of its own.
    pub fn restart_ice(&mut self, id: RemoteId) {
        let offer = self.world.browser(id).offer_restart();
        let peer = self.seats[&id].peer;
        let Reply::Peer { local, .. } = self.command(Command::RestartIce { peer }) else { panic!("no peer") };
        self.seats.get_mut(&id).expect("the participant is seated").local = Some(local);
        self.answer_again(id, &offer);
    }

    /// A browser that is in wants to receive more.
    pub fn renegotiate(&mut self, id: RemoteId, sections: &[Section]) {
        let (offer, mids) = self.world.browser(id).offer(sections);
        let seat = self.seats.get_mut(&id).expect("the participant is seated");
        seat.sections.extend(sections);
        for (mid, section) in mids.iter().zip(sections) {
            let kind = if *section == Section::ReceiveVideo { MediaKind::Video } else { MediaKind::Audio };
            seat.receives.push((Mid::new(mid).expect("a name"), kind, None));
        }
        self.answer_again(id, &offer);
    }

    /// What was agreed on with a light participant is agreed on again, with retransmissions or without.
    pub fn agree_again(&mut self, id: RemoteId, rtx: bool) {
        let mut session = Box::new(self.seats[&id].agreed.clone());
        for section in session.send.iter_mut().filter(|_| !rtx) {
            section.rtx_ssrc = None;
            section.payload_types.iter_mut().for_each(|payload| payload.rtx = None);
        }
        self.command(Command::Connect { peer: self.seats[&id].peer, session });
    }

    fn answer_again(&mut self, id: RemoteId, offer: &str) {
        let now = self.world.now();
        let seat = self.seats.get_mut(&id).expect("the participant is seated");
        let local = seat.local.clone().expect("a browser has a transport");
        let plan = AnswerPlan { previous: Some(Box::new(seat.agreed.clone())), ..answer_plan(local, &seat.sections) };
        let Answered { sdp, session, .. } = sfu_core::sdp::answer(offer, &plan).expect("the offer can be answered");
        seat.agreed = session.clone();
        let peer = seat.peer;
        self.command(Command::Connect { peer, session: Box::new(session) });
        self.world.browser(id).accept(&sdp, now);
    }

    /// The engine's name for a participant's transport.
    pub fn peer(&self, id: RemoteId) -> PeerId {
        self.seats[&id].peer
    }

    /// Our half of a browser's transport.
    pub fn local_transport(&self, id: RemoteId) -> &LocalTransport {
        self.seats[&id].local.as_ref().expect("a participant with given keys has no transport to describe")
    }

    /// What was agreed on with a participant.
    pub fn agreed(&self, id: RemoteId) -> &NegotiatedSession {
        &self.seats[&id].agreed
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        self.world.run_for(span);
    }

    /// Runs until all browsers are connected.
    ///
    /// # Panics
    /// When they are not after ten seconds.
    pub fn run_until_connected(&mut self) {
        let connected = |world: &mut World<EngineServer>| {
            let ids: Vec<RemoteId> = world.remotes().map(|(id, _)| id).collect();
            ids.into_iter().all(|id| world.remote(id).is_connected())
        };
        assert!(self.world.run_until_true(Duration::from_secs(10), connected), "everybody connects");
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// This long before now.
    pub fn ago(&self, span: Duration) -> Instant {
        self.now().checked_sub(span).expect("every world has a past")
    }

    /// What a participant received of a track.
    ///
    /// # Panics
    /// When that is nothing.
    pub fn reception(&self, subscriber: RemoteId, published: Published) -> &Reception {
        let oracle = self.world.remote(subscriber).oracle();
        let reception = oracle.reception_of(published.source);
        reception.unwrap_or_else(|| panic!("{subscriber:?} received nothing, or in several places, of {published:?}"))
    }

    /// Packets that somebody received without a right to them, by the test's own book, and whatever was sent to who was removed.
    pub fn unauthorised(&self) -> usize {
        let counts =
            self.world.remotes().map(|(id, remote)| remote.oracle().unauthorised(id.index(), &self.permissions));
        counts.sum::<usize>() + self.world.network.sent_to_dismissed() as usize
    }

    /// The engine's figures.
    pub fn stats(&mut self) -> EngineStats {
        let now = self.world.now();
        self.world.server.stats(now)
    }

    /// The figures of one participant's transport.
    pub fn peer_stats(&mut self, id: RemoteId) -> PeerStats {
        let peer = self.seats[&id].peer;
        match self.command(Command::PeerStats { peer }) {
            Reply::PeerStats { stats } => *stats,
            other => panic!("asked for a peer's statistics, got {other:?}"),
        }
    }

    fn number(&mut self) -> u32 {
        self.next_participant += 1;
        self.next_participant
    }
}

/// Where the `number`-th participant sends from.
pub fn participant_address(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], PARTICIPANT_PORT))
}

fn make_room(server: &mut EngineServer, now: Instant) -> RoomId {
    match server.command(Command::CreateRoom, now) {
        Ok(Reply::Room { room }) => room,
        other => panic!("asked for a room, got {other:?}"),
    }
}

/// Answers every section in which the browser receives with a track to come.
fn answer_plan(local: LocalTransport, sections: &[Section]) -> AnswerPlan {
    let kinds = sections.iter().filter_map(|section| match section {
        Section::ReceiveAudio => Some(MediaKind::Audio),
        Section::ReceiveVideo => Some(MediaKind::Video),
        _ => None,
    });
    let plan = |(n, kind)| {
        let (stream, track) = (format!("stream{n}"), format!("track{n}"));
        SendPlan { kind, publisher: ParticipantId(n as u64), stream, track, mid: None }
    };
    let send = kinds.enumerate().map(plan).collect();
    AnswerPlan { local, policy: MediaPolicy::default(), send, data: true, previous: None }
}
