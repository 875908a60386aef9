//! The same seed and the same keys give the same run, to the bit.

use std::time::Duration;

use sfu_core::engine::event::Event;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);

/// A meeting in which much happens: loss, jitter, simulcast, rights that come and go, people who come and go. Returns what
/// everybody received, clear RTP and RTCP with the time of each packet, as one number each; and all events.
fn run(seed: u64) -> (Vec<u64>, Vec<Event>) {
    let mut meeting = Meeting::new(seed);
    let rough =
        LinkConfig { jitter: 8 * MS, reorders: true, duplicates: 0.01, ..LinkConfig::delayed(20 * MS).losing(0.03) };
    let video = VideoConfig { temporal_layers: 2, ..VideoConfig::default() };
    let mut people: Vec<Person> = (1..=6)
        .map(|number| Person::simulcast_keyed(&mut meeting, number, 6, video, Path::both(rough.clone())))
        .collect();
    Person::watch_each_other(&mut meeting, &people);
    for round in 0..6 {
        meeting.run_for(500 * MS);
        let publisher = people[meeting.world.random.below(6) as usize];
        let subscriber = people[meeting.world.random.below(6) as usize];
        if publisher.id != subscriber.id {
            meeting.revoke(subscriber.id, publisher.camera);
            meeting.run_for(100 * MS);
            meeting.allow(subscriber.id, publisher.camera);
            meeting.limit(subscriber.id, publisher.camera, round % 3);
        }
    }
    let left = people.remove(0);
    meeting.leave(left.id);
    meeting.run_for(1_000 * MS);
    let digests = people.iter().map(|person| meeting.world.keyed(person.id).digest).collect();
    assert_eq!(meeting.unauthorised(), 0);
    (digests, std::mem::take(&mut meeting.world.server.events))
}

#[test]
fn the_same_seed_gives_the_same_packets_and_the_same_events() {
    let (first, second) = (run(7), run(7));
    assert_eq!(first.0, second.0, "clear RTP and RTCP");
    assert_eq!(first.1, second.1, "events");
    assert!(first.1.len() > 10 && first.0.iter().all(|&digest| digest != 0));
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(run(7).0, run(8).0);
}
