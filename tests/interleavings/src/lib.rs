//! The sources of the rim's protocols between threads, as they are, on loom's atomics: `bell` (who is told to wake up), `places`
//! (who waits for room in a ring) and `ring` (what both make of it). Loom runs each test once for every order in which the threads
//! can meet, and for every value that the memory model lets a load return. What is around them is the kernel's (`eventfd`), the
//! standard library's (`Mutex`) and rtrb's (the rings), in whose places stand here a counter and `queue`.

#![cfg(test)]

#[path = "../../../sfu_core/src/driver/bell.rs"]
mod bell;
mod engine;
#[path = "../../../sfu_core/src/driver/places.rs"]
mod places;
mod queue;
mod ring;
mod wake;

/// What `ring` takes from rtrb.
extern crate self as rtrb;
pub use self::queue::{Consumer, Producer, RingBuffer};

/// What `sfu_core::driver` takes from the standard library.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

use loom::sync::Arc;
use loom::thread;

use self::atomic::{AtomicUsize, Ordering};
use self::bell::Bell;
use self::places::Places;

/// A bell with its descriptor, and a queue that orders nothing by itself.
struct Sleeper {
    bell: Bell,
    descriptor: AtomicUsize,
    queue: AtomicUsize,
}

impl Sleeper {
    fn new() -> Arc<Self> {
        let (descriptor, queue) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { bell: Bell::new(), descriptor, queue })
    }

    fn push(&self) {
        self.queue.fetch_add(1, Ordering::Relaxed);
        self.bell.raise(|| {
            self.descriptor.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn is_told(&self) -> bool {
        self.descriptor.load(Ordering::Relaxed) > 0
    }

    /// Wakes up if it is told, and says how much it sees in the queue.
    fn look(&self) -> usize {
        if !self.is_told() {
            return 0;
        }
        self.bell.lower(|| {
            self.descriptor.swap(0, Ordering::Relaxed);
        });
        self.queue.load(Ordering::Relaxed)
    }
}

/// Two push while the sleeper looks; in the end it has seen everything or is told to look again.
fn nothing_is_overslept(look: fn(&Sleeper) -> usize) {
    loom::model(move || {
        let sleeper = Sleeper::new();
        let pushing: Vec<_> = (0..2)
            .map(|_| {
                let sleeper = Arc::clone(&sleeper);
                thread::spawn(move || sleeper.push())
            })
            .collect();
        let seen = look(&sleeper).max(look(&sleeper));
        for pushes in pushing {
            pushes.join().expect("it pushes");
        }
        assert!(seen == 2 || sleeper.is_told(), "{seen} of 2 were seen, and nobody says that there is more");
    });
}

#[test]
fn what_is_pushed_before_a_bell_is_raised_is_seen_or_told() {
    nothing_is_overslept(Sleeper::look);
}

#[test]
#[should_panic(expected = "nobody says that there is more")]
fn a_bell_that_is_lowered_before_it_is_silenced_oversleeps() {
    nothing_is_overslept(|sleeper| {
        if !sleeper.is_told() {
            return 0;
        }
        sleeper.bell.lower(|| ());
        let seen = sleeper.queue.load(Ordering::Relaxed);
        sleeper.descriptor.swap(0, Ordering::Relaxed);
        seen
    });
}

/// A worker holds something back because the ring is full, while the reader makes room.
fn the_worker_sees_room_or_is_told(is_hungry: fn(&Places) -> bool) {
    loom::model(move || {
        let places = Arc::new(Places::new());
        places.take(10);
        let worker = {
            let places = Arc::clone(&places);
            thread::spawn(move || {
                if places.events() == 0 {
                    return true;
                }
                places.set_starved(true);
                let room = places.events() == 0;
                if room {
                    places.set_starved(false);
                }
                room
            })
        };
        places.give_back(10);
        let told = is_hungry(&places);
        let saw_room = worker.join().expect("the worker ends");
        assert!(saw_room || told, "the worker waits for room that there is");
        assert_eq!((places.events(), places.message_bytes()), (0, 0));
    });
}

#[test]
fn a_worker_that_holds_something_back_sees_the_room_or_is_told_of_it() {
    the_worker_sees_room_or_is_told(Places::is_starved);
}

#[test]
#[should_panic(expected = "the worker waits for room that there is")]
fn a_reader_that_told_nobody_would_leave_a_worker_waiting() {
    the_worker_sees_room_or_is_told(|_| false);
}
