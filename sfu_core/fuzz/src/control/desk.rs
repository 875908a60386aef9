//! Where the orders of a controller are carried out: notes, and an engine in which somebody speaks and somebody hears. What each
//! frame must come to is worked out here a second time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::driver::process::frame::{Frame, FrameError, Kind};
use sfu_core::driver::process::notes::{MAX_NOTE_BYTES, Note, Notes, Subject};
use sfu_core::driver::process::orders::{HIGHEST_NUMBER, Order, Orders, ends_other_version, read_hello};
use sfu_core::driver::process::{Fault, FaultKind};
use sfu_core::driver::wire::{Outgoing, decode, encode};
use sfu_core::engine::Engine;
use sfu_core::engine::command::{Command, Reply, Request};
use sfu_core::engine::transmit::Datagram;
use sfu_core::session::{NegotiatedSession, RemoteEncoding};

use super::Seen;
use crate::bounds::{Bounds, Limits};
use crate::connected::room::{self, IDENTITIES, SECTIONS};
use crate::engine::remote::{Remote, Wire};
use crate::engine::setup::{self, OPUS, PUBLISHED, RIDS, VP8, mid};
use crate::heap;
use crate::start;

/// Workers that there are here; an engine for the first is enough.
pub(super) const WORKERS: u16 = 2;
/// The first SSRC of what each of the two is sent.
pub(super) const SSRCS: [u32; 2] = [0x300, 0x400];
/// Between two frames.
const TURN: Duration = Duration::from_millis(20);
/// What one turn may cause: the sound and the pictures of one, a greeting to each of some who connect, and what a command tells.
const LIMITS: Limits = Limits { sent: 256, events: 256, calls: 16_384, grown: 64 << 20 };
/// Bytes that an engine without rooms may keep of what there was.
const MAX_KEPT: i64 = 1 << 20;
/// Bytes that reading a frame may take at a time for each of its own, and beside them.
const MAX_TIMES: i64 = 128;
const MAX_READING: i64 = 24 << 20;
/// Longest words of a fault.
const MAX_TEXT: usize = 160;

/// Faults after which no time goes by any more: a frame that is none has no more to show.
const MAX_FAULTY_TURNS: usize = 64;

type Answer = (Kind, u16, Vec<u8>);

/// What came of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "tests look at all of it"))]
pub(super) struct Said {
    pub(super) faults: Vec<FaultKind>,
    pub(super) carried_out: usize,
    pub(super) refused: usize,
    pub(super) stops: usize,
    pub(super) notes: usize,
    pub(super) forwarded: u64,
    pub(super) successors: usize,
}

/// One who takes what a controller sends.
pub(super) struct Desk {
    orders: Orders,
    pub(super) notes: Notes,
    /// What must be in them.
    pub(super) kept: BTreeMap<(u16, Subject), Vec<u8>>,
    /// All that was answered.
    pub(super) answered: Vec<Answer>,
    frames: usize,
    engine: Engine,
    empty: i64,
    bounds: Bounds,
    speaker: Remote,
    wire: Wire,
    number: u16,
    now: Instant,
    said: Said,
}

impl Desk {
    pub(super) fn new() -> Self {
        let now = start();
        let mut engine = room::engine(IDENTITIES[0].clone(), now);
        let empty = heap::held();
        let Ok(Reply::Room { room }) = engine.command(Command::CreateRoom, now) else { panic!("no room") };
        let speaker = setup::join(&mut engine, room, 1, &session(SSRCS[0]));
        let hears = setup::join(&mut engine, room, 2, &session(SSRCS[1]));
        let tracks = room::publish(&mut engine, speaker.id, now);
        room::publish(&mut engine, hears.id, now);
        for (section, track) in ["pa", "pv"].into_iter().zip(tracks) {
            let (peer, subscriber) = (hears.id, hears.id);
            engine.command(Command::Subscribe { peer, mid: mid(section), track }, now).expect("a free section");
            engine.command(Command::Allow { track, subscriber, echo: false }, now).expect("one room");
        }
        let (orders, notes, kept, answered) = (Orders::default(), Notes::default(), BTreeMap::new(), Vec::new());
        let bounds = Bounds::begin(LIMITS);
        let (wire, said) = (Wire::default(), Said::default());
        let mut desk = Self {
            orders,
            notes,
            kept,
            answered,
            frames: 0,
            engine,
            empty,
            bounds,
            speaker,
            wire,
            number: 1,
            now,
            said,
        };
        desk.turn(&mut Vec::new());
        desk.answered.clear();
        desk.bounds = Bounds::begin(LIMITS);
        desk
    }

