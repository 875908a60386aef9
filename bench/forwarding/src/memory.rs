//! What one participant of a room of three costs the server's process in memory, when every ring is full.
//!
//! The simulated participants must not count, so three processes do it: one simulates and writes down everything that its
//! engine is given; another, which has nothing but an engine, does the same to it and looks at its own resident set.

use std::io::{BufReader, Write};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use sim::heap::{self, OfTheEngine};
use sim::load::{Kind, Load, SEED};
use sim::server::Recorder;

use crate::engine_rows::packets_out;
use crate::trace::{Entry, Operation, Replay, Writer};

/// Arguments that turn this program into one of the other two processes.
pub(crate) const RECORD: &str = "--record";
pub(crate) const REPLAY: &str = "--replay";
/// Rooms of three: enough that the engine's fixed part does not count.
const ROOMS: u32 = 200;
/// Long enough that every ring is full.
const MEDIA: Duration = Duration::from_secs(5);

/// KiB per participant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What the process grew by.
    pub(crate) resident_kib: f64,
    /// What the engine allocated and did not free.
    pub(crate) heap_kib: f64,
}

/// Runs the two processes; `None` when one of them failed.
pub(crate) fn measure() -> Option<Memory> {
    let program = std::env::current_exe().ok()?;
    let mut recording = Process::new(&program).arg(RECORD).stdout(Stdio::piped()).spawn().ok()?;
    let trace = recording.stdout.take()?;
    let replayed = Process::new(program).arg(REPLAY).stdin(trace).output().ok()?;
    let recorded = recording.wait().ok()?;
    let text = String::from_utf8(replayed.stdout).ok().filter(|_| recorded.success() && replayed.status.success())?;
    let mut figures = text.split_whitespace().map(str::parse);
    Some(Memory { resident_kib: figures.next()?.ok()?, heap_kib: figures.next()?.ok()? })
}

/// The first process: simulates, and writes the trace to stdout.
pub(crate) fn record() {
    let mut make = |start| -> Box<dyn Recorder> { Box::new(Writer::new(start, |entry| write(&entry))) };
    let mut load = Load::new(Kind::Rooms { rooms: ROOMS }, Some(&mut make));
    load.meeting.run_for(MEDIA);
    let packets = packets_out(&mut load);
    write(&(MEDIA, Operation::End { packets }));
}

/// The second process: applies the trace to an engine, and prints what [`measure`] reads.
pub(crate) fn replay() {
    let mut trace = BufReader::new(std::io::stdin());
    let before = resident_kib();
    heap::count(true);
    let mut replay = Replay::new(SEED);
    heap::count(false);
    let mut participants = 0_u32;
    loop {
        let entry: Entry = rmp_serde::from_read(&mut trace).expect("the recording is whole");
        participants += u32::from(matches!(entry.1, Operation::KeyedPeer { .. }));
        let last = matches!(entry.1, Operation::End { .. });
        replay.apply(entry, &mut OfTheEngine);
        if last {
            break;
        }
    }
    let heap_kib = heap::held() as f64 / 1_024.0;
    let (resident, participants) = (resident_kib() - before, f64::from(participants));
    println!("{} {}", resident / participants, heap_kib / participants);
}

fn write(entry: &Entry) {
    let bytes = rmp_serde::to_vec(entry).expect("an entry can be written");
    std::io::stdout().write_all(&bytes).expect("the other process reads");
}

/// The resident set, as the kernel counts it.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN)
}
