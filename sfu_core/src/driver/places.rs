//! How many places of a ring are taken, as both of its ends see it, and whether the worker waits for one. `tests/interleavings`
//! goes through every order in which the two can meet here.

use super::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// What both ends see. The worker raises `starved` and then looks at `events`, the reader lowers `events` and then looks at
/// `starved`; one of them must see the other, so each has a fence after its own change.
#[derive(Debug)]
pub(super) struct Places {
    /// Events in the ring, so that they never take the room of replies.
    events: AtomicUsize,
    /// Bytes of the messages among them.
    message_bytes: AtomicUsize,
    /// Whether the worker holds something back until there is room.
    starved: AtomicBool,
}

impl Places {
    /// None is taken.
    pub(super) fn new() -> Self {
        Self { events: AtomicUsize::new(0), message_bytes: AtomicUsize::new(0), starved: AtomicBool::new(false) }
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.events.load(Ordering::Acquire)
    }

    /// How many bytes their messages have.
    pub(super) fn message_bytes(&self) -> usize {
        self.message_bytes.load(Ordering::Acquire)
    }

    /// The worker is about to push an event with so many bytes of message.
    pub(super) fn take(&self, message_bytes: usize) {
        self.events.fetch_add(1, Ordering::AcqRel);
        self.message_bytes.fetch_add(message_bytes, Ordering::AcqRel);
    }

    /// The reader has taken it out.
    pub(super) fn give_back(&self, message_bytes: usize) {
        self.events.fetch_sub(1, Ordering::AcqRel);
        self.message_bytes.fetch_sub(message_bytes, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// The worker holds something back, or no longer.
    pub(super) fn set_starved(&self, starved: bool) {
        self.starved.store(starved, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Whether it does: then it has to be told of room.
    pub(super) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Acquire)
    }
}