    /// Takes one frame, and adds what is answered.
    pub(super) fn take(&mut self, frame: Result<Frame<'_>, FrameError>, answers: &mut Vec<Answer>) {
        self.frames += 1;
        let (worker, len) = frame.as_ref().map_or((0, 0), |frame| (frame.worker, frame.payload.len()));
        let expected = expected(frame.as_ref());
        let again = frame.as_ref().ok().map(|frame| Frame { ..*frame });
        let (order, most) = heap::most(|| self.orders.read(frame, WORKERS));
        assert!(most <= MAX_TIMES * len as i64 + MAX_READING, "reading {len} bytes takes {most}");
        if let Some(frame) = again.filter(|frame| frame.kind == Kind::Hello) {
            self.greet(frame);
        }
        self.bounds.leave_out();
        match order {
            Ok(order) => {
                assert_eq!(expected, Ok(()), "{order:?} should not have been read");
                self.carry_out(order, answers);
            }
            Err(fault) => {
                assert_eq!(expected, Err((fault.kind, fault.request)), "{fault:?}");
                self.fault(worker, &fault, answers);
            }
        }
        if self.said.faults.len() < MAX_FAULTY_TURNS {
            self.turn(answers);
        }
    }

    /// What the first word of a controller comes to; then it is another's turn.
    fn greet(&mut self, frame: Frame<'_>) {
        let ends = ends_other_version(&frame);
        match read_hello(Ok(frame)) {
            Ok(hello) => {
                assert!(!ends, "who speaks this version ends nothing");
                assert_eq!(decode::<sfu_core::driver::DriverConfig>(&encode(&hello.config)).ok(), Some(hello.config));
                let first = self.orders.begin_anew();
                let older = Outgoing::Reply { id: first - 1, reply: Reply::Done };
                let own = Outgoing::Reply { id: first, reply: Reply::Done };
                assert!(self.orders.is_older(&older) && !self.orders.is_older(&own));
                self.said.successors += 1;
            }
            Err(fault) => {
                assert!(!ends || fault.kind == FaultKind::Protocol, "{fault:?}");
                check(&fault);
            }
        }
    }

    fn fault(&mut self, worker: u16, fault: &Fault, answers: &mut Vec<Answer>) {
        check(fault);
        let payload = encode(fault);
        assert_eq!(decode::<Fault>(&payload).ok().as_ref(), Some(fault));
        self.said.faults.push(fault.kind);
        self.answer((Kind::Fault, worker, payload), answers);
    }

    fn answer(&mut self, answer: Answer, answers: &mut Vec<Answer>) {
        self.answered.push(answer.clone());
        answers.push(answer);
    }

    fn carry_out(&mut self, order: Order, answers: &mut Vec<Answer>) {
        match order {
            Order::Submit { worker, request: Request { id, command } } => {
                let outgoing = match self.engine.command(command, self.now) {
                    Ok(reply) => Outgoing::Reply { id, reply },
                    Err(refusal) => Outgoing::Refused { id, refusal },
                };
                let refused = usize::from(matches!(outgoing, Outgoing::Refused { .. }));
                self.said.refused += refused;
                self.said.carried_out += 1 - refused;
                self.tell(worker, &outgoing, answers);
            }
            Order::Keep { worker, note } => self.keep(worker, note, answers),
            Order::Stop => self.said.stops += 1,
        }
    }

    fn tell(&mut self, worker: u16, outgoing: &Outgoing, answers: &mut Vec<Answer>) {
        let payload = encode(outgoing);
        assert_eq!(decode::<Outgoing>(&payload).ok().as_ref(), Some(outgoing), "what is told can be read");
        self.answer((Kind::Outgoing, worker, payload), answers);
    }

    fn keep(&mut self, worker: u16, note: Note, answers: &mut Vec<Answer>) {
        assert!(worker < WORKERS, "a note of worker {worker}, which there is not");
        let key = (worker, note.subject);
        let is_short = note.note.as_ref().is_none_or(|bytes| bytes.len() <= MAX_NOTE_BYTES);
        match self.notes.apply(worker, note.clone()) {
            Ok(()) => {
                assert!(is_short, "a note that is too long is kept");
                match note.note {
                    Some(bytes) => drop(self.kept.insert(key, bytes)),
                    None => drop(self.kept.remove(&key)),
                }
            }
            Err(error) => {
                assert!(!is_short, "{error}: there are few");
                let fault = Fault { kind: FaultKind::Note, text: error.to_string(), request: None };
                self.fault(worker, &fault, answers);
            }
        }
        assert_eq!(self.notes.count(), self.kept.len());
        self.said.notes = self.kept.len();
    }

