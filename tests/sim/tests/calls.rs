//! Calls as they should be: people join, are heard and seen, and leave.

use std::time::Duration;

use sfu_core::engine::command::Command;
use sfu_core::engine::event::Event;
use sim::media::{VideoCodec, VideoConfig};
use sim::meeting::Meeting;
use sim::oracle::Reception;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);

fn assert_flawless(reception: &Reception) {
    let faults = [
        reception.missing(),
        reception.repeated(),
        reception.damaged(),
        reception.timestamps_going_back(),
        reception.confused_frames(),
        reception.picture_gaps(),
        reception.undecodable_frames(),
    ];
    assert_eq!(faults, [0; 7]);
}

#[test]
fn three_browsers_see_and_hear_each_other() {
    let mut meeting = Meeting::new(1);
    let people: Vec<Person> = (1..=3)
        .map(|number| Person::browser(&mut meeting, number, 2, VideoConfig::default(), Path::round_trip(40 * MS)))
        .collect();
    Person::watch_each_other(&mut meeting, &people);
    meeting.run_until_connected();
    meeting.run_for(5_000 * MS);
    for subscriber in &people {
        for publisher in people.iter().filter(|publisher| publisher.id != subscriber.id) {
            let (video, audio) = (subscriber.sees(&meeting, publisher), subscriber.hears(&meeting, publisher));
            assert!(video.arrivals().len() > 550, "{}", video.arrivals().len());
            assert_flawless(video);
            assert!(audio.arrivals().len() > 200, "{}", audio.arrivals().len());
            assert_eq!((audio.missing(), audio.timestamps_going_back(), audio.damaged()), (0, 0, 0));
        }
    }
    assert_eq!((meeting.unauthorised(), meeting.stats().unauthorized_forwards), (0, 0));
    let connected = |event: &&Event| matches!(event, Event::PeerConnected { .. });
    assert_eq!(meeting.world.server.events.iter().filter(connected).count(), 3);
}

#[test]
fn temporal_layers_and_h264_arrive_as_they_were_sent() {
    for (codec, temporal_layers) in [(VideoCodec::Vp8, 2), (VideoCodec::Vp8, 3), (VideoCodec::H264, 1)] {
        let video = VideoConfig { codec, temporal_layers, ..VideoConfig::default() };
        let mut meeting = Meeting::new(2);
        let path = Path::round_trip(40 * MS);
        let alice = Person::browser(&mut meeting, 1, 1, video, path.clone());
        let bob = Person::keyed(&mut meeting, 2, 1, video, path);
        Person::watch_each_other(&mut meeting, &[alice, bob]);
        meeting.run_until_connected();
        meeting.run_for(3_000 * MS);
        for reception in [alice.sees(&meeting, &bob), bob.sees(&meeting, &alice)] {
            assert!(reception.arrivals().len() > 300, "{codec:?} {}", reception.arrivals().len());
            assert_flawless(reception);
        }
    }
}

#[test]
fn whoever_joins_late_sees_a_whole_picture_soon() {
    let mut meeting = Meeting::new(3);
    let path = Path::round_trip(40 * MS);
    let alice = Person::browser(&mut meeting, 1, 1, VideoConfig::default(), path.clone());
    meeting.run_until_connected();
    meeting.run_for(2_000 * MS);
    let bob = Person::keyed(&mut meeting, 2, 1, VideoConfig::default(), path);
    let joined = meeting.now();
    meeting.watch(bob.id, alice.camera);
    meeting.run_for(2_000 * MS);
    let video = bob.sees(&meeting, &alice);
    let first = &video.arrivals()[0];
    assert!(first.stamp.is_some_and(|stamp| stamp.keyframe && stamp.index == 0), "{first:?}");
    assert!(first.at - joined < 200 * MS, "{:?}", first.at - joined);
    assert_flawless(video);
}

#[test]
fn whoever_leaves_is_gone_and_nobody_else_notices() {
    let mut meeting = Meeting::new(4);
    let people: Vec<Person> = (1..=3)
        .map(|number| Person::browser(&mut meeting, number, 2, VideoConfig::default(), Path::round_trip(40 * MS)))
        .collect();
    Person::watch_each_other(&mut meeting, &people);
    meeting.run_until_connected();
    meeting.run_for(2_000 * MS);
    let [alice, bob, carol] = [people[0], people[1], people[2]];
    let left = meeting.now();
    meeting.leave(carol.id);
    meeting.run_for(3_000 * MS);
    let last = bob.sees(&meeting, &carol).arrivals().last().map(|arrival| arrival.departure.at);
    assert!(last.is_some_and(|last| last <= left));
    assert!(bob.hears(&meeting, &alice).longest_silence(left, meeting.now()) < 50 * MS);
    assert_flawless(bob.sees(&meeting, &alice));
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.tracks, stats.unauthorized_forwards), (2, 4, 0));
}

#[test]
fn a_browser_that_says_goodbye_is_reported() {
    let mut meeting = Meeting::new(5);
    let alice = Person::browser(&mut meeting, 1, 1, VideoConfig::default(), Path::round_trip(40 * MS));
    meeting.run_until_connected();
    let now = meeting.now();
    meeting.world.browser(alice.id).close(now);
    meeting.run_for(500 * MS);
    let peer = meeting.peer(alice.id);
    assert!(meeting.world.server.events.contains(&Event::PeerClosed { peer }), "{:?}", meeting.world.server.events);
}

#[test]
fn whoever_is_removed_is_told_at_once() {
    let mut meeting = Meeting::new(6);
    let alice = Person::browser(&mut meeting, 1, 1, VideoConfig::default(), Path::round_trip(40 * MS));
    meeting.run_until_connected();
    let peer = meeting.peer(alice.id);
    meeting.command(Command::RemovePeer { peer });
    meeting.run_for(100 * MS);
    assert!(meeting.world.browser(alice.id).closed);
}
