//! The engine: everything between a received datagram and the datagrams it causes, without a socket, clock or thread.
//!
//! One worker owns one engine and calls it in a fixed order: [`ingest`](Engine::ingest) a batch of datagrams,
//! [`command`](Engine::command) what the outside asked, [`tick`](Engine::tick) to do what is due, [`flush`](Engine::flush) to
//! send what has become ready, [`drain_events`](Engine::drain_events) to tell the outside. The way of one packet is
//! `engine/path.rs`.

pub mod command;
pub mod event;
pub mod transmit;

mod allocate;
mod apply;
mod batch;
#[cfg(feature = "breakable")]
mod breakable;
mod ceiling;
mod control;
mod data;
mod entropy;
mod feedback;
mod flow;
mod flush;
mod hearing;
mod inbound;
mod ingest;
mod intake;
mod joining;
#[cfg(any(test, feature = "simulation"))]
mod keyed;
mod lookahead;
mod member;
mod outbound;
mod path;
mod pending;
mod probe;
pub mod relay;
mod report;
mod room;
mod rtcp_queue;
mod seal;
mod send_track;
mod snapshot;
mod subscribe;
mod timers;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::bwe::history::{Acknowledged, MAX_ACKNOWLEDGED};
use crate::demux::{Demux, UfragKey};
use crate::forward::router::Track;
use crate::gate::Gate;
use crate::gate::data_witness::DataWitness;
use crate::gate::witness::{MAX_COLUMNS, MAX_ROWS, Witness};
use crate::ids::{PeerId, RoomId, TrackId};
use crate::peer::TransportConfig;
use crate::slots::Slots;
use crate::stats::EngineStats;
use crate::units::{Bitrate, Epoch};

use batch::BatchWriter;
use command::{Command, Refusal, Reply};
use entropy::Entropy;
use event::Event;
use hearing::{Heard, Hearing};
use lookahead::FOR_REPORTS;
use member::Member;
use pending::Pending;
use room::Room;
use timers::{Due, Timers};
use transmit::{Datagram, Sink};

pub use inbound::{MAX_SOURCES, MAX_TRACKS_PER_PEER};
pub use outbound::MAX_SUBSCRIPTIONS_PER_PEER;

/// Rooms one engine holds: ten times the hospital's load.
pub const MAX_ROOMS: usize = 4_096;
/// Peers one engine holds: each takes about 150 KiB with its rings (`bench/README.md`).
pub const MAX_PEERS: usize = 16_384;
/// Tracks one engine holds: a camera and a microphone of everyone, or a few with screens and many who only watch.
pub const MAX_TRACKS: usize = 2 * MAX_PEERS;
/// Peers one room holds.
pub const MAX_PEERS_PER_ROOM: usize = 2_000;
/// Bots one engine holds: each may have 2 MB waiting in its rings.
pub const MAX_BOTS: usize = 512;
/// Events that wait to be drained; the rim drains after every turn, so this is reached only by a bug.
pub const MAX_EVENTS: usize = 65_536;

const _: () = assert!(MAX_TRACKS <= MAX_ROWS && MAX_PEERS <= MAX_COLUMNS, "the witness has a place for everyone");

/// What an engine is made with.
pub struct EngineConfig {
    /// Certificate, announced addresses, DTLS versions.
    pub transport: TransportConfig,
    /// Ties the monotonic clock to the wall clock.
    pub epoch: Epoch,
    /// All randomness of the engine.
    pub seed: [u8; 32],
    /// What a downlink is taken to carry before anything is known of it.
    pub initial_bitrate: Bitrate,
}

