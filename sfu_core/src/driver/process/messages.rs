//! What crosses the control socket beside requests, notes and what workers say: how control is taken, and faults.

use serde::{Deserialize, Serialize};

use crate::driver::DriverConfig;
use crate::driver::counters::CounterValues;
use crate::driver::privileges::Dropped;
use crate::driver::warning::Warning;

/// What both sides must speak; raised whenever a frame's or a message's meaning changes.
pub const PROTOCOL: u32 = 1;

/// The first word of a controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`]
    pub protocol: u32,
    /// Whether a process that speaks another version is to end: nobody could control its calls any more. Every version reads
    /// this.
    pub end_other_version: bool,
    /// Whether this controller had the engine and lost it: then it must not take it from whoever has it now.
    #[serde(default)]
    pub reclaims: bool,
    /// For how long, in milliseconds, calls are to go on once this controller is gone; as the process was started, if it does
    /// not say.
    #[serde(default)]
    pub orphan_limit_ms: Option<u64>,
    /// How the engine is to run, if it does not run yet.
    pub config: DriverConfig,
}

/// The answer to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// Whether the engine ran before, so that there may be rooms.
    pub resumed: bool,
    /// Whether it runs as the controller wishes. An engine that runs is never changed.
    pub as_configured: bool,
    /// A number drawn for this process: ids of two processes with different numbers have nothing to do with each other.
    pub instance: u64,
    /// Answers to requests with a lower number were meant for somebody else, and are dropped.
    pub first_request: u64,
    /// The addresses that remotes are told, worker by worker.
    pub addresses: Vec<Vec<String>>,
    /// What the system did not grant.
    pub warnings: Vec<Warning>,
    /// What this process has given up.
    pub dropped: Dropped,
    /// What the rims of all workers have counted.
    pub counters: Vec<CounterValues>,
    /// How many notes follow.
    pub notes: u64,
}

/// Who is at fault, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The engine did not start with that configuration.
    Start,
    /// The controller speaks another version of this.
    Protocol,
    /// Somebody else is in control, and this one had been before.
    Replaced,
    /// A frame cannot be read.
    Malformed,
    /// A request cannot be carried out here.
    Request,
    /// A note is not kept.
    Note,
}

/// Something was not accepted, and nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of thing.
    pub kind: FaultKind,
    /// One clear line. It quotes nothing of what was sent.
    pub text: String,
    /// The request, where it can be known.
    pub request: Option<u64>,
}
