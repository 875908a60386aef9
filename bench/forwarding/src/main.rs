//! Nanoseconds of CPU per forwarded packet. `README.md` beside this folder explains every row.
//!
//! Prints `name value unit` lines on stdout, and with a path as argument writes the same with all samples as JSON. The rows
//! take turns, so that a change of the machine's mood hits all of them.

mod cpu;
mod floor;
mod gcm128;
mod report;
mod shape;
mod str0m_rows;

use std::process::ExitCode;

use sim::random::Random;

use crate::floor::Floor;
use crate::report::Row;
use crate::str0m_rows::Str0m;

/// Samples of each row; `--runs` takes another number.
const DEFAULT_RUNS: usize = 7;
/// Same load in every run of the program.
const SEED: u64 = 1;

/// One row: its name and what takes a sample of it.
type Sampler = (Row, Box<dyn FnMut() -> f64>);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut runs, mut path) = (DEFAULT_RUNS, None);
    while let Some(argument) = arguments.next() {
        if argument == "--runs" {
            let Some(number) = arguments.next().and_then(|number| number.parse().ok()) else {
                eprintln!("--runs takes a number");
                return ExitCode::FAILURE;
            };
            runs = number;
        } else {
            path = Some(argument);
        }
    }
    let rows = measure(runs);
    print!("{}", report::lines(&rows));
    if let Some(path) = path
        && let Err(error) = std::fs::write(&path, report::json(&rows, &machine()))
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(runs: usize) -> Vec<Row> {
    let mut samplers = samplers();
    for _ in 0..runs {
        for (row, sample) in &mut samplers {
            row.samples.push(sample());
        }
    }
    samplers.into_iter().map(|(row, _)| row).collect()
}

fn samplers() -> Vec<Sampler> {
    let mut floor = Floor::new(Random::new(SEED));
    let mut samplers: Vec<Sampler> = vec![(per_packet(report::FLOOR), Box::new(move || floor.run()))];
    for (name, tracks) in
        [("engine/str0m-1-stream", 1), ("engine/str0m-10-streams", 10), ("engine/str0m-50-streams", 50)]
    {
        let mut str0m = Str0m::warmed_up(tracks);
        samplers.push((per_packet(name), Box::new(move || str0m.run())));
    }
    samplers
}

const fn per_packet(name: &'static str) -> Row {
    Row::new(name, "ns/packet")
}

/// The processor, as the kernel names it.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores")
}