    /// Somebody speaks, and the engine has its turn.
    fn turn(&mut self, answers: &mut Vec<Answer>) {
        let number = self.number;
        self.number = number.wrapping_add(1);
        let [high, low] = number.to_be_bytes();
        let picture = [&[0x90, 0x80, 0x80 | high, low, 0x10, 0, 0, 0x9d, 0x01, 0x2a][..], &[1; 200]].concat();
        let media = [(OPUS, PUBLISHED[0], vec![0xfc; 40]), (VP8, PUBLISHED[1], picture)];
        for (payload_type, ssrc, payload) in media {
            let mut bytes = self.speaker.packet(payload_type, ssrc, number, &payload);
            let (source, destination) = (self.speaker.address, setup::address(0).ip());
            self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut bytes }], self.now);
        }
        self.now += TURN;
        self.engine.tick(self.now);
        self.engine.flush(&mut self.wire, self.now);
        let sent = std::mem::take(&mut self.wire.sent).len();
        let mut events = Vec::new();
        self.engine.drain_events(&mut events);
        let count = events.len();
        for event in events {
            self.tell(0, &Outgoing::Event { version: self.engine.version(), event }, answers);
        }
        self.bounds.check(sent, count);
    }

    /// The engine is whole, and nothing is left of what was in it.
    pub(super) fn finish(mut self, expected: &[Seen]) -> Said {
        assert_eq!(self.frames, expected.len(), "every frame comes, and once");
        let mut answers = Vec::new();
        let Ok(Reply::Stats { stats }) = self.engine.command(Command::Stats, self.now) else { panic!("no figures") };
        assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0), "{stats:?}");
        self.said.forwarded = stats.rtp_packets_out;
        let Ok(Reply::Snapshot { snapshot }) = self.engine.command(Command::Snapshot, self.now) else {
            panic!("no snapshot")
        };
        for room in snapshot.rooms {
            self.engine.command(Command::RemoveRoom { room }, self.now).expect("it is there");
        }
        self.turn(&mut answers);
        let Self { mut engine, orders, notes, kept, answered, speaker, wire, now, empty, said, .. } = self;
        drop((snapshot.peers, snapshot.rosters, answers, orders, notes, kept, answered, speaker, wire, stats));
        engine.tick(now);
        let left = heap::held() - empty;
        assert!(left <= MAX_KEPT, "{left} bytes are kept of rooms that are gone");
        said
    }
}

/// What a frame must come to.
fn expected(frame: Result<&Frame<'_>, &FrameError>) -> Result<(), (FaultKind, Option<u64>)> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        id: u64,
    }
    let malformed = Err((FaultKind::Malformed, None));
    let Ok(frame) = frame else { return malformed };
    let unreadable = || Err((FaultKind::Malformed, decode(frame.payload).ok().map(|Numbered { id }| id)));
    match frame.kind {
        Kind::Request => {
            let Ok(request) = decode::<Request>(frame.payload) else { return unreadable() };
            assert_eq!(decode::<Request>(&encode(&request)).ok().as_ref(), Some(&request));
            let is_bot = matches!(request.command, Command::CreateBot { .. });
            if is_bot || request.id > HIGHEST_NUMBER || frame.worker >= WORKERS {
                Err((FaultKind::Request, Some(request.id)))
            } else {
                Ok(())
            }
        }
        Kind::Note => {
            let Ok(note) = decode::<Note>(frame.payload) else { return unreadable() };
            assert_eq!(decode::<Note>(&encode(&note)).ok(), Some(note));
            if frame.worker >= WORKERS { Err((FaultKind::Note, None)) } else { Ok(()) }
        }
        Kind::Stop => Ok(()),
        _ => malformed,
    }
}

/// One line, as short as a line is, whatever was sent.
fn check(fault: &Fault) {
    let text = &fault.text;
    assert!(!text.is_empty() && text.len() <= MAX_TEXT && !text.contains('\n'), "no words for a log: {text:?}");
}

/// What everybody here agrees on: to send sound and pictures, which the first announces, and to be sent some.
pub(super) fn session(ssrc_base: u32) -> NegotiatedSession {
    let announced = PUBLISHED.map(|ssrc| vec![RemoteEncoding { ssrc: Some(ssrc), ..RemoteEncoding::default() }]);
    let named = [vec![RemoteEncoding::default()], RIDS.map(setup::named).to_vec()];
    setup::session(if ssrc_base == SSRCS[0] { announced } else { named }, &SECTIONS, ssrc_base)
}
