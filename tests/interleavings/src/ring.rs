//! The ring from a worker to its reader with both bells: whatever was to be told is read, or a word that it was lost, without
//! anyone looking unless told to.

use std::sync::Arc;

use loom::thread;
use sfu_core::driver::{counters, lanes, warning, wire};
use sfu_core::ids::RoomId;

use self::counters::Counters;
use self::source::{Class, EventReceiver, EventSender, ring};
use self::wire::Outgoing;
use super::engine::event::{Event, Speaker};
use super::places;
use super::wake::{self, Wake};

/// As it is; most of what it lets others see only `sfu_core` uses.
#[allow(unreachable_pub, dead_code)]
mod source {
    include!(concat!(env!("OUT_DIR"), "/ring.rs"));
}

/// Orders in which a thread is interrupted more often are left out: there would be millions.
const INTERRUPTIONS: usize = 3;
/// Most that one call takes out.
const MOST: usize = 2;

/// What has been told.
#[derive(Debug, Default)]
struct Told {
    /// Edge-type events, by number.
    events: Vec<u64>,
    /// The version of the last word that some were lost.
    resync: u64,
    /// Who speaks, at last.
    level: Option<u8>,
    replies: usize,
}

struct Reader {
    receiver: EventReceiver,
    bell: Arc<Wake>,
    told: Told,
}

struct Worker {
    sender: EventSender,
    bell: Arc<Wake>,
}

fn ends(max_events: usize) -> (Worker, Reader) {
    let (reader, worker) = (Arc::new(Wake::new()), Arc::new(Wake::new()));
    let counters = Arc::new(Counters::default());
    let (sender, receiver) = ring(max_events, Arc::clone(&reader), Arc::clone(&worker), counters);
    (Worker { sender, bell: worker }, Reader { receiver, bell: reader, told: Told::default() })
}

fn edge(number: u64) -> Event {
    Event::RoomFailed { room: RoomId::new(number as u32, 0) }
}

fn level(level: u8) -> Event {
    let participant = sfu_core::ids::ParticipantId(1);
    Event::Speakers { room: RoomId::new(0, 0), speakers: vec![Speaker { participant, level }] }
}

impl Worker {
    /// One turn: what happened is told. A worker that sleeps has a turn only when told to.
    fn turn(&mut self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.sender.event(event));
        self.sender.publish();
    }

    fn wakes_up(&mut self) -> bool {
        let rings = self.bell.rings();
        if rings {
            self.bell.lower();
            self.turn([]);
        }
        rings
    }
}

impl Told {
    fn note(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Event { version, event: Event::Resync { version: lost } } => {
                assert_eq!(version, lost);
                self.resync = lost;
            }
            Outgoing::Event { event: Event::RoomFailed { room }, .. } => {
                self.events.push(u64::from(room.as_u64() as u32));
            }
            Outgoing::Event { event: Event::Speakers { speakers, .. }, .. } => self.level = Some(speakers[0].level),
            _ => self.replies += 1,
        }
    }
}

impl Reader {
    /// As `Driver::drain`.
    fn wakes_up(&mut self) -> bool {
        let rings = self.bell.rings();
        if rings {
            self.bell.lower();
            self.reads();
        }
        rings
    }

    fn reads(&mut self) {
        let told = &mut self.told;
        if self.receiver.pop(MOST, |_, outgoing| told.note(outgoing)) {
            self.bell.raise();
        }
    }

    /// As `Driver::drain`, but looks first: what comes in between is silenced unread.
    fn wakes_up_the_wrong_way_round(&mut self) -> bool {
        let rings = self.bell.rings();
        if rings {
            self.reads();
            self.bell.lower();
        }
        rings
    }
}

/// What happens in two turns of a worker.
type Turns = [fn() -> Vec<Event>; 2];

/// Two turns of a worker meet a reader that wakes up twice; then both do what their bells ask for until both are silent.
fn everything_is_told((max_events, turns): (usize, Turns), wakes_up: fn(&mut Reader) -> bool, judge: fn(&Told)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(INTERRUPTIONS);
    builder.check(move || {
        let (mut worker, mut reader) = ends(max_events);
        let working = thread::spawn(move || {
            for turn in turns {
                worker.turn(turn());
            }
            worker.wakes_up();
            worker
        });
        wakes_up(&mut reader);
        wakes_up(&mut reader);
        let mut worker = working.join().expect("the worker ends");
        while reader.wakes_up() || worker.wakes_up() {}
        judge(&reader.told);
    });
}

fn two_events() -> Vec<Event> {
    vec![edge(1), edge(2)]
}

fn third_event() -> Vec<Event> {
    vec![edge(3)]
}

/// What was read is in order; whatever is missing was said to be lost.
fn all_or_a_word(told: &Told) {
    assert!(told.events.is_sorted(), "{told:?}");
    let last = told.events.last().copied().unwrap_or(0);
    let whole = told.events.len() == 3;
    assert!(whole || told.resync == 3 || (last == 3 && told.resync == 2), "something is missing: {told:?}");
}

#[test]
fn events_that_fit_are_read_and_of_those_that_do_not_a_word_is() {
    everything_is_told((1, [two_events, third_event]), Reader::wakes_up, all_or_a_word);
    everything_is_told((2, [two_events, third_event]), Reader::wakes_up, all_or_a_word);
}

#[test]
fn the_latest_of_what_replaces_each_other_is_read() {
    let turns: Turns = [|| vec![edge(1), level(1)], || vec![level(2)]];
    everything_is_told((1, turns), Reader::wakes_up, |told| {
        assert_eq!((told.events.as_slice(), told.level), (&[1][..], Some(2)), "{told:?}");
    });
}

#[test]
#[should_panic(expected = "something is missing")]
fn a_reader_that_looks_before_it_lowers_its_bell_misses_something() {
    everything_is_told((1, [two_events, third_event]), Reader::wakes_up_the_wrong_way_round, all_or_a_word);
}

#[test]
fn a_reply_is_read_however_full_the_ring_is() {
    loom::model(|| {
        let (mut worker, mut reader) = ends(1);
        let working = thread::spawn(move || {
            worker.sender.event(edge(1));
            worker.sender.event(edge(2));
            worker.sender.reply(Class::Command, Outgoing::WorkerFailed { reason: String::new() });
            worker.sender.publish();
            worker
        });
        reader.wakes_up();
        let mut worker = working.join().expect("the worker ends");
        while reader.wakes_up() || worker.wakes_up() {}
        assert_eq!((reader.told.events.as_slice(), reader.told.replies, reader.told.resync), (&[1][..], 1, 2));
    });
}
