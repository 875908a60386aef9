//! Simulcast: encodings change without the receiver noticing more than the picture's quality.

use std::time::Duration;

use proptest::prelude::*;
use sfu_core::units::Bitrate;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::oracle::Reception;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);

/// Alice sends three encodings, Bob receives one of them.
fn two_people(seed: u64, keyed: bool, temporal_layers: u8, path: Path) -> (Meeting, Person, Person) {
    let video = VideoConfig { temporal_layers, ..VideoConfig::default() };
    let mut meeting = Meeting::new(seed);
    let enter = if keyed { Person::simulcast_keyed } else { Person::simulcast_browser };
    let alice = enter(&mut meeting, 1, 1, video, Path::round_trip(40 * MS));
    let bob = if keyed { Person::keyed } else { Person::browser }(&mut meeting, 2, 1, video, path);
    Person::watch_each_other(&mut meeting, &[alice, bob]);
    meeting.run_until_connected();
    (meeting, alice, bob)
}

fn encodings(reception: &Reception) -> Vec<u8> {
    let mut encodings: Vec<u8> =
        reception.arrivals().iter().filter_map(|arrival| arrival.stamp).map(|stamp| stamp.encoding).collect();
    encodings.dedup();
    encodings
}

#[test]
fn a_limit_moves_to_another_encoding_and_back_without_a_seam() {
    for (keyed, temporal_layers) in [(true, 1), (true, 3), (false, 1), (false, 2)] {
        let (mut meeting, alice, bob) = two_people(1, keyed, temporal_layers, Path::round_trip(40 * MS));
        meeting.run_for(6_000 * MS);
        assert_eq!(encodings(bob.sees(&meeting, &alice)).last(), Some(&2), "there is room for the best");
        for limit in [0, 1, 2] {
            meeting.limit(bob.id, alice.camera, limit);
            meeting.run_for(4_000 * MS);
            assert_eq!(encodings(bob.sees(&meeting, &alice)).last(), Some(&limit));
        }
        let video = bob.sees(&meeting, &alice);
        video.assert_seamless();
        assert!(video.longest_silence(meeting.ago(10_000 * MS), meeting.now()) < 200 * MS);
    }
}

#[test]
fn timestamps_follow_the_clock_across_switches() {
    let (mut meeting, alice, bob) = two_people(2, true, 1, Path::round_trip(40 * MS));
    for limit in [2, 0, 2, 1, 0, 2] {
        meeting.limit(bob.id, alice.camera, limit);
        meeting.run_for(3_000 * MS);
    }
    let video = bob.sees(&meeting, &alice);
    video.assert_seamless();
    // 90 kHz against the capture times in the payloads.
    let settled = &video.arrivals()[video.arrivals().len() / 10..];
    let (first, last) = (&settled[0], &settled[settled.len() - 1]);
    let captured = |arrival: &sim::oracle::Arrival| arrival.stamp.map_or(Duration::ZERO, |stamp| stamp.captured());
    let by_timestamp = (last.timestamp - first.timestamp) as f64 / 90_000.0;
    let by_capture = captured(last).as_secs_f64() - captured(first).as_secs_f64();
    assert!((by_timestamp - by_capture).abs() < 0.1, "{by_timestamp} s by timestamps, {by_capture} s by capture");
}

#[test]
fn a_downlink_that_narrows_gets_less_video_and_all_of_the_sound() {
    let wide = LinkConfig::constant(Bitrate::kbps(3_000), 20 * MS, 300 * MS);
    let narrow = LinkConfig::constant(Bitrate::kbps(400), 20 * MS, 300 * MS);
    let path = Path { up: LinkConfig::delayed(20 * MS), down: wide.clone() };
    let (mut meeting, alice, bob) = two_people(3, true, 1, path);
    meeting.run_for(10_000 * MS);
    let (_, down) = meeting.world.network.links_of(bob.id);
    let now = meeting.now();
    meeting.world.network.reconfigure(down, narrow, now);
    meeting.run_for(15_000 * MS);
    let video = bob.sees(&meeting, &alice);
    assert!(encodings(video).last().is_some_and(|&encoding| encoding < 2), "{:?}", encodings(video));
    let sound = bob.hears(&meeting, &alice);
    let narrowed = meeting.ago(10_000 * MS);
    let heard = sound.stamps_between(narrowed, meeting.now()).count();
    assert!(heard >= 485, "{heard} of 500 packets of sound");
    let now = meeting.now();
    meeting.world.network.reconfigure(down, wide, now);
    meeting.run_for(20_000 * MS);
    assert_eq!(encodings(bob.sees(&meeting, &alice)).last(), Some(&2), "it comes back");
    assert_eq!(bob.sees(&meeting, &alice).timestamps_going_back(), 0);
    assert_eq!(bob.sees(&meeting, &alice).bad_switches(), 0);
}

#[test]
fn an_encrypted_picture_whose_keyframes_are_hidden_never_breaks_unseen() {
    let wide = LinkConfig::constant(Bitrate::kbps(3_000), 20 * MS, 300 * MS);
    let narrow = LinkConfig::constant(Bitrate::kbps(400), 20 * MS, 300 * MS);
    let mut meeting = Meeting::new(5);
    meeting.encrypts = true;
    let alice = Person::simulcast_keyed(&mut meeting, 1, 1, VideoConfig::default(), Path::round_trip(40 * MS));
    let path = Path { up: LinkConfig::delayed(20 * MS), down: wide.clone() };
    let bob = Person::keyed(&mut meeting, 2, 1, VideoConfig::default(), path);
    Person::watch_each_other(&mut meeting, &[alice, bob]);
    meeting.run_until_connected();
    let (_, down) = meeting.world.network.links_of(bob.id);
    for link in [narrow, wide.clone(), wide] {
        meeting.run_for(10_000 * MS);
        let now = meeting.now();
        meeting.world.network.reconfigure(down, link, now);
    }
    meeting.run_for(10_000 * MS);
    let video = bob.sees(&meeting, &alice);
    assert_eq!((video.silent_breaks(), video.timestamps_going_back(), video.repeated()), (0, 0, 0));
    assert!(video.arrivals().len() > 500, "{}", video.arrivals().len());
    assert!(
        video.longest_silence(meeting.ago(5_000 * MS), meeting.now()) < 1_000 * MS,
        "it is back when there is room"
    );
    let now = meeting.now();
    assert!(bob.hears(&meeting, &alice).longest_silence(meeting.ago(39_000 * MS), now) < 1_000 * MS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn however_often_the_limit_changes_nothing_goes_back(
        seed: u64,
        temporal_layers in 1_u8..=3,
        limits in prop::collection::vec((0_u8..3, 20_u32..1_500), 1..12),
    ) {
        let (mut meeting, alice, bob) = two_people(seed, true, temporal_layers, Path::round_trip(60 * MS));
        for (limit, ms) in limits {
            meeting.limit(bob.id, alice.camera, limit);
            meeting.run_for(MS * ms);
        }
        meeting.run_for(500 * MS);
        let video = bob.sees(&meeting, &alice);
        prop_assert_eq!((video.missing(), video.repeated(), video.timestamps_going_back()), (0, 0, 0));
        prop_assert_eq!((video.confused_frames(), video.picture_gaps(), video.bad_switches()), (0, 0, 0));
    }
}
