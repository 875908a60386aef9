//! Pictures in one encoding only: their publisher is asked for less when somebody can take no more.

use std::time::Duration;

use sfu_core::session::CongestionFeedback;
use sfu_core::units::{Bitrate, DataSize};
use sim::keyed::{Sends, Wishes};
use sim::link::LinkConfig;
use sim::media::{Camera, VideoCodec, VideoConfig};
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
/// More than the narrow links carry.
const CAMERA: VideoConfig = VideoConfig {
    bitrate: Bitrate::kbps(2_000),
    codec: VideoCodec::Vp8,
    frames_per_minute: 1_800,
    temporal_layers: 1,
    keyframe_interval: 0,
};

/// A queue of a second, as home routers have.
fn link(kbps: u64) -> LinkConfig {
    LinkConfig::constant(Bitrate::kbps(kbps), 20 * MS, 1_000 * MS)
}

/// Alice is seen by all the others, whose downlinks are wide.
fn meeting(seed: u64, others: u32, feedback: CongestionFeedback) -> (Meeting, Person, Vec<Person>) {
    let mut meeting = Meeting::new(seed);
    let alice = Person::keyed(&mut meeting, 1, 0, CAMERA, Path::round_trip(40 * MS));
    let others: Vec<Person> = (2..2 + others)
        .map(|number| {
            let other = Person::keyed_with(&mut meeting, number, 1, VideoConfig::default(), wide(), feedback);
            meeting.watch(other.id, alice.camera);
            meeting.watch(other.id, alice.microphone);
            other
        })
        .collect();
    meeting.run_for(5_000 * MS);
    assert_eq!(meeting.stats().publisher_limits, 0, "the downlinks are wide");
    (meeting, alice, others)
}

fn set_downlink(meeting: &mut Meeting, person: &Person, kbps: u64) {
    let (_, down) = meeting.world.network.links_of(person.id);
    let now = meeting.now();
    meeting.world.network.reconfigure(down, link(kbps), now);
}

/// Bob's downlink is as wide as he needs, for now.
fn wide() -> Path {
    Path { up: LinkConfig::delayed(20 * MS), down: link(10_000) }
}

/// What `person` gets in so many seconds: pictures a second that can be decoded, their rate, and packets of sound a second.
fn gets(meeting: &mut Meeting, person: &Person, alice: &Person, seconds: u32) -> (f64, Bitrate, f64) {
    let frames = person.sees(meeting, alice).decodable_frames();
    let span = MS * 1_000 * seconds;
    meeting.run_for(span);
    // Of what left so long ago nothing is still in a queue.
    let (from, until) = (meeting.ago(span + 1_100 * MS), meeting.ago(1_100 * MS));
    let sound = person.hears(meeting, alice).stamps_between(from, until).count();
    let packets = person.sees(meeting, alice).stamps_between(from, until).count();
    let per_second = |count: usize| count as f64 / f64::from(seconds);
    let frames = person.sees(meeting, alice).decodable_frames() - frames;
    (per_second(frames), Bitrate::of(DataSize::bytes(packets as u64 * 1_000), span), per_second(sound))
}

#[test]
fn a_picture_of_one_encoding_comes_down_to_what_a_narrow_downlink_carries_and_goes_up_again() {
    // Who tells only its own estimate is asked by and by whether there is more.
    for (feedback, until_back) in [(CongestionFeedback::TransportCc, 15_000), (CongestionFeedback::Remb, 45_000)] {
        let mut all = Vec::new();
        for seed in 1..=8 {
            let (mut meeting, alice, others) = meeting(seed, 1, feedback);
            let [bob] = others[..] else { panic!("one other") };
            set_downlink(&mut meeting, &bob, 1_000);
            meeting.run_for(15_000 * MS);
            let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 20);
            // Where a queue is seen by round trips alone, one may be seen too late and a picture stand for some seconds.
            assert!(frames >= 20.0, "{feedback:?} {seed}: {frames} pictures a second");
            all.push(frames);
            assert!(rate >= Bitrate::kbps(500), "{feedback:?} {seed}: {rate:?}");
            assert!(sound >= 49.0, "{feedback:?} {seed}: {sound} packets of sound a second");
            set_downlink(&mut meeting, &bob, 10_000);
            meeting.run_for(until_back * MS);
            let (_, rate, _) = gets(&mut meeting, &bob, &alice, 5);
            assert!(rate >= Bitrate::kbps(1_700), "{feedback:?} {seed}: back at {rate:?}");
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!(mean >= 28.0, "{feedback:?}: {all:?}");
    }
}