/// The media engine of one worker.
pub struct Engine {
    transport: TransportConfig,
    epoch: Epoch,
    entropy: Entropy,
    initial_bitrate: Bitrate,
    demux: Demux,
    rooms: Slots<RoomId, Room>,
    peers: Slots<PeerId, Member>,
    tracks: Slots<TrackId, Track>,
    /// How many of the peers are bots.
    bots: usize,
    relays: relay::Relays,
    gate: Gate,
    witness: Witness,
    data_witness: DataWitness,
    /// What both are told.
    hearing: Hearing,
    timers: Timers,
    /// Scratch of [`tick`](Self::tick).
    due: Due,
    /// Scratch of [`ingest`](Self::ingest).
    runs: Vec<ingest::Run>,
    pending: Pending,
    /// Scratch of [`flush`](Self::flush): those that are served in this turn.
    flushing: Vec<PeerId>,
    writer: BatchWriter,
    /// Peers with DTLS handshake work, first come first served.
    handshakes: std::collections::VecDeque<PeerId>,
    scratch: Vec<u8>,
    /// Scratch of transport-wide feedback.
    acknowledged: Vec<Acknowledged>,
    events: Vec<Event>,
    /// Events were dropped because nobody drained.
    events_lost: bool,
    version: u64,
    stats: EngineStats,
    /// Whose work is being done: if it panics, that room ends.
    serving: Served,
    /// Whose work broke last.
    blamed: Served,
    /// Whether the caches are told what comes next.
    looks_ahead: bool,
    /// For whom the engine breaks, as a bug of ours would make it.
    #[cfg(test)]
    broken_for: Option<Served>,
    /// Of whom nothing can be fetched ahead without breaking.
    #[cfg(test)]
    broken_ahead: Option<PeerId>,
}

/// Whose work is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// Nobody's in particular.
    Nobody,
    /// One peer's.
    Peer(PeerId),
    /// Something that concerns a whole room, or a peer of it that may be gone when it is done.
    Room(RoomId),
}

impl Engine {
    /// An engine without rooms.
    pub fn new(config: EngineConfig, _now: Instant) -> Self {
        let mut entropy = Entropy::new(&config.seed);
        let bytes = entropy.bytes();
        let key = std::array::from_fn(|n| bytes[n]);
        Self {
            transport: config.transport,
            epoch: config.epoch,
            entropy,
            initial_bitrate: config.initial_bitrate,
            demux: Demux::new(UfragKey::new(key)),
            rooms: Slots::with_cap(MAX_ROOMS),
            peers: Slots::with_cap(MAX_PEERS),
            tracks: Slots::with_cap(MAX_TRACKS),
            bots: 0,
            relays: relay::Relays::default(),
            gate: Gate::default(),
            witness: Witness::default(),
            data_witness: DataWitness::default(),
            hearing: Hearing::default(),
            timers: Timers::default(),
            due: Due::default(),
            runs: Vec::with_capacity(ingest::MAX_TOGETHER),
            pending: Pending::new(),
            flushing: Vec::new(),
            writer: BatchWriter::new(),
            handshakes: std::collections::VecDeque::new(),
            scratch: vec![0; batch::MAX_DATAGRAM],
            acknowledged: Vec::with_capacity(MAX_ACKNOWLEDGED),
            events: Vec::new(),
            events_lost: false,
            version: 0,
            stats: EngineStats::default(),
            serving: Served::Nobody,
            blamed: Served::Nobody,
            looks_ahead: true,
            #[cfg(test)]
            broken_for: None,
            #[cfg(test)]
            broken_ahead: None,
        }
    }

