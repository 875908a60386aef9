//! Ten thousand people come and go, and the engine is as it was.

use std::alloc::System;
use std::time::Duration;

use sfu_core::units::Bitrate;
use sim::heap::{self, Counting, OfTheEngine};
use sim::media::{VideoCodec, VideoConfig};
use sim::meeting::Meeting;
use sim::person::Person;
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

/// What the engine may hold more after eight thousand more: tables keep the size they have grown to, and lists of people who
/// come and go do not all grow in the same order. A byte for each would be as much.
const KEPT: i64 = 8 << 10;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

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
        // The engine allocated what its events hold, and not the list.
        heap::count(true);
        meeting.world.server.events.clear();
        heap::count(false);
    }
}

/// Everybody leaves; bytes that the engine then holds.
fn empty(meeting: &mut Meeting, people: &mut Vec<Person>) -> i64 {
    for person in people.drain(..) {
        meeting.leave(person.id);
    }
    meeting.run_for(MS * 100);
    heap::count(true);
    meeting.world.server.events.clear();
    heap::count(false);
    heap::held()
}

#[test]
fn after_ten_thousand_joins_and_leaves_the_memory_is_back() {
    let mut meeting = Meeting::new(1);
    meeting.world.grain = MS;
    meeting.world.server.meter = Some(Box::new(OfTheEngine));
    let mut people = Vec::new();
    churn(&mut meeting, &mut people, 1..WARM_UP);
    let full_before = heap::held();
    let empty_before = empty(&mut meeting, &mut people);
    churn(&mut meeting, &mut people, WARM_UP..JOINS + 1);
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.tracks, stats.unauthorized_forwards, stats.panics), (4, 8, 0, 0));
    let full_after = heap::held();
    let empty_after = empty(&mut meeting, &mut people);
    assert_eq!(meeting.unauthorised(), 0);
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.tracks, stats.edges), (0, 0, 0));
    println!("{empty_before} bytes empty, {full_before} with {AT_ONCE}; then {empty_after} and {full_after}");
    assert!(empty_after - empty_before <= KEPT, "{empty_before} bytes became {empty_after} with nobody there");
    assert!(full_after - full_before <= KEPT, "{full_before} bytes became {full_after} with {AT_ONCE} there");
}
