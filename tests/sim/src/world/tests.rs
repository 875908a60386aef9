use std::net::IpAddr;

use sfu_core::engine::transmit::{Group, TransmitBatch};
use sfu_core::units::Bitrate;

use super::*;
use crate::browser::{BrowserConfig, Section};
use crate::media::{Camera, Microphone, VideoConfig};

const SERVER: &str = "192.0.2.1:5000";
const MS: Duration = Duration::from_millis(1);

/// Passes everything that one participant sends to the other one, so that two browsers talk to each other through it.
#[derive(Debug, Default)]
struct Relay {
    ends: Vec<SocketAddr>,
    waiting: Vec<(SocketAddr, Vec<u8>)>,
}

impl Server for Relay {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], _now: Instant) {
        for datagram in batch {
            let others = self.ends.iter().filter(|&&end| end != datagram.source);
            self.waiting.extend(others.map(|&end| (end, datagram.bytes.to_vec())));
        }
    }

    fn tick(&mut self, now: Instant) -> Instant {
        now + Duration::from_secs(1)
    }

    fn flush(&mut self, sink: &mut dyn Sink, _now: Instant) {
        let mut batch = TransmitBatch::default();
        for (destination, bytes) in self.waiting.drain(..) {
            let range = batch.bytes.len()..batch.bytes.len() + bytes.len();
            let source: Option<IpAddr> = None;
            batch.groups.push(Group { destination, source, segment_size: bytes.len(), range });
            batch.bytes.extend_from_slice(&bytes);
        }
        sink.transmit(&batch);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct Call {
    world: World<Relay>,
    caller: RemoteId,
    callee: RemoteId,
}

/// Two browsers; the first sends a camera (track 1) and a microphone (track 2) to the other.
fn call(path: Path, seed: u64) -> Call {
    let ends = [address("198.51.100.1:4000"), address("198.51.100.2:4000")];
    let clock = Clock::new();
    let mut world = World::new(Relay { ends: ends.to_vec(), ..Relay::default() }, address(SERVER), clock, seed);
    let (start, now) = (world.start(), world.now());
    let [mut caller, mut callee] = ends.map(|end| Browser::new(&BrowserConfig::at(end), start, now));
    let (offer, mids) = caller.offer(&[Section::SendVideo, Section::SendAudio]);
    let answer = callee.answer(&facing(&offer, ends[0]), now);
    caller.accept(&facing(&answer, ends[1]), now);
    caller.publish(mids[0], None, Camera::new(1, 0, VideoConfig::default(), start, start));
    caller.publish(mids[1], None, Microphone::new(2, 0, start, start));
    let caller = world.join(caller, ends[0], path.clone());
    let callee = world.join(callee, ends[1], path);
    Call { world, caller, callee }
}

/// Lets a description name the server instead of the browser that made it.
fn facing(description: &str, end: SocketAddr) -> String {
    let server = address(SERVER);
    let (from, to) = (format!("{} {}", end.ip(), end.port()), format!("{} {}", server.ip(), server.port()));
    description.replace(&from, &to)
}

#[test]
fn two_browsers_connect_and_every_packet_arrives_whole() {
    let Call { mut world, caller, callee } = call(Path::round_trip(50 * MS), 1);
    assert!(world.run_until_true(2_000 * MS, |world| world.browser(callee).is_connected()));
    world.run_for(5_000 * MS);
    let sent = world.browser(caller).sent_packets(1);
    assert!(sent > 600, "{sent}");
    let start = world.start();
    let oracle = world.remote(callee).oracle();
    let video = oracle.reception_of(1).expect("the camera arrives");
    let audio = oracle.reception_of(2).expect("the microphone arrives");
    assert!(video.in_time(1, 100 * MS, start) as u64 >= sent - 10);
    for reception in [video, audio] {
        assert_eq!((reception.missing(), reception.damaged(), reception.timestamps_going_back()), (0, 0, 0));
    }
    assert_eq!((video.undecodable_frames(), video.picture_gaps(), video.confused_frames()), (0, 0, 0));
}

#[test]
fn lost_video_is_recovered_and_lost_sound_is_not() {
    let path = Path::both(LinkConfig::constant(Bitrate::kbps(5_000), 25 * MS, 300 * MS).losing(0.05));
    let Call { mut world, callee, .. } = call(path, 2);
    world.run_for(10_000 * MS);
    let oracle = world.remote(callee).oracle();
    let video = oracle.reception_of(1).expect("the camera arrives");
    let audio = oracle.reception_of(2).expect("the microphone arrives");
    assert!(audio.missing() > 20, "{}", audio.missing());
    assert!(video.missing() < 5, "{}", video.missing());
}

#[test]
fn a_blocked_path_carries_nothing_until_it_is_unblocked() {
    let Call { mut world, callee, .. } = call(Path::round_trip(20 * MS), 3);
    world.run_for(2_000 * MS);
    let now = world.now();
    world.network.set_blocked(callee, true, now);
    world.run_for(1_000 * MS);
    world.remote(callee).oracle().packets();
    let from = now + 10 * MS;
    let audio = world.remote(callee).oracle().reception_of(2).expect("the microphone arrived");
    assert!(audio.longest_silence(from, world.now()) >= 980 * MS);
    let now = world.now();
    world.network.set_blocked(callee, false, now);
    world.run_for(1_000 * MS);
    let audio = world.remote(callee).oracle().reception_of(2).expect("the microphone arrives");
    assert!(audio.longest_silence(now + 100 * MS, world.now()) < 50 * MS);
}

#[test]
fn the_guard_holds_copies_and_drops_what_the_test_says() {
    let Call { mut world, caller, callee } = call(Path::round_trip(20 * MS), 4);
    world.run_for(1_000 * MS);
    let from = address("198.51.100.1:4000");
    world
        .network
        .set_checkpoint(Some(Box::new(move |passing| if passing.from == from { Fate::Hold } else { Fate::Pass })));
    let before = world.remote(callee).oracle().packets();
    world.run_for(20 * MS);
    let midway = world.remote(callee).oracle().packets();
    world.run_for(200 * MS);
    assert_eq!(world.remote(callee).oracle().packets(), midway, "nothing new comes in");
    assert!(midway > before);
    let held = world.network.take_kept();
    assert!(held.len() > 30, "{}", held.len());
    world.network.set_checkpoint(None);
    for passing in held {
        world.network.inject(passing.from, passing.bytes);
    }
    world.run_for(100 * MS);
    assert_eq!(world.remote(callee).oracle().receptions().map(|(_, reception)| reception.missing()).sum::<usize>(), 0);
    assert!(world.browser(caller).is_connected());
}

#[test]
fn a_translator_that_forgets_gives_another_address_and_cuts_off_the_old_one() {
    let Call { mut world, caller, callee } = call(Path::round_trip(20 * MS), 5);
    world.run_for(1_000 * MS);
    let (inside, outside) = (address("198.51.100.2:4000"), address("203.0.113.9:61000"));
    world.network.rebind(callee, inside, outside);
    world.run_for(500 * MS);
    let stale = world.network.strays().len();
    assert!(stale > 50, "the relay still sends to the old address");
    world.server.ends = vec![address("198.51.100.1:4000"), outside];
    let from = world.now();
    world.run_for(500 * MS);
    let audio = world.remote(callee).oracle().reception_of(2).expect("the microphone arrives");
    assert!(audio.longest_silence(from + 50 * MS, world.now()) < 50 * MS);
    assert!(world.browser(caller).is_connected());
}

#[test]
fn one_place_is_used_again_after_its_participant_vanished() {
    let Call { mut world, callee, .. } = call(Path::default(), 6);
    world.run_for(100 * MS);
    assert!(world.vanish(callee).is_some());
    assert_eq!(world.remotes().count(), 1);
    let (start, now) = (world.start(), world.now());
    let end = address("198.51.100.3:4000");
    let browser = Browser::new(&BrowserConfig::at(end), start, now);
    assert_eq!(world.join(browser, end, Path::default()), callee);
    world.run_for(100 * MS);
}