    /// Takes in what the network brought. Each datagram is decrypted in place.
    pub fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        for part in batch.chunks_mut(ingest::MAX_TOGETHER) {
            ingest::ingest(self, part, now);
        }
    }

    /// Takes in a clear RTP packet from a bot of this process.
    pub fn ingest_bot(&mut self, bot: PeerId, packet: &[u8], now: Instant) {
        if self.peers.find(bot).is_some_and(|member| member.peer().is_none()) {
            self.guarded(|engine| {
                engine.serve(Served::Peer(bot));
                path::on_rtp(engine, bot, packet, now);
            });
        }
    }

    /// Carries out a command, or says why not; a refused command changed nothing.
    ///
    /// # Errors
    /// [`Refusal`] says who is at fault and what to do.
    pub fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
        let concerned = apply::room_of(self, &command).map_or(Served::Nobody, Served::Room);
        let heard = Heard::of(&command);
        let carry_out = |engine: &mut Self| {
            engine.serve(concerned);
            apply::apply(engine, command, now)
        };
        let answer = self.guarded(carry_out).unwrap_or(Err(Refusal::RoomFailed));
        self.hearing.hear(heard, &answer, (&mut self.witness, &mut self.data_witness));
        answer
    }

    /// Does what has come due and says when there is something to do next.
    pub fn tick(&mut self, now: Instant) -> Instant {
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        let peers = &self.peers;
        let armed = peers.iter().filter_map(|(id, member)| Some((member.armed?, id)));
        self.timers.begin_turn(peers.len(), armed, &mut due, now);
        if !self.handshakes.is_empty() {
            self.guarded(|engine| control::advance_handshakes(engine, now));
        }
        let mut places = 0..due.peers.len();
        while self.guarded(|engine| engine.work_due(&mut due, &mut places, now)).is_none() {}
        self.due = due;
        flush::next_deadline(self, now)
    }

    /// Sends what is ready, destination after destination.
    pub fn flush(&mut self, sink: &mut dyn Sink, now: Instant) {
        let idle = self.pending.is_empty() || self.pending.is_idle(self.epoch.nanos_at(now));
        if idle && self.writer.is_empty() {
            return; // as in most turns
        }
        while self.guarded(|engine| flush::flush(engine, sink, now)).is_none() {
            // What the others get leaves before anyone else is served, who would be blamed if it cannot.
            let whose = self.blamed;
            if whose == Served::Nobody || self.guarded(|engine| flush::transmit(engine, sink)).is_none() {
                // It would break again: what was about to leave is lost, and the next turn goes on.
                return self.writer.clear();
            }
        }
    }

    /// Moves what happened to `into`.
    pub fn drain_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.events);
        if std::mem::take(&mut self.events_lost) {
            into.push(Event::Resync { version: self.version });
        }
    }

    /// Rises with every event that a reader must not miss.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn work_due(&mut self, due: &mut Due, places: &mut Range<usize>, now: Instant) {
        for place in places {
            FOR_REPORTS.advance(self, &mut due.peers, place);
            let (id, at) = (due.peers[place], due.deadlines[place]);
            let Some(member) = self.peers.find_mut(id) else { continue };
            if member.armed != Some(at) {
                continue;
            }
            member.armed = None;
            self.serve(Served::Peer(id));
            control::on_timeout(self, id, now);
            report::on_timeout(self, id, now);
            flow::on_timeout(self, id, now);
            self.arm(id);
        }
    }

    /// Runs `work`; if it panics, that is a bug of ours, and only the room being served ends. `None` says that it did.
    fn guarded<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> Option<R> {
        self.serving = Served::Nobody;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self)));
        if outcome.is_err() {
            self.blamed = std::mem::replace(&mut self.serving, Served::Nobody);
            apply::fail_room(self, self.blamed);
        }
        outcome.ok()
    }

    /// Has the caches fetch what comes next. A bug of ours in it is counted and is nobody's end: from then on it is left out.
    #[inline]
    pub(crate) fn look_ahead(&mut self, fetch: impl FnOnce(&Self)) {
        if self.looks_ahead && catch_unwind(AssertUnwindSafe(|| fetch(self))).is_err() {
            self.stats.panics += 1;
            self.looks_ahead = false;
        }
    }

    /// From here on the work is `whose`: a bug of ours in it ends that room and no other.
    #[inline]
    pub(crate) fn serve(&mut self, whose: Served) {
        self.serving = whose;
        #[cfg(test)]
        assert!(self.broken_for != Some(whose), "the test wants the engine to break for {whose:?}");
    }

    pub(crate) fn arm(&mut self, id: PeerId) {
        if let Some(member) = self.peers.find_mut(id) {
            let at = member.next_deadline();
            self.timers.arm(id, &mut member.armed, at);
        }
    }

    pub(crate) fn emit(&mut self, event: Event) {
        if !event.is_level() {
            self.version += 1;
        }
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        } else {
            self.events_lost = true;
        }
    }
}

#[cfg(test)]
mod tests;
