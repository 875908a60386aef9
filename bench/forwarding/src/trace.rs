//! The trace of all that is done to an engine, so that it can be done again to another one without the simulated
//! world beside it: neither the world's memory nor its use of the caches is then part of what is measured.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sfu_core::engine::command::Command;
use sfu_core::engine::transmit::{Datagram, Sink, TransmitBatch};
use sfu_core::ids::{ParticipantId, PeerId, RoomId};
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::session::NegotiatedSession;
use sim::clock::Clock;
use sim::server::{EngineServer, KeyedPeer, Meter, Recorder};

/// The profile of the load's participants.
const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
/// Where the server listens in every world.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);
/// Datagrams that are handed over together, as `recvmmsg` does.
const BATCH: usize = 64;
/// Turns are done in one span until so many bytes have come in: looking at the clock costs as much as a few packets, and
/// disturbs more than it costs. Few enough bytes that they lie in the second-level cache, as after `recvmmsg`.
const SPAN_BYTES: usize = 128 << 10;

/// One thing that was done to an engine, and when.
pub(crate) type Entry = (Duration, Operation);

/// What was done.
#[derive(Serialize, Deserialize)]
pub(crate) enum Operation {
    /// A command.
    Command(Command),
    /// A peer with given keys was made.
    KeyedPeer {
        room: RoomId,
        participant: ParticipantId,
        address: SocketAddr,
        material: Vec<u8>,
        agreed: Box<NegotiatedSession>,
    },
    /// Datagrams came.
    Ingest(Vec<Sealed>),
    /// It was told the time, and sent what was ready.
    Turn,
    /// The last one: how many packets left the engine, which must be so again.
    End { packets: u64 },
}

/// A datagram as it came.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sealed {
    source: SocketAddr,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// Writes a trace, by giving each entry to `note`.
pub(crate) struct Writer<N> {
    start: Instant,
    note: N,
}

impl<N: FnMut(Entry)> Writer<N> {
    /// For a world that began at `start` with the one room of its meeting, made before anybody could write it down.
    pub(crate) fn new(start: Instant, note: N) -> Self {
        let mut writer = Self { start, note };
        writer.command(&Command::CreateRoom, start);
        writer
    }

    fn write(&mut self, operation: Operation, now: Instant) {
        (self.note)((now - self.start, operation));
    }
}

/// A writer into memory, and where it writes.
pub(crate) fn in_memory(start: Instant) -> (Box<dyn Recorder>, Rc<RefCell<Vec<Entry>>>) {
    let trace = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&trace);
    (Box::new(Writer::new(start, move |entry| into.borrow_mut().push(entry))), trace)
}

impl<N: FnMut(Entry)> Recorder for Writer<N> {
    fn command(&mut self, command: &Command, now: Instant) {
        self.write(Operation::Command(command.clone()), now);
    }

    fn keyed_peer(&mut self, peer: &KeyedPeer<'_>, now: Instant) {
        let KeyedPeer { room, participant, address, keys, agreed } = *peer;
        let halves = [&keys.client.key[..], &keys.server.key, &keys.client.salt, &keys.server.salt];
        let (material, agreed) = (halves.concat(), Box::new(agreed.clone()));
        self.write(Operation::KeyedPeer { room, participant, address, material, agreed }, now);
    }

    fn ingest(&mut self, batch: &[Datagram<'_>], now: Instant) {
        let sealed = batch.iter().map(|datagram| Sealed { source: datagram.source, bytes: datagram.bytes.to_vec() });
        let sealed = sealed.collect();
        self.write(Operation::Ingest(sealed), now);
    }

    fn turn(&mut self, now: Instant) {
        self.write(Operation::Turn, now);
    }
}

/// An engine to which a trace is applied.
pub(crate) struct Replay {
    server: EngineServer,
    clock: Clock,
    /// What came in since the last span, as it lies after `recvmmsg`: one datagram behind the other.
    arena: Vec<u8>,
    arrived: Vec<(SocketAddr, usize)>,
    /// The turns of the next span: when, and how many datagrams had come by then.
    turns: Vec<(Instant, usize)>,
}

impl Replay {
    /// A fresh engine with the randomness of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Clock::new();
        let server = EngineServer::new(SERVER.into(), seed, clock.now());
        Self { server, clock, arena: Vec::new(), arrived: Vec::new(), turns: Vec::new() }
    }

    /// RTP packets that left the engine so far; what still waits for its span is done first.
    pub(crate) fn packets_out(&mut self, at: Duration, meter: &mut dyn Meter) -> u64 {
        self.span(meter);
        let stats = self.server.stats(self.clock.start() + at);
        assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0), "the engine did not break");
        stats.rtp_packets_out
    }

    /// Applies one entry; turns wait until several of them make a span for `meter`.
    pub(crate) fn apply(&mut self, (at, operation): Entry, meter: &mut dyn Meter) {
        let now = self.clock.start() + at;
        match operation {
            Operation::Command(command) => {
                self.span(meter);
                meter.enter();
                self.server.command(command, now).expect("it could be done before");
                meter.leave();
            }
            Operation::KeyedPeer { room, participant, address, material, agreed } => {
                let keys = &SrtpKeys::new(PROFILE, &material).expect("the keys are whole");
                let peer = KeyedPeer { room, participant, address, keys, agreed: &agreed };
                self.span(meter);
                meter.enter();
                self.server.create_keyed_peer(&peer, now).expect("it could be made before");
                meter.leave();
            }
            Operation::Ingest(sealed) => {
                for Sealed { source, bytes } in sealed {
                    self.arena.extend_from_slice(&bytes);
                    self.arrived.push((source, bytes.len()));
                }
            }
            Operation::Turn => {
                self.turns.push((now, self.arrived.len()));
                if self.arena.len() >= SPAN_BYTES {
                    self.span(meter);
                }
            }
            Operation::End { packets } => {
                assert_eq!(self.packets_out(at, meter), packets, "the same trace has the same effect");
            }
        }
    }

    /// Does the turns that wait, in one span of `meter`. By itself, so that a profiler can tell it from the rest of the program.
    #[inline(never)]
    fn span(&mut self, meter: &mut dyn Meter) {
        let destination = SocketAddr::from(SERVER).ip();
        let mut rest = &mut self.arena[..];
        let mut datagrams = Vec::with_capacity(self.arrived.len());
        for (source, len) in self.arrived.drain(..) {
            let (bytes, tail) = rest.split_at_mut(len);
            datagrams.push(Datagram { source, destination, bytes });
            rest = tail;
        }
        let (engine, mut from) = (&mut self.server.engine, 0);
        meter.enter();
        for (now, until) in self.turns.drain(..) {
            for batch in datagrams[from..until].chunks_mut(BATCH) {
                engine.ingest(batch, now);
            }
            engine.tick(now);
            engine.flush(&mut Nothing, now);
            from = until;
        }
        meter.leave();
        assert_eq!(from, datagrams.len(), "whatever comes in is followed by a turn");
        engine.drain_events(&mut self.server.events);
        self.server.events.clear();
        self.arena.clear();
    }
}

/// Takes everything and does nothing with it.
struct Nothing;

impl Sink for Nothing {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        batch.groups.len()
    }

    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
}
