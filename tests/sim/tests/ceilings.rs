//! Pictures in one encoding only: their publisher is asked for less when somebody can take no more.

use std::time::Duration;

use sfu_core::bwe::ceiling::LOWEST_CEILING;
use sfu_core::session::CongestionFeedback;
use sfu_core::units::{Bitrate, DataSize};
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
/// More than the narrow links carry.
const CAMERA: VideoConfig = VideoConfig {
    bitrate: Bitrate::kbps(2_000),
    codec: sim::media::VideoCodec::Vp8,
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
    let path = Path { up: LinkConfig::delayed(20 * MS), down: link(10_000) };
    let others: Vec<Person> = (2..2 + others)
        .map(|number| {
            let other = Person::keyed_with(&mut meeting, number, 1, VideoConfig::default(), path.clone(), feedback);
            meeting.watch(other.id, alice.camera);
            meeting.watch(other.id, alice.microphone);
            other
        })
        .collect();
    meeting.run_for(5_000 * MS);
    (meeting, alice, others)
}

fn set_downlink(meeting: &mut Meeting, person: &Person, kbps: u64) {
    let (_, down) = meeting.world.network.links_of(person.id);
    let now = meeting.now();
    meeting.world.network.reconfigure(down, link(kbps), now);
}

/// What `person` gets in so many seconds: pictures a second that can be decoded, their rate, and packets of sound a second.
fn gets(meeting: &mut Meeting, person: &Person, alice: &Person, seconds: u32) -> (f64, Bitrate, f64) {
    let count = |meeting: &Meeting| {
        let (seen, heard) = (person.sees(meeting, alice), person.hears(meeting, alice));
        (seen.decodable_frames(), heard.arrivals().len())
    };
    let (frames, sound) = count(meeting);
    let span = MS * 1_000 * seconds;
    meeting.run_for(span);
    let (frames_now, sound_now) = count(meeting);
    let packets = person.sees(meeting, alice).stamps_between(meeting.ago(span), meeting.now()).count();
    let per_second = |count: usize| count as f64 / f64::from(seconds);
    let rate = Bitrate::of(DataSize::bytes(packets as u64 * 1_000), span);
    (per_second(frames_now - frames), rate, per_second(sound_now - sound))
}

#[test]
fn a_picture_of_one_encoding_comes_down_to_what_a_narrow_downlink_carries_and_goes_up_again() {
    for feedback in [CongestionFeedback::TransportCc, CongestionFeedback::Remb] {
        for seed in 1..=6 {
            let (mut meeting, alice, others) = meeting(seed, 1, feedback);
            let [bob] = others[..] else { panic!("one other") };
            set_downlink(&mut meeting, &bob, 1_000);
            meeting.run_for(15_000 * MS);
            let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 20);
            assert!(frames >= 25.0, "{feedback:?} {seed}: {frames} pictures a second");
            assert!(rate >= Bitrate::kbps(500), "{feedback:?} {seed}: {rate:?}");
            assert!(sound >= 49.0, "{feedback:?} {seed}: {sound} packets of sound a second");
            set_downlink(&mut meeting, &bob, 10_000);
            meeting.run_for(25_000 * MS);
            let (_, rate, _) = gets(&mut meeting, &bob, &alice, 5);
            assert!(rate >= Bitrate::kbps(1_700), "{feedback:?} {seed}: back at {rate:?}");
        }
    }
}

#[test]
fn zz_look() {
    for obliging in [true, false] {
        for feedback in [CongestionFeedback::TransportCc, CongestionFeedback::Remb] {
            for seed in 1..=6 {
                let (mut meeting, alice, others) = meeting(seed, 1, feedback);
                meeting.world.keyed(alice.id).obliging = obliging;
                let [bob] = others[..] else { panic!("one other") };
                set_downlink(&mut meeting, &bob, 1_000);
                let mut line = String::new();
                for _ in 0..8 {
                    let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 5);
                    line += &format!(" {frames:.0}/{:.0}/{sound:.0}", rate.as_f64() / 1000.0);
                }
                line += " |";
                set_downlink(&mut meeting, &bob, 10_000);
                for _ in 0..5 {
                    let (frames, rate, sound) = gets(&mut meeting, &bob, &alice, 5);
                    line += &format!(" {frames:.0}/{:.0}/{sound:.0}", rate.as_f64() / 1000.0);
                }
                println!("{obliging} {feedback:?} {seed}: {line}");
            }
        }
    }
}
