//! What the frames of a controller ask for: read and checked, or the fault that says what is wrong. Nothing is done here.

use serde::Deserialize;

use super::frame::{Frame, FrameError, Kind};
use super::notes::Note;
use super::{Fault, FaultKind, Hello, PROTOCOL};
use crate::driver::wire::{Outgoing, decode};
use crate::engine::command::{Command, Request};

/// The highest number that a request may have, so that there are numbers left for whoever controls next.
pub const HIGHEST_NUMBER: u64 = u64::MAX >> 1;

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
    /// Reads what a controller sent to a process of so many workers.
    ///
    /// # Errors
    /// [`Fault`], when nothing is to be done.
    pub fn read(&mut self, frame: Result<Frame<'_>, FrameError>, workers: u16) -> Result<Order, Fault> {
        let frame = frame.map_err(|error| fault(FaultKind::Malformed, error, None))?;
        let worker = frame.worker;
        match frame.kind {
            Kind::Request => {
                let request: Request = decode(frame.payload).map_err(|_| unreadable(frame.payload))?;
                let id = request.id;
                let refused = |text| Err(fault(FaultKind::Request, text, Some(id)));
                if id > HIGHEST_NUMBER {
                    return refused("no request has so high a number");
                }
                self.last = self.last.max(id);
                if worker >= workers {
                    return refused("there is no such worker");
                }
                if matches!(request.command, Command::CreateBot { .. }) {
                    return refused("a bot lives in the process of its engine");
                }
                Ok(Order::Submit { worker, request })
            }
            Kind::Note => {
                let note = decode(frame.payload).map_err(|_| unreadable(frame.payload))?;
                if worker >= workers {
                    return Err(fault(FaultKind::Note, "there is no such worker", None));
                }
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
    let unknown = "the configuration has keys or values that this version does not know";
    decode(frame.payload).map_err(|_| fault(FaultKind::Start, unknown, None))
}

pub(super) fn fault(kind: FaultKind, text: impl std::fmt::Display, request: Option<u64>) -> Fault {
    Fault { kind, text: text.to_string(), request }
}

/// The error's own words could quote what was sent.
fn unreadable(payload: &[u8]) -> Fault {
    let request = decode(payload).ok().map(|Numbered { id }| id);
    fault(FaultKind::Malformed, "a message cannot be read", request)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::driver::process::notes::Subject;
    use crate::driver::wire::encode;
    use crate::engine::command::Reply;
    use crate::ids::RoomId;

    fn sent(kind: Kind, worker: u16, message: &impl Serialize) -> Result<Order, Fault> {
        Orders::default().read(Ok(Frame { kind, worker, payload: &encode(message) }), 2)
    }

    #[test]
    fn there_are_numbers_left_for_whoever_controls_next_however_high_the_last_one_was() {
        let mut orders = Orders::default();
        let ask = |orders: &mut Orders, id: u64| {
            let payload = encode(&Request { id, command: Command::Stats });
            orders.read(Ok(Frame { kind: Kind::Request, worker: 0, payload: &payload }), 1).map(drop)
        };
        for id in [u64::MAX, HIGHEST_NUMBER + 1] {
            let fault = ask(&mut orders, id).expect_err("too high");
            assert_eq!((fault.kind, fault.request), (FaultKind::Request, Some(id)));
        }
        assert_eq!(orders.begin_anew(), 1, "nothing was asked");
        assert_eq!(ask(&mut orders, HIGHEST_NUMBER), Ok(()));
        let first = orders.begin_anew();
        assert_eq!(first, HIGHEST_NUMBER + 1);
        assert!(orders.is_older(&Outgoing::Reply { id: HIGHEST_NUMBER, reply: Reply::Done }));
        assert!(!orders.is_older(&Outgoing::Reply { id: first, reply: Reply::Done }));
    }

    #[test]
    fn a_worker_that_there_is_not_carries_out_nothing_and_has_no_notes() {
        let request = Request { id: 7, command: Command::Stats };
        let note = Note { subject: Subject::Room { room: RoomId::new(0, 0) }, note: Some(vec![1]) };
        assert!(sent(Kind::Request, 1, &request).is_ok() && sent(Kind::Note, 1, &note).is_ok());
        let fault = sent(Kind::Request, 2, &request).expect_err("two there are");
        assert_eq!((fault.kind, fault.request), (FaultKind::Request, Some(7)));
        assert_eq!(sent(Kind::Note, u16::MAX, &note).expect_err("two there are").kind, FaultKind::Note);
    }

    #[test]
    fn a_fault_quotes_nothing_of_a_configuration() {
        #[derive(Serialize)]
        struct Odd {
            protocol: u32,
            config: std::collections::BTreeMap<&'static str, u8>,
        }
        let odd = Odd { protocol: PROTOCOL, config: [("secret\n", 1)].into() };
        let hello = read_hello(Ok(Frame { kind: Kind::Hello, worker: 0, payload: &encode(&odd) }));
        let fault = hello.expect_err("no key of ours");
        assert_eq!(fault.kind, FaultKind::Start);
        assert!(!fault.text.contains("secret") && !fault.text.contains('\n'), "{}", fault.text);
    }
}
