//! Calls with paced media for measuring servers. `bench/README.md` explains what is measured with it.
//!
//! `bench_load load|floor|sink|flood SECONDS` reads what to do as JSON from standard input (`settings.rs`) and tells of it
//! in lines of JSON on standard output. After so many seconds it ends, whatever happens.

mod arrivals;
mod clock;
mod connection;
mod ending;
mod flood;
mod floor;
mod gaps;
mod histogram;
mod latest;
mod load;
mod packet;
mod random;
mod reception;
mod report;
mod settings;
mod shape;
mod signalling;
mod sink;
mod socket;
mod tally;
mod timetable;
mod transport;

use std::process::ExitCode;

use crate::signalling::Failure;

/// Longest run of somebody who names none.
const DEFAULT_LIMIT_S: u32 = 60;

fn main() -> ExitCode {
    let limit_s = std::env::args().nth(2).and_then(|seconds| seconds.parse().ok()).unwrap_or(DEFAULT_LIMIT_S);
    // SAFETY: this call takes a number; the signal ends the process.
    unsafe { libc::alarm(limit_s) };
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("load") => read().and_then(|settings| load::run(&settings)),
        Some("floor") => read().and_then(|settings| floor::run(&settings)),
        Some("sink") => read().and_then(|settings| sink::run(&settings)),
        Some("flood") => read().and_then(|settings| flood::run(&settings)),
        _ => Err("bench_load load|floor|sink|flood SECONDS < SETTINGS.json".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read<T: serde::de::DeserializeOwned>() -> Result<T, Failure> {
    // Not to the end of it: that may be told later (`ending.rs`).
    Ok(T::deserialize(&mut serde_json::Deserializer::from_reader(std::io::stdin().lock()))?)
}
