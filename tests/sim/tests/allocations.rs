//! Once it is warm, the engine forwards without asking for memory: not for one stream, nor many, nor sound, nor rooms.

use std::alloc::System;
use std::time::Duration;

use sim::heap::{self, Counting, OfTheEngine};
use sim::link::LinkConfig;
use sim::load::{DELAY, Kind, LOSS, Load};
use sim::media::VideoConfig;
use sim::person::Person;
use sim::relayed::Pair;
use sim::world::Path;

/// So long that every subscriber has asked for something again, and every queue has had its first packet.
const WARM_UP: Duration = Duration::from_secs(30);
/// Of many slow streams, so much must be lost for so long: the first packet that is had again of each takes memory, in
/// builds that note what was sealed.
const LOSSY: (f64, Duration) = (0.2, Duration::from_secs(12));
const MEASURED: Duration = Duration::from_secs(5);

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

/// Asserts that the warm load takes no memory, and that so many packets of it leave.
fn assert_none(kind: Kind, at_least: u64) {
    let mut load = Load::new(kind, None);
    if matches!(kind, Kind::Video { tracks } if tracks > 1) {
        lose(&mut load, LOSSY.0);
        load.meeting.run_for(LOSSY.1);
        lose(&mut load, LOSS);
    }
    load.meeting.world.run_until(load.meeting.world.start() + WARM_UP);
    let before = load.meeting.stats();
    heap::take_calls();
    load.meeting.world.server.meter = Some(Box::new(OfTheEngine));
    load.meeting.run_for(MEASURED);
    load.meeting.world.server.meter = None;
    let (calls, after) = (heap::take_calls(), load.meeting.stats());
    let packets = after.rtp_packets_out - before.rtp_packets_out;
    assert!(packets >= at_least, "{packets} packets left");
    assert!(after.rtx_packets_out > before.rtx_packets_out || kind == Kind::Audio, "some were asked for again");
    assert_eq!(calls, 0, "{calls} allocations for {packets} packets");
}

/// Lets this share of what is sent to each receiver be lost.
fn lose(load: &mut Load, share: f64) {
    let now = load.meeting.now();
    let network = &mut load.meeting.world.network;
    for &receiver in &load.receivers {
        let (_, down) = network.links_of(receiver);
        network.reconfigure(down, LinkConfig::delayed(DELAY).losing(share), now);
    }
}

#[test]
fn a_camera_seen_by_fifty_takes_no_memory_per_packet() {
    assert_none(Kind::Video { tracks: 1 }, 37_000);
}

#[test]
fn fifty_streams_to_fifty_take_no_memory_per_packet() {
    assert_none(Kind::Video { tracks: 50 }, 37_000);
}

#[test]
fn a_microphone_heard_by_a_hundred_takes_no_memory_per_packet() {
    assert_none(Kind::Audio, 24_000);
}

#[test]
fn rooms_of_three_take_no_memory_per_packet() {
    assert_none(Kind::Rooms { rooms: 10 }, 59_000);
}

#[test]
fn a_camera_seen_through_a_relay_takes_no_memory_per_packet_in_either_engine() {
    let mut pair = Pair::new(1);
    let path = || Path::round_trip(2 * DELAY);
    let alice = Person::simulcast_keyed(&mut pair.first, 1, 0, VideoConfig::default(), path());
    let (camera, microphone) = (pair.relay(alice.camera), pair.relay(alice.microphone));
    for number in 2..12 {
        let carol = Person::keyed(&mut pair.second, number, 1, VideoConfig::default(), path());
        pair.second.watch(carol.id, camera.published);
        pair.second.watch(carol.id, microphone.published);
    }
    pair.losing = 0.02;
    pair.run_for(WARM_UP);
    let before = (pair.carried, pair.lost);
    heap::take_calls();
    for meeting in [&mut pair.first, &mut pair.second] {
        meeting.world.server.meter = Some(Box::new(OfTheEngine));
    }
    pair.run_for(MEASURED);
    for meeting in [&mut pair.first, &mut pair.second] {
        meeting.world.server.meter = None;
    }
    let (calls, carried, lost) = (heap::take_calls(), pair.carried - before.0, pair.lost - before.1);
    assert!(carried > 1_000 && lost > 5, "{lost} of {carried}");
    assert_eq!(calls, 0, "{calls} allocations for {carried} packets");
}
