//! What a turn costs in which the engine works on as many handshakes as it may: so long do packets wait that come in the
//! meantime. Many browsers (str0m) follow the link in the same moment, and their handshakes are whole: nothing is replayed,
//! as the engine draws new keys each time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use sfu_core::engine::command::Command;
use sfu_core::engine::transmit::Datagram;
use sim::browser::Section;
use sim::load::{DELAY, STEP};
use sim::meeting::Meeting;
use sim::server::{KeyedPeer, Meter, Recorder};
use sim::world::Path;

use crate::cpu::thread_cpu_ns;

/// Everybody of a large meeting.
const JOINS: usize = 200;

/// What turns cost in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    pub(crate) median: f64,
    pub(crate) longest: f64,
}

/// One turn: when, and what it cost.
#[derive(Debug, Clone, Copy)]
struct Turn {
    at: Instant,
    ns: u64,
}

/// What is being timed.
#[derive(Debug, Default)]
struct Timed {
    /// The turn that goes on, until something else is asked of the engine.
    current: Option<Turn>,
    /// Turns that were followed by another at the same instant, with nothing in between: they did as much as they may.
    full: Vec<Turn>,
    entered_ns: u64,
}

/// Both ears of [`Timed`].
#[derive(Clone)]
struct Watch(Rc<RefCell<Timed>>);

/// Lets everybody join once, and says what the turns cost that were full of handshakes.
pub(crate) fn run() -> Turns {
    let mut meeting = Meeting::new(1);
    meeting.world.grain = STEP;
    for _ in 0..JOINS {
        meeting.join_browser(&[Section::ReceiveAudio], Path::round_trip(2 * DELAY));
    }
    let watch = Watch(Rc::default());
    meeting.world.server.meter = Some(Box::new(watch.clone()));
    meeting.world.server.recorder = Some(Box::new(watch.clone()));
    meeting.run_until_connected();
    let mut costs: Vec<u64> = watch.0.borrow().full.iter().map(|turn| turn.ns).collect();
    costs.sort_unstable();
    assert!(costs.len() > JOINS / 8, "{} full turns are too few for {JOINS} joins", costs.len());
    let us = |ns: u64| ns as f64 / 1_000.0;
    Turns { median: us(costs[costs.len() / 2]), longest: us(costs[costs.len() - 1]) }
}

impl Recorder for Watch {
    fn command(&mut self, _command: &Command, _now: Instant) {
        self.0.borrow_mut().current = None;
    }

    fn keyed_peer(&mut self, _peer: &KeyedPeer<'_>, _now: Instant) {
        self.0.borrow_mut().current = None;
    }

    fn ingest(&mut self, _batch: &[Datagram<'_>], _now: Instant) {
        self.0.borrow_mut().current = None;
    }

    fn turn(&mut self, now: Instant) {
        let mut timed = self.0.borrow_mut();
        let before = timed.current.replace(Turn { at: now, ns: 0 });
        timed.full.extend(before.filter(|turn| turn.at == now));
    }
}

impl Meter for Watch {
    fn enter(&mut self) {
        self.0.borrow_mut().entered_ns = thread_cpu_ns();
    }

    fn leave(&mut self) {
        let now = thread_cpu_ns();
        let mut timed = self.0.borrow_mut();
        let spent = now - timed.entered_ns;
        if let Some(turn) = &mut timed.current {
            turn.ns += spent;
        }
    }
}
