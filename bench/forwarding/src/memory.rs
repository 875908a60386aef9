//! What one participant of a room of three costs the server's process in memory, when every ring is full.
//!
//! The simulated participants must not count, so three processes do it: one simulates and writes down everything that its
//! engine is given; another, which has nothing but an engine, does the same to it and looks at its own resident set.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sfu_core::engine::command::Command;
use sfu_core::engine::transmit::{Datagram, Sink, TransmitBatch};
use sfu_core::ids::{ParticipantId, PeerId, RoomId};
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::session::NegotiatedSession;
use sim::clock::Clock;
use sim::server::{EngineServer, KeyedPeer, Meter, Recorder};
use sim::world::Server;

use crate::allocations;
use crate::engine_rows::Load;

/// Arguments that turn this program into one of the other two processes.
pub(crate) const RECORD: &str = "--record";
pub(crate) const REPLAY: &str = "--replay";
/// Rooms of three: enough that the engine's fixed part does not count.
const ROOMS: u32 = 50;
/// Long enough that every ring is full.
const MEDIA: Duration = Duration::from_secs(5);
/// The seed of the load's engine, so that it chooses the same numbers.
const SEED: u64 = crate::engine_rows::SEED;
/// The profile of the load's participants.
const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
/// Where the server listens in every world.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);

/// KiB per participant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What the process grew by.
    pub(crate) resident_kib: f64,
    /// What the engine allocated and did not free.
    pub(crate) heap_kib: f64,
}

/// One thing that was done to the engine.
#[derive(Serialize, Deserialize)]
enum Deed {
    Command(Command),
    KeyedPeer {
        room: RoomId,
        participant: ParticipantId,
        address: SocketAddr,
        material: Vec<u8>,
        agreed: Box<NegotiatedSession>,
    },
    Ingest(Vec<Sealed>),
    Turn,
    /// The last one: how many packets left the engine, which must be so again.
    End {
        packets: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    source: SocketAddr,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// Runs the two processes; `None` when one of them failed.
pub(crate) fn measure() -> Option<Memory> {
    let program = std::env::current_exe().ok()?;
    let mut recording = Process::new(&program).arg(RECORD).stdout(Stdio::piped()).spawn().ok()?;
    let deeds = recording.stdout.take()?;
    let replayed = Process::new(program).arg(REPLAY).stdin(deeds).output().ok()?;
    let recorded = recording.wait().ok()?;
    let text = String::from_utf8(replayed.stdout).ok().filter(|_| recorded.success() && replayed.status.success())?;
    let mut figures = text.split_whitespace().map(str::parse);
    Some(Memory { resident_kib: figures.next()?.ok()?, heap_kib: figures.next()?.ok()? })
}

/// The first process: simulates, and writes all deeds to stdout.
pub(crate) fn record() {
    let writer = |start| -> Option<Box<dyn Recorder>> {
        let mut writer = Writer { start, out: std::io::stdout() };
        // Every meeting begins with a room, before anybody records.
        writer.command(&Command::CreateRoom, start);
        Some(Box::new(writer))
    };
    let mut load = Load::rooms(ROOMS, MEDIA, writer);
    load.run_for(MEDIA);
    let packets = load.packets_out();
    write(&mut std::io::stdout(), Duration::ZERO, &Deed::End { packets });
}

/// The second process: does all deeds to an engine, and prints what [`measure`] reads.
pub(crate) fn replay() {
    let mut deeds = BufReader::new(std::io::stdin());
    let clock = Clock::new();
    let before = resident_kib();
    allocations::count(true);
    let mut server = EngineServer::new(SERVER.into(), SEED, clock.now());
    allocations::count(false);
    server.meter = Some(Box::new(CountAllocations));
    let mut participants = 0_u32;
    loop {
        let (at, deed): (Duration, Deed) = rmp_serde::from_read(&mut deeds).expect("the recording is whole");
        participants += u32::from(matches!(deed, Deed::KeyedPeer { .. }));
        if let Deed::End { packets } = deed {
            let repeated = server.stats(clock.start() + at).rtp_packets_out;
            assert_eq!(repeated, packets, "the same deeds have the same effect");
            break;
        }
        repeat(&mut server, deed, clock.start() + at);
    }
    let heap_kib = allocations::bytes_held() as f64 / 1_024.0;
    let (resident, participants) = (resident_kib() - before, f64::from(participants));
    println!("{} {}", resident / participants, heap_kib / participants);
}

fn repeat(server: &mut EngineServer, deed: Deed, now: Instant) {
    match deed {
        Deed::Command(command) => {
            server.command(command, now).expect("it could be done before");
        }
        Deed::KeyedPeer { room, participant, address, material, agreed } => {
            let keys = &SrtpKeys::new(PROFILE, &material).expect("the keys are whole");
            let peer = KeyedPeer { room, participant, address, keys, agreed: &agreed };
            server.create_keyed_peer(&peer, now).expect("it could be made before");
        }
        Deed::Ingest(mut sealed) => {
            let destination = SocketAddr::from(SERVER).ip();
            let mut batch: Vec<Datagram<'_>> = sealed
                .iter_mut()
                .map(|Sealed { source, bytes }| Datagram { source: *source, destination, bytes })
                .collect();
            server.ingest(&mut batch, now);
        }
        Deed::Turn => {
            server.tick(now);
            server.flush(&mut Nothing, now);
            server.events.clear();
        }
        Deed::End { .. } => {}
    }
}

/// Counts what the engine allocates, and nothing else.
struct CountAllocations;

impl Meter for CountAllocations {
    fn enter(&mut self) {
        allocations::count(true);
    }

    fn leave(&mut self) {
        allocations::count(false);
    }
}

/// Writes deeds down.
struct Writer {
    start: Instant,
    out: std::io::Stdout,
}

impl Writer {
    fn note(&mut self, deed: &Deed, now: Instant) {
        write(&mut self.out, now - self.start, deed);
    }
}

impl Recorder for Writer {
    fn command(&mut self, command: &Command, now: Instant) {
        self.note(&Deed::Command(command.clone()), now);
    }

    fn keyed_peer(&mut self, peer: &KeyedPeer<'_>, now: Instant) {
        let KeyedPeer { room, participant, address, keys, agreed } = *peer;
        let halves = [&keys.client.key[..], &keys.server.key, &keys.client.salt, &keys.server.salt];
        let (material, agreed) = (halves.concat(), Box::new(agreed.clone()));
        self.note(&Deed::KeyedPeer { room, participant, address, material, agreed }, now);
    }

    fn ingest(&mut self, batch: &[Datagram<'_>], now: Instant) {
        let sealed = batch.iter().map(|datagram| Sealed { source: datagram.source, bytes: datagram.bytes.to_vec() });
        let sealed = sealed.collect();
        self.note(&Deed::Ingest(sealed), now);
    }

    fn turn(&mut self, now: Instant) {
        self.note(&Deed::Turn, now);
    }
}

fn write(out: &mut std::io::Stdout, at: Duration, deed: &Deed) {
    let bytes = rmp_serde::to_vec(&(at, deed)).expect("a deed can be written");
    out.write_all(&bytes).expect("the other process reads");
}

/// Takes everything and does nothing with it.
struct Nothing;

impl Sink for Nothing {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        batch.groups.len()
    }

    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
}

/// The resident set, as the kernel counts it.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN)
}
