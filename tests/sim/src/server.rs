//! The media engine in the world's hands.

use std::net::SocketAddr;
use std::time::Instant;

use sfu_core::engine::command::{Command, Refusal, Reply};
use sfu_core::engine::event::Event;
use sfu_core::engine::transmit::{Datagram, Frame, RelayNotice, Sink, TransmitBatch};
use sfu_core::engine::{Engine, EngineConfig};
use sfu_core::ids::{ParticipantId, PeerId, RelayId, RoomId};
use sfu_core::peer::TransportConfig;
use sfu_core::peer::dtls::{DtlsVersions, Identity};
use sfu_core::peer::srtp::SrtpKeys;
use sfu_core::session::NegotiatedSession;
use sfu_core::stats::EngineStats;
use sfu_core::units::{Bitrate, Epoch, NtpTime};

use crate::random::Random;
use crate::world::Server;

/// Wall clock at the start of every world: 2026-01-01 in seconds since 1900.
const NTP_AT_START: u64 = 3_976_214_400;
/// What a downlink is taken to carry at first: what a video call needs, as configured in the field.
const INITIAL_BITRATE: Bitrate = Bitrate::kbps(3_000);

/// Told when the engine begins to work on datagrams and time, and when it is done: a bench looks at its clocks then.
pub trait Meter {
    /// The engine works from here on.
    fn enter(&mut self);
    /// The engine is done.
    fn leave(&mut self);
}

/// Told everything the engine is given, in order: enough to do the same to another engine.
pub trait Recorder {
    /// A command.
    fn command(&mut self, command: &Command, now: Instant);
    /// A peer with given keys.
    fn keyed_peer(&mut self, peer: &KeyedPeer<'_>, now: Instant);
    /// Datagrams, still sealed.
    fn ingest(&mut self, batch: &[Datagram<'_>], now: Instant);
    /// Time, and then a flush.
    fn turn(&mut self, now: Instant);
}

/// What a peer with given keys is made of.
#[derive(Debug, Clone, Copy)]
pub struct KeyedPeer<'a> {
    /// In which room.
    pub room: RoomId,
    /// Whose.
    pub participant: ParticipantId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its keys; it is the DTLS client.
    pub keys: &'a SrtpKeys,
    /// What was agreed on with it.
    pub agreed: &'a NegotiatedSession,
}

/// An engine, and everything it told.
pub struct EngineServer {
    /// The engine.
    pub engine: Engine,
    /// Who wants to know when it works.
    pub meter: Option<Box<dyn Meter>>,
    /// Who wants to know what it is given.
    pub recorder: Option<Box<dyn Recorder>>,
    /// All events so far.
    pub events: Vec<Event>,
    /// What ends of relays said to the other ends and nobody has carried there.
    pub relayed: Vec<(RelayId, Said)>,
    /// What the other ends of relays are to be told first.
    pub notices: Vec<RelayNotice>,
}

/// A frame of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// [`Frame::Rtp`]
    Rtp(Vec<u8>),
    /// [`Frame::Rtcp`]
    Rtcp(Vec<u8>),
    /// [`Frame::Feedback`]
    Feedback(Vec<u8>),
}

impl Said {
    /// As the engine takes it.
    pub fn frame(&self) -> Frame<'_> {
        match self {
            Self::Rtp(bytes) => Frame::Rtp(bytes),
            Self::Rtcp(bytes) => Frame::Rtcp(bytes),
            Self::Feedback(bytes) => Frame::Feedback(bytes),
        }
    }
}

impl From<Frame<'_>> for Said {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Rtp(bytes) => Self::Rtp(bytes.to_vec()),
            Frame::Rtcp(bytes) => Self::Rtcp(bytes.to_vec()),
            Frame::Feedback(bytes) => Self::Feedback(bytes.to_vec()),
        }
    }
}

impl EngineServer {
    /// An engine whose randomness follows from `seed`, told to be reached at `address`.
    pub fn new(address: SocketAddr, seed: u64, now: Instant) -> Self {
        Self::speaking(DtlsVersions::Only12, address, seed, now)
    }

