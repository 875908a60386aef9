//! What the frames of a controller ask for: read and checked, or the fault that says what is wrong. Nothing is done here.

use serde::Deserialize;

use super::frame::{Frame, FrameError, Kind};
use super::notes::Note;
use super::{Fault, FaultKind, Hello, PROTOCOL};
use crate::driver::wire::{Outgoing, decode};
use crate::engine::command::{Command, Request};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A worker is to carry out a command.
    Submit {
        /// Which worker.
        worker: u16,
        /// What.
        request: Request,
    },
    /// A note is to be kept, or forgotten.
    Keep {
        /// Of which worker.
        worker: u16,
        /// What.
        note: Note,
    },
    /// All is to end.
    Stop,
}

/// What can be read of a request whose rest cannot.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// What a hello of every version has.
#[derive(Deserialize)]
struct Versioned {
    protocol: u32,
    #[serde(default)]
    end_other_version: bool,
}

/// Reads orders, and knows by their numbers whose they are.
#[derive(Debug)]
pub struct Orders {
    /// The highest number of a request so far.
    last: u64,
    /// The lowest one of who controls.
    first: u64,
}

impl Default for Orders {
    fn default() -> Self {
        Self { last: 0, first: 1 }
    }
}

impl Orders {
    /// Reads what a controller sent.
    ///
    /// # Errors
    /// [`Fault`], when nothing is to be done.
    pub fn read(&mut self, frame: Result<Frame<'_>, FrameError>) -> Result<Order, Fault> {
        let frame = frame.map_err(|error| fault(FaultKind::Malformed, error, None))?;
        let worker = frame.worker;
        match frame.kind {
            Kind::Request => {
                let request: Request = decode(frame.payload).map_err(|_| unreadable(frame.payload))?;
                let id = request.id;
                self.last = self.last.max(id);
                if matches!(request.command, Command::CreateBot { .. }) {
                    return Err(fault(FaultKind::Request, "a bot lives in the process of its engine", Some(id)));
                }
                Ok(Order::Submit { worker, request })
            }
            Kind::Note => {
                let note = decode(frame.payload).map_err(|_| unreadable(frame.payload))?;
                Ok(Order::Keep { worker, note })
            }
            Kind::Stop => Ok(Order::Stop),
            _ => Err(fault(FaultKind::Malformed, "a controller sends no such frame here", None)),
        }
    }

    /// Somebody else controls from here on; returns the lowest number of their requests.
    pub fn begin_anew(&mut self) -> u64 {
        self.first = self.last + 1;
        self.first
    }

    /// Whether this answers somebody who controlled before.
    pub fn is_older(&self, outgoing: &Outgoing) -> bool {
        matches!(outgoing, Outgoing::Reply { id, .. } | Outgoing::Refused { id, .. } if *id < self.first)
    }
}

/// Whether a controller of another version wishes this process to end.
pub fn ends_other_version(frame: &Frame<'_>) -> bool {
    let hello = decode::<Versioned>(frame.payload);
    frame.kind == Kind::Hello && hello.is_ok_and(|hello| hello.end_other_version && hello.protocol != PROTOCOL)
}

/// Reads the first word of a controller.
///
/// # Errors
/// [`Fault`], when it is none.
pub fn read_hello(frame: Result<Frame<'_>, FrameError>) -> Result<Hello, Fault> {
    let frame = frame.map_err(|error| fault(FaultKind::Malformed, error, None))?;
    if frame.kind != Kind::Hello {
        return Err(fault(FaultKind::Malformed, "the first frame is no hello", None));
    }
    let Versioned { protocol, .. } = decode(frame.payload).map_err(|_| unreadable(frame.payload))?;
    if protocol != PROTOCOL {
        let text =
            format!("this process speaks version {PROTOCOL} of the control protocol, not {protocol}: restart it");
        return Err(fault(FaultKind::Protocol, text, None));
    }
    decode(frame.payload).map_err(|error| fault(FaultKind::Start, error, None))
}

pub(super) fn fault(kind: FaultKind, text: impl std::fmt::Display, request: Option<u64>) -> Fault {
    Fault { kind, text: text.to_string(), request }
}

/// The error's own words could quote what was sent.
fn unreadable(payload: &[u8]) -> Fault {
    let request = decode(payload).ok().map(|Numbered { id }| id);
    fault(FaultKind::Malformed, "a message cannot be read", request)
}
