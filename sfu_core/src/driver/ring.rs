//! The way out of a worker: one bounded ring for replies and events. Replies always fit; events that would not are merged
//! (level-type: latest wins) or replaced by one word that the reader must take a snapshot (edge-type). Messages of data channels
//! that would not are dropped and counted: no snapshot holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::counters::Counters;
use super::lanes::MAX_OUTSTANDING;
use super::places::Places;
use super::wake::Wake;
use super::warning::Warning;
use super::wire::Outgoing;
use crate::engine::event::Event;

/// Most events that wait in the ring: some seconds of a full worker (1 000 rooms, 4 events a second each).
pub const MAX_EVENTS: usize = 16_384;
/// Most bytes of messages among them: two seconds of 64 participants who say as much as they may. A message beyond is dropped
/// and counted; it is nothing that a snapshot could tell.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Most level-type events kept aside: one per subscription of a full worker that all change before anyone reads.
const MAX_LEVELS: usize = 16_384;

/// Most warnings of one worker, each told once: it has two kinds.
const MAX_WARNINGS: usize = 4;

/// What makes two level-type events the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LevelKey {
    Speakers(u64),
    Layer(u64, u64),
}

impl LevelKey {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Speakers { room, .. } => Some(Self::Speakers(room.as_u64())),
            Event::LayerChanged { subscriber, track, .. } => Some(Self::Layer(subscriber.as_u64(), track.as_u64())),
            _ => None,
        }
    }
}

/// Whose place in which count an entry takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Answers an ordinary command.
    Command,
    /// Answers a revocation.
    Revocation,
    /// Was not asked for.
    Event,
    /// The last word of a worker.
    Failure,
    /// One of at most [`MAX_WARNINGS`].
    Warning,
}

/// The worker's end.
#[derive(Debug)]
pub struct EventSender {
    ring: Producer<(Class, Outgoing)>,
    places: Arc<Places>,
    reader: Arc<Wake>,
    counters: Arc<Counters>,
    max_events: usize,
    version: u64,
    warnings: usize,
    lost: bool,
    levels: BTreeMap<LevelKey, Event>,
    pushed: bool,
}

/// The reader's end.
#[derive(Debug)]
pub struct EventReceiver {
    ring: Consumer<(Class, Outgoing)>,
    places: Arc<Places>,
    worker: Arc<Wake>,
}

/// A ring from a worker to its reader, with a bell for each.
pub fn ring(
    max_events: usize,
    reader: Arc<Wake>,
    worker: Arc<Wake>,
    counters: Arc<Counters>,
) -> (EventSender, EventReceiver) {
    // Every request has at most one reply; one place more is for the word that the worker has failed.
    let (producer, consumer) = RingBuffer::new(MAX_OUTSTANDING + max_events + MAX_WARNINGS + 1);
    let places = Arc::new(Places::new());
    let sender = EventSender {
        ring: producer,
        places: Arc::clone(&places),
        reader,
        counters,
        max_events,
        version: 0,
        warnings: 0,
        lost: false,
        levels: BTreeMap::new(),
        pushed: false,
    };
    (sender, EventReceiver { ring: consumer, places, worker })
}

impl EventSender {
    /// Answers a request. Never fails: requests are counted when they are taken.
    pub fn reply(&mut self, class: Class, reply: Outgoing) {
        self.push(class, reply);
    }

    /// Says that this worker has failed. Only once.
    pub fn fail(&mut self, reason: String) {
        self.push(Class::Failure, Outgoing::WorkerFailed { reason });
    }

    /// Says that something is amiss.
    pub fn warn(&mut self, warning: Warning) {
        if self.warnings < MAX_WARNINGS {
            self.warnings += 1;
            self.push(Class::Warning, Outgoing::Warned { warning });
        }
    }

    /// Tells the reader something, now or when there is room.
    pub fn event(&mut self, event: Event) {
        if let Some(key) = LevelKey::of(&event) {
            return self.level(key, event);
        }
        if let Event::Resync { version } = event {
            // The engine itself had to drop some: what it counts is what a snapshot says.
            (self.version, self.lost) = (version, true);
            return self.starve();
        }
        self.version += 1;
        if let Event::DataReceived { payload, .. } = &event {
            let bytes = self.places.message_bytes() + payload.len();
            // Half of the places are not for messages: what else happens must not be lost for them.
            let crowded = self.places.events() >= self.max_events / 2;
            if self.lost || crowded || bytes > MAX_MESSAGE_BYTES {
                return self.counters.messages_lost.add(1);
            }
        }
        if self.lost || self.is_full() {
            self.lost = true;
            self.counters.events_lost.add(1);
            return self.starve();
        }
        self.push_event(event);
    }

    fn level(&mut self, key: LevelKey, event: Event) {
        // Not past one that waits: the older would arrive last and win.
        if self.levels.is_empty() && !self.lost && !self.is_full() {
            return self.push_event(event);
        }
        if self.levels.insert(key, event).is_some() {
            self.counters.events_coalesced.add(1);
        } else if self.levels.len() > MAX_LEVELS {
            self.levels.pop_first();
            self.counters.events_coalesced.add(1);
        }
        self.starve();
    }

    /// Pushes what was held back, as far as there is room, and rings if anything was pushed since the last time.
    pub fn publish(&mut self) {
        if self.lost && !self.is_full() {
            self.lost = false;
            self.push_event(Event::Resync { version: self.version });
        }
        while !self.levels.is_empty() && !self.lost && !self.is_full() {
            if let Some((_, event)) = self.levels.pop_first() {
                self.push_event(event);
            }
        }
        if !self.lost && self.levels.is_empty() {
            self.places.set_starved(false);
        }
        if std::mem::take(&mut self.pushed) {
            self.reader.raise();
        }
    }

    fn is_full(&self) -> bool {
        self.places.events() >= self.max_events
    }

    fn starve(&self) {
        self.places.set_starved(true);
    }

    fn push_event(&mut self, event: Event) {
        self.places.take(message_bytes(&event));
        self.push(Class::Event, Outgoing::Event { version: self.version, event });
    }

    fn push(&mut self, class: Class, outgoing: Outgoing) {
        let fits = self.ring.push((class, outgoing)).is_ok();
        debug_assert!(fits, "the ring holds every reply, {} events, the warnings and one failure", self.max_events);
        self.pushed = true;
    }
}

impl EventReceiver {
    /// Takes up to `most` out; true when there is more.
    pub fn pop(&mut self, most: usize, mut take: impl FnMut(Class, Outgoing)) -> bool {
        for _ in 0..most {
            let Ok((class, outgoing)) = self.ring.pop() else { break };
            if let (Class::Event, Outgoing::Event { event, .. }) = (class, &outgoing) {
                self.places.give_back(message_bytes(event));
            }
            take(class, outgoing);
        }
        if self.places.is_starved() {
            self.worker.raise();
        }
        !self.ring.is_empty()
    }
}

/// What a message takes of [`MAX_MESSAGE_BYTES`].
fn message_bytes(event: &Event) -> usize {
    if let Event::DataReceived { payload, .. } = event { payload.len() } else { 0 }
}

#[cfg(test)]
#[path = "ring/tests.rs"]
mod tests;
