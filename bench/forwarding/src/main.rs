//! Nanoseconds of CPU per forwarded packet. `README.md` beside this folder explains every row.
//!
//! Prints `name value unit` lines on stdout, and with `--json FILE` writes the same with all samples as JSON. The rows
//! take turns, so that a change of the machine's mood hits all of them.

mod cpu;
mod engine_rows;
mod floor;
mod gcm128;
mod handshakes;
mod memory;
mod report;
mod shape;
mod str0m_rows;
mod trace;

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use mimalloc::MiMalloc;
use sim::heap::Counting;
use sim::load::Kind;
use sim::random::Random;

use crate::floor::Floor;
use crate::memory::Memory;
use crate::report::Row;
use crate::str0m_rows::Str0m;

/// That of the compiled module.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

/// Samples of each row; `--runs` takes another number.
const DEFAULT_RUNS: usize = 7;
/// Same load in every run of the program.
const SEED: u64 = 1;
const VIDEO: &str = "engine/video-1x50";
const ALLOCATIONS: &str = "engine/allocations-per-packet";
const HANDSHAKES: &str = "engine/handshake-turn";
const RESIDENT: &str = "engine/rss-per-participant-3-party";
const HEAP: &str = "engine/heap-per-participant-3-party";

/// What the program was asked for.
struct Arguments {
    runs: usize,
    /// Rows whose name contains this.
    only: String,
    /// Where the JSON goes.
    path: Option<String>,
}

/// One row of nanoseconds: its name and what takes a sample of it, and rows that the load itself says.
struct Sampler {
    row: Row,
    beside: Vec<Row>,
    sample: Box<dyn FnMut() -> f64>,
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(memory::RECORD) => {
            memory::record();
            return ExitCode::SUCCESS;
        }
        Some(memory::REPLAY) => {
            memory::replay();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let Some(arguments) = read_arguments() else {
        eprintln!("bench_forwarding [--runs NUMBER] [--only PART-OF-A-NAME] [--json FILE]");
        return ExitCode::FAILURE;
    };
    let rows = measure(&arguments);
    print!("{}", report::lines(&rows));
    if let Some(path) = &arguments.path
        && let Err(error) = std::fs::write(path, report::json(&rows, &machine()))
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    let allocates = rows.iter().any(|row| row.name == ALLOCATIONS && row.median() > 0.0);
    if allocates {
        eprintln!("the engine allocates per packet");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn read_arguments() -> Option<Arguments> {
    let mut arguments = Arguments { runs: DEFAULT_RUNS, only: String::new(), path: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--runs" => arguments.runs = given.next()?.parse().ok()?,
            "--only" => arguments.only = given.next()?,
            "--json" => arguments.path = Some(given.next()?),
            _ => return None,
        }
    }
    Some(arguments)
}

/// Takes one sample of every row in turn, again and again.
fn measure(arguments: &Arguments) -> Vec<Row> {
    let wanted = |name: &str| name.contains(&arguments.only);
    let allocations = Rc::new(Cell::new(0.0));
    let mut samplers = samplers(&wanted, arguments.runs, &allocations);
    for _ in 0..arguments.runs {
        for Sampler { row, sample, .. } in &mut samplers {
            row.samples.push(sample());
        }
    }
    let all = samplers.into_iter().flat_map(|sampler| std::iter::once(sampler.row).chain(sampler.beside));
    let mut rows: Vec<Row> = all.collect();
    if rows.iter().any(|row| row.name == VIDEO) {
        rows.push(Row { samples: vec![allocations.get()], ..Row::new(ALLOCATIONS, "allocations/packet") });
    }
    if wanted(HANDSHAKES) {
        let turns: Vec<handshakes::Turns> = (0..arguments.runs).map(|_| handshakes::run()).collect();
        let row = |name, of: fn(&handshakes::Turns) -> f64| Row {
            samples: turns.iter().map(of).collect(),
            ..Row::new(name, "us")
        };
        rows.push(row(HANDSHAKES.to_owned(), |turns| turns.median));
        rows.push(row(format!("{HANDSHAKES}/longest"), |turns| turns.longest));
    }
    if wanted(RESIDENT) || wanted(HEAP) {
        let memory: Vec<Memory> = memory::measure().into_iter().collect();
        let resident = memory.iter().map(|memory| memory.resident_kib).collect();
        rows.push(Row { samples: resident, ..Row::new(RESIDENT, "KiB") });
        rows.push(Row { samples: memory.iter().map(|memory| memory.heap_kib).collect(), ..Row::new(HEAP, "KiB") });
    }
    rows
}

/// `allocations` becomes the most that any sample of [`VIDEO`] allocated per packet.
fn samplers(wanted: &dyn Fn(&str) -> bool, runs: usize, allocations: &Rc<Cell<f64>>) -> Vec<Sampler> {
    let mut floor = Floor::new(Random::new(SEED));
    let mut samplers = vec![Sampler::alone(report::FLOOR, move || floor.run())];
    for (name, tracks) in
        [("engine/str0m-1-stream", 1), ("engine/str0m-10-streams", 10), ("engine/str0m-50-streams", 50)]
    {
        if wanted(name) {
            let mut str0m = Str0m::warmed_up(tracks);
            samplers.push(Sampler::alone(name, move || str0m.run()));
        }
    }
    let loads = [
        (VIDEO, Kind::Video { tracks: 1 }),
        ("engine/video-1x50-10-streams", Kind::Video { tracks: 10 }),
        ("engine/video-1x50-50-streams", Kind::Video { tracks: 50 }),
        ("engine/audio-1x100", Kind::Audio),
        ("engine/rooms-10x3", Kind::Rooms { rooms: 10 }),
        ("engine/rooms-200x3", Kind::Rooms { rooms: 200 }),
    ];
    for (name, kind) in loads.into_iter().filter(|(name, _)| wanted(name)) {
        let (mut load, allocations) = (engine_rows::Row::warmed_up(kind, runs), Rc::clone(allocations));
        let delays = load.added_delays();
        let row = |(ending, us)| Row { samples: vec![us], ..Row::new(format!("{name}/{ending}"), "us") };
        let beside = delays.into_iter().map(row).collect();
        let sample = move || {
            let sample = load.run();
            if name == VIDEO {
                allocations.set(sample.allocations_per_packet.max(allocations.get()));
            }
            sample.ns_per_packet
        };
        samplers.push(Sampler { beside, ..Sampler::alone(name, sample) });
    }
    samplers
}

impl Sampler {
    fn alone(name: &str, sample: impl FnMut() -> f64 + 'static) -> Self {
        Self { row: Row::new(name, report::PER_PACKET), beside: Vec::new(), sample: Box::new(sample) }
    }
}

/// The processor, as the kernel names it.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores")
}