#[test]
fn one_weak_link_takes_from_the_others_only_while_it_is_there() {
    let (mut meeting, alice, others) = meeting(7, 2, CongestionFeedback::TransportCc);
    let [bob, carol] = others[..] else { panic!("two others") };
    set_downlink(&mut meeting, &bob, 600);
    meeting.run_for(20_000 * MS);
    let (frames, rate, _) = gets(&mut meeting, &carol, &alice, 10);
    assert!(frames >= 29.0 && rate < Bitrate::kbps(600), "{frames} pictures a second, {rate:?}");
    let (frames, _, sound) = gets(&mut meeting, &bob, &alice, 10);
    assert!(frames >= 29.0 && sound >= 49.0, "{frames} pictures, {sound} packets of sound a second");
    meeting.leave(bob.id);
    meeting.run_for(5_000 * MS);
    let (frames, rate, _) = gets(&mut meeting, &carol, &alice, 5);
    assert!(frames >= 29.0 && rate >= Bitrate::kbps(1_700), "{frames} pictures a second, {rate:?}");
    assert_eq!(meeting.stats().publisher_limits, 1, "asked once, for as long as it was needed");
}

#[test]
fn a_link_that_carries_no_picture_spoils_it_for_nobody() {
    let (mut meeting, alice, others) = meeting(7, 2, CongestionFeedback::TransportCc);
    let [bob, carol] = others[..] else { panic!("two others") };
    set_downlink(&mut meeting, &bob, 150);
    meeting.run_for(10_000 * MS);
    for _ in 0..6 {
        let (frames, rate, _) = gets(&mut meeting, &carol, &alice, 5);
        assert!(frames >= 29.0 && rate >= Bitrate::kbps(1_700), "{frames} pictures a second, {rate:?}");
    }
    let (_, _, sound) = gets(&mut meeting, &bob, &alice, 10);
    assert!(sound >= 49.0, "whoever can take no picture hears everything: {sound} packets a second");
}

#[test]
fn in_a_call_of_two_a_picture_is_shown_through_very_little() {
    let (mut meeting, alice, others) = meeting(10, 1, CongestionFeedback::TransportCc);
    let [bob] = others[..] else { panic!("one other") };
    set_downlink(&mut meeting, &bob, 350);
    meeting.run_for(15_000 * MS);
    let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 20);
    assert!(frames >= 25.0 && sound >= 49.0, "{frames} pictures at {rate:?}, {sound} packets of sound a second");
}

#[test]
fn a_picture_that_was_too_much_is_shown_again_when_the_link_has_become_wide_enough_for_less_of_it() {
    for seed in 1..=6 {
        let (mut meeting, alice, others) = meeting(seed, 1, CongestionFeedback::TransportCc);
        let [bob] = others[..] else { panic!("one other") };
        set_downlink(&mut meeting, &bob, 250);
        meeting.run_for(20_000 * MS);
        let (frames, ..) = gets(&mut meeting, &bob, &alice, 5);
        assert!(frames < 5.0, "{seed}: {frames} pictures a second through less than any needs");
        set_downlink(&mut meeting, &bob, 1_000);
        meeting.run_for(40_000 * MS);
        let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 20);
        assert!(frames >= 25.0 && sound >= 49.0, "{seed}: {frames} pictures at {rate:?}, {sound} packets of sound");
    }
}

#[test]
fn a_picture_that_is_paused_is_asked_for_in_a_size_that_fits() {
    // Where a queue is seen by round trips alone, not every try succeeds.
    let shown = (1..=6).filter(|&seed| {
        let (mut meeting, alice, others) = meeting(seed, 1, CongestionFeedback::Remb);
        let [bob] = others[..] else { panic!("one other") };
        set_downlink(&mut meeting, &bob, 250);
        meeting.run_for(20_000 * MS);
        set_downlink(&mut meeting, &bob, 700);
        meeting.run_for(50_000 * MS);
        let (frames, ..) = gets(&mut meeting, &bob, &alice, 10);
        frames >= 20.0
    });
    let shown = shown.count();
    assert!(shown >= 4, "{shown} of 6");
}

