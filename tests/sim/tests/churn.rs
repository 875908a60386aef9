//! Ten thousand people come and go, and the engine is as it was.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sfu_core::units::Bitrate;
use sim::media::{VideoCodec, VideoConfig};
use sim::meeting::Meeting;
use sim::person::Person;
use sim::server::Meter;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
const JOINS: u32 = 10_000;
/// People in the room at the same time.
const AT_ONCE: usize = 4;
/// Little, as many people send it.
const VIDEO: VideoConfig = VideoConfig {
    codec: VideoCodec::Vp8,
    bitrate: Bitrate::kbps(100),
    frames_per_minute: 1_800,
    temporal_layers: 1,
    keyframe_interval: 0,
};
/// Joins after which every table has reached its size.
const WARM_UP: u32 = 2_000;

/// The system's allocator; counts what the engine holds.
struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static ENGINE_WORKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(bytes: i64) {
    if ENGINE_WORKS.try_with(std::cell::Cell::get).unwrap_or(false) {
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Tells the allocator when the engine works.
struct Watch;

impl Meter for Watch {
    fn enter(&mut self) {
        ENGINE_WORKS.set(true);
    }

    fn leave(&mut self) {
        ENGINE_WORKS.set(false);
    }
}

/// Someone joins, watches whoever is there, stays while others come, and leaves.
fn churn(meeting: &mut Meeting, people: &mut Vec<Person>, joins: std::ops::Range<u32>) {
    for number in joins {
        if people.len() == AT_ONCE {
            let leaving = people.remove(0);
            for other in people.iter() {
                meeting.unsubscribe(other.id, leaving.camera);
                meeting.unsubscribe(other.id, leaving.microphone);
            }
            meeting.leave(leaving.id);
        }
        let person = Person::keyed(meeting, number, AT_ONCE, VIDEO, Path::round_trip(4 * MS));
        for other in people.iter() {
            for (subscriber, publisher) in [(person, *other), (*other, person)] {
                meeting.watch(subscriber.id, publisher.camera);
                meeting.watch(subscriber.id, publisher.microphone);
            }
        }
        people.push(person);
        meeting.run_for(MS * 15);
        // The engine allocated what its events hold.
        ENGINE_WORKS.set(true);
        meeting.world.server.events.clear();
        ENGINE_WORKS.set(false);
    }
}

#[test]
fn after_ten_thousand_joins_and_leaves_the_memory_is_back() {
    let mut meeting = Meeting::new(1);
    meeting.world.grain = MS;
    meeting.world.server.meter = Some(Box::new(Watch));
    let mut people = Vec::new();
    churn(&mut meeting, &mut people, 1..WARM_UP);
    let before = HELD.load(Ordering::Relaxed);
    churn(&mut meeting, &mut people, WARM_UP..JOINS + 1);
    let after = HELD.load(Ordering::Relaxed);
    assert_eq!(meeting.unauthorised(), 0);
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.tracks, stats.unauthorized_forwards, stats.panics), (4, 8, 0, 0));
    let grown = after - before;
    assert!(
        grown < before / 20 + 65_536,
        "{before} bytes became {after}: {} per join",
        grown / i64::from(JOINS - WARM_UP)
    );
    for person in people {
        meeting.leave(person.id);
    }
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.tracks, stats.edges), (0, 0, 0));
}
