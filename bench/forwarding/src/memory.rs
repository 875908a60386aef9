//! What one participant of a room of three costs the engine in memory: what it allocated and did not free, after every ring
//! has filled. Measured in a process of its own, in which nothing else has run before.

use std::process::Command;
use std::time::Duration;

use crate::allocations;
use crate::engine_rows::Load;

/// The argument that turns this program into the measured process.
pub(crate) const ARGUMENT: &str = "--measure-memory";
/// Rooms of three: enough that the engine's fixed part does not count.
const ROOMS: u32 = 50;
/// Long enough that every ring is full.
const MEDIA: Duration = Duration::from_secs(5);

/// Measures in another process, in KiB per participant.
pub(crate) fn measure() -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).arg(ARGUMENT).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Measures here, and prints what [`measure`] reads.
pub(crate) fn measured() {
    let mut load = Load::rooms(ROOMS, MEDIA);
    load.run_for(MEDIA);
    println!("{}", allocations::bytes_held() as f64 / 1_024.0 / load.participants() as f64);
}