#[test]
fn the_picture_of_who_does_not_send_less_is_paused_and_sound_is_whole() {
    let (mut meeting, alice, others) = meeting(8, 1, CongestionFeedback::TransportCc);
    meeting.world.keyed(alice.id).obliging = false;
    let [bob] = others[..] else { panic!("one other") };
    set_downlink(&mut meeting, &bob, 1_000);
    meeting.run_for(10_000 * MS);
    let (frames, _, sound) = gets(&mut meeting, &bob, &alice, 20);
    assert!(frames < 5.0, "{frames} pictures a second through half of what they need");
    assert!(sound >= 49.0, "{sound} packets of sound a second");
    assert_eq!(meeting.stats().publisher_limits, 1, "it is left alone");
    meeting.run_for(60_000 * MS);
    assert_eq!(meeting.stats().publisher_limits, 2, "and asked once more a minute later");
}

#[test]
fn a_subscriber_that_is_cut_off_holds_nobody_down() {
    let (mut meeting, alice, others) = meeting(9, 2, CongestionFeedback::TransportCc);
    let [bob, carol] = others[..] else { panic!("two others") };
    let (up, down) = meeting.world.network.links_of(bob.id);
    let now = meeting.now();
    for link in [up, down] {
        meeting.world.network.reconfigure(link, LinkConfig::delayed(20 * MS).losing(1.0), now);
    }
    for _ in 0..4 {
        let (_, rate, _) = gets(&mut meeting, &carol, &alice, 5);
        assert!(rate >= Bitrate::kbps(1_700), "{rate:?}");
    }
}

#[test]
fn a_picture_comes_down_far_enough_beside_cameras_and_microphones_that_are_switched_off() {
    let mut meeting = Meeting::new(11);
    let alice = Person::keyed(&mut meeting, 1, 0, CAMERA, Path::round_trip(40 * MS));
    let sends = || vec![Sends::Video(VideoCodec::Vp8, &[]), Sends::Audio];
    let carol = meeting.join_keyed(|wishes| Wishes { sends: sends(), ..wishes }, Path::round_trip(40 * MS));
    let silent = [meeting.publish(carol, 0, 100), meeting.publish(carol, 1, 101)];
    let bob = Person::keyed(&mut meeting, 2, 2, VideoConfig::default(), wide());
    for published in silent.into_iter().chain([alice.camera, alice.microphone]) {
        meeting.watch(bob.id, published);
    }
    meeting.run_for(5_000 * MS);
    set_downlink(&mut meeting, &bob, 1_000);
    meeting.run_for(15_000 * MS);
    let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 20);
    assert!(frames >= 25.0 && sound >= 49.0, "{frames} pictures at {rate:?}, {sound} packets of sound a second");
}

#[test]
fn of_a_publisher_that_sends_a_second_picture_less_is_asked_no_longer_so_that_neither_takes_from_the_other() {
    let mut meeting = Meeting::new(12);
    let sends = || vec![Sends::Video(VideoCodec::Vp8, &[]), Sends::Video(VideoCodec::Vp8, &[])];
    let alice = meeting.join_keyed(|wishes| Wishes { sends: sends(), ..wishes }, Path::round_trip(40 * MS));
    let show = |meeting: &mut Meeting, section: usize, source: u32| {
        let (start, now) = (meeting.world.start(), meeting.now());
        meeting.world.keyed(alice).publish(section, 0, Camera::new(source, 0, CAMERA, start, now));
        meeting.publish(alice, section, source)
    };
    let [bob, carol] = [2, 3].map(|number| Person::keyed(&mut meeting, number, 2, VideoConfig::default(), wide()));
    let rate = |meeting: &mut Meeting, published| {
        meeting.run_for(5_000 * MS);
        let (from, until) = (meeting.ago(4_000 * MS), meeting.now());
        let packets = meeting.reception(carol.id, published).stamps_between(from, until).count();
        Bitrate::of(DataSize::bytes(packets as u64 * 1_000), 4_000 * MS)
    };
    let camera = show(&mut meeting, 0, 100);
    for subscriber in [bob.id, carol.id] {
        meeting.watch(subscriber, camera);
    }
    meeting.run_for(5_000 * MS);
    set_downlink(&mut meeting, &bob, 1_200);
    meeting.run_for(15_000 * MS);
    assert!(rate(&mut meeting, camera) < Bitrate::kbps(1_200), "Bob takes no more, and there is one picture");
    let screen = show(&mut meeting, 1, 101);
    for subscriber in [bob.id, carol.id] {
        meeting.watch(subscriber, screen);
    }
    meeting.run_for(10_000 * MS);
    for published in [camera, screen] {
        let rate = rate(&mut meeting, published);
        assert!(rate >= Bitrate::kbps(1_700), "{published:?} {rate:?}");
    }
    assert_eq!(meeting.stats().publisher_limits, 1);
}