    /// The same with a choice of what DTLS it speaks.
    pub fn speaking(dtls: DtlsVersions, address: SocketAddr, seed: u64, now: Instant) -> Self {
        let engine = Engine::new(config(dtls, address, seed, now), now);
        Self { engine, meter: None, recorder: None, events: Vec::new(), relayed: Vec::new(), notices: Vec::new() }
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// The engine's refusal.
    pub fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
        if let Some(recorder) = &mut self.recorder {
            recorder.command(&command, now);
        }
        enter(&mut self.meter);
        let reply = self.engine.command(command, now);
        leave(&mut self.meter);
        self.drain();
        reply
    }

    /// Makes a peer whose keys are given, connected from the start.
    ///
    /// # Errors
    /// The engine's refusal.
    pub fn create_keyed_peer(&mut self, peer: &KeyedPeer<'_>, now: Instant) -> Result<PeerId, Refusal> {
        if let Some(recorder) = &mut self.recorder {
            recorder.keyed_peer(peer, now);
        }
        let KeyedPeer { room, participant, address, keys, agreed } = *peer;
        enter(&mut self.meter);
        let peer = self.engine.create_keyed_peer(room, participant, address, keys, agreed, now);
        leave(&mut self.meter);
        peer
    }

    /// Takes what another end of a relay said.
    pub fn ingest_relay(&mut self, relay: RelayId, said: &Said, now: Instant) {
        enter(&mut self.meter);
        self.engine.ingest_relay(relay, said.frame(), now);
        leave(&mut self.meter);
    }

    /// What happened, and what the other ends of relays are to be told before anything that follows.
    fn drain(&mut self) {
        self.engine.drain_events(&mut self.events);
        let told = self.notices.len();
        self.engine.drain_relay_notices(&mut self.notices);
        for notice in &self.notices[told..] {
            let (RelayNotice::Cut(ended) | RelayNotice::Closed(ended, _)) = notice;
            self.relayed.retain(|(relay, _)| relay != ended);
        }
    }

    /// The engine's figures.
    pub fn stats(&mut self, now: Instant) -> EngineStats {
        match self.command(Command::Stats, now) {
            Ok(Reply::Stats { stats }) => *stats,
            other => panic!("asked for statistics, got {other:?}"),
        }
    }
}

impl Server for EngineServer {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.ingest(batch, now);
        }
        enter(&mut self.meter);
        self.engine.ingest(batch, now);
        leave(&mut self.meter);
    }

    fn tick(&mut self, now: Instant) -> Instant {
        if let Some(recorder) = &mut self.recorder {
            recorder.turn(now);
        }
        enter(&mut self.meter);
        let due = self.engine.tick(now);
        leave(&mut self.meter);
        self.drain();
        due
    }

    fn flush(&mut self, sink: &mut dyn Sink, now: Instant) {
        enter(&mut self.meter);
        self.engine.flush(&mut Pausing { meter: &mut self.meter, relayed: &mut self.relayed, sink }, now);
        leave(&mut self.meter);
        self.drain();
    }
}

/// A sink that does not count as the engine's work.
struct Pausing<'a> {
    meter: &'a mut Option<Box<dyn Meter>>,
    relayed: &'a mut Vec<(RelayId, Said)>,
    sink: &'a mut dyn Sink,
}

impl Sink for Pausing<'_> {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        leave(self.meter);
        let taken = self.sink.transmit(batch);
        enter(self.meter);
        taken
    }

    fn deliver(&mut self, bot: PeerId, packet: &[u8]) {
        leave(self.meter);
        self.sink.deliver(bot, packet);
        enter(self.meter);
    }

    fn relay(&mut self, relay: RelayId, frame: Frame<'_>) {
        leave(self.meter);
        self.relayed.push((relay, frame.into()));
        enter(self.meter);
    }
}

fn enter(meter: &mut Option<Box<dyn Meter>>) {
    if let Some(meter) = meter {
        meter.enter();
    }
}

fn leave(meter: &mut Option<Box<dyn Meter>>) {
    if let Some(meter) = meter {
        meter.leave();
    }
}

impl std::fmt::Debug for EngineServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineServer").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

/// The only place that says what an engine is made with.
fn config(dtls: DtlsVersions, address: SocketAddr, seed: u64, now: Instant) -> EngineConfig {
    let identity = Identity::generate(dtls).expect("the library makes certificates");
    EngineConfig {
        transport: TransportConfig { identity, candidates: vec![address], check_signalled: false, aead_only: false },
        epoch: Epoch { instant: now, ntp: NtpTime(NTP_AT_START << 32) },
        seed: Random::new(seed).bytes(),
        initial_bitrate: INITIAL_BITRATE,
    }
}
