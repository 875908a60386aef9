//! Calls with paced media for measuring servers. `bench/README.md` explains what is measured with it.
//!
//! `bench_load load|floor|sink|flood` reads what to do as JSON from standard input (`settings.rs`) and tells of it in
//! lines of JSON on standard output.

mod arrivals;
mod clock;
mod connection;
mod flood;
mod floor;
mod histogram;
mod load;
mod packet;
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

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("load") => read().and_then(|settings| load::run(&settings)),
        Some("floor") => read().and_then(|settings| floor::run(&settings)),
        Some("sink") => read().and_then(|settings| sink::run(&settings)),
        Some("flood") => read().and_then(|settings| flood::run(&settings)),
        _ => Err("bench_load load|floor|sink|flood < SETTINGS.json".into()),
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
    Ok(serde_json::from_reader(std::io::stdin().lock())?)
}
