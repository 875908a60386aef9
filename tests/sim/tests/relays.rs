//! A room in two engines: publishers in one, and subscribers in both, who notice nothing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use sfu_core::engine::command::Command;
use sfu_core::engine::event::Event;
use sfu_core::units::{Bitrate, NtpTime};
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Published;
use sim::oracle::Reception;
use sim::person::Person;
use sim::relayed::{Pair, Relayed};
use sim::world::{Path, RemoteId};

const MS: Duration = Duration::from_millis(1);
/// Where sender reports count from: 2026-01-01 in seconds since 1900.
const NTP_AT_START: u64 = 3_976_214_400;

/// Alice publishes in the first engine, where Bob watches; Carol watches in the second.
struct Room {
    pair: Pair,
    alice: Person,
    bob: Person,
    carol: Person,
    camera: Relayed,
    microphone: Relayed,
}

impl Room {
    fn new(seed: u64) -> Self {
        let mut pair = Pair::new(seed);
        let (video, path) = (VideoConfig::default(), || Path::round_trip(40 * MS));
        let alice = Person::simulcast_keyed(&mut pair.first, 1, 1, video, path());
        let bob = Person::keyed(&mut pair.first, 2, 1, video, path());
        let carol = Person::keyed(&mut pair.second, 3, 1, video, path());
        let (camera, microphone) = (pair.relay(alice.camera), pair.relay(alice.microphone));
        for published in [alice.camera, alice.microphone] {
            pair.first.watch(bob.id, published);
        }
        for relayed in [camera, microphone] {
            pair.second.watch(carol.id, relayed.published);
        }
        Self { pair, alice, bob, carol, camera, microphone }
    }

    fn run_for(&mut self, millis: u32) {
        self.pair.run_for(millis * MS);
    }

    fn carol_sees(&self) -> &Reception {
        self.pair.second.reception(self.carol.id, self.camera.published)
    }

    fn carol_hears(&self) -> &Reception {
        self.pair.second.reception(self.carol.id, self.microphone.published)
    }

    /// That nothing passed that should not have, by both books, and that nothing came broken.
    fn assert_rights(&mut self) {
        for meeting in [&mut self.pair.first, &mut self.pair.second] {
            assert_eq!(meeting.unauthorised(), 0);
            let stats = meeting.stats();
            assert_eq!((stats.unauthorized_forwards, stats.panics), (0, 0));
        }
    }

    fn limit(&mut self, encoding: u8) {
        self.pair.first.limit(self.bob.id, self.alice.camera, encoding);
        self.pair.second.limit(self.carol.id, self.camera.published, encoding);
    }
}

fn last_encoding(reception: &Reception) -> Option<u8> {
    reception.arrivals().last()?.stamp.map(|stamp| stamp.encoding)
}

#[test]
fn who_watches_through_a_relay_gets_each_encoding_that_they_ask_for_and_the_sound() {
    let mut room = Room::new(1);
    room.run_for(6_000);
    assert_eq!(last_encoding(room.carol_sees()), Some(2), "there is room for the best");
    for limit in [0, 1, 2] {
        room.limit(limit);
        room.run_for(4_000);
        assert_eq!(last_encoding(room.carol_sees()), Some(limit));
    }
    room.carol_sees().assert_seamless();
    room.carol_hears().assert_seamless();
    assert!(room.carol_hears().arrivals().len() > 800);
    let (from, until) = (room.pair.second.ago(10_000 * MS), room.pair.second.now());
    assert!(room.carol_sees().longest_silence(from, until) < 200 * MS);
    room.assert_rights();
    assert_eq!(room.pair.second.stats().relay_packets_out, 0);
    assert!(room.pair.first.stats().relay_packets_out > room.carol_sees().arrivals().len() as u64);
}

#[test]
fn a_keyframe_that_is_wanted_at_the_far_end_is_asked_of_the_publisher() {
    let mut room = Room::new(2);
    room.run_for(5_000);
    let asked = |room: &mut Room| room.pair.first.world.keyed(room.alice.id).keyframe_requests;
    let before = asked(&mut room);
    room.run_for(2_000);
    assert_eq!(asked(&mut room), before, "nobody wants one");
    let track = room.camera.published;
    let dave = Person::keyed(&mut room.pair.second, 4, 1, VideoConfig::default(), Path::round_trip(40 * MS));
    room.pair.second.watch(dave.id, track);
    room.run_for(600);
    assert!(asked(&mut room) > before);
    let dave_sees = room.pair.second.reception(dave.id, track);
    assert!(dave_sees.decodable_frames() > 5 && dave_sees.undecodable_frames() == 0);
    room.assert_rights();
}

#[test]
fn a_right_taken_from_the_relay_stops_the_track_at_the_far_end_before_the_answer() {
    let mut room = Room::new(3);
    for seed in 0..20 {
        room.run_for(1_000 + 37 * seed);
        let (camera, seen) = (room.camera, room.carol_sees().arrivals().len());
        room.pair.revoke(&camera);
        room.run_for(500);
        let stopped = room.carol_sees().arrivals().len();
        assert!(stopped >= seen, "what had left arrives");
        room.run_for(500);
        assert_eq!(room.carol_sees().arrivals().len(), stopped);
        room.pair.allow(&camera);
        let departures = room.pair.second.world.network.departures();
        room.pair.second.permissions.allow(camera.published.source, room.carol.id.index(), departures);
        room.run_for(700);
        assert!(room.carol_sees().arrivals().len() > stopped, "it goes on with a keyframe");
    }
    assert!(room.carol_sees().undecodable_frames() <= 20, "but for those in the midst of which it stopped");
    let carol_hears = room.carol_hears();
    assert_eq!(carol_hears.missing(), 0, "the sound has a right of its own");
    room.assert_rights();
}

#[test]
fn what_is_muted_where_the_publisher_is_leaves_no_other_engine_and_is_not_had_later() {
    let mut room = Room::new(4);
    for (silence, seed) in [(300, 0), (50, 1), (4_000, 2), (9, 3)] {
        room.run_for(2_000 + 13 * seed);
        let (camera, microphone) = (room.camera, room.microphone);
        room.pair.mute(&camera, true);
        room.pair.mute(&microphone, true);
        room.run_for(silence);
        room.pair.mute(&camera, false);
        room.pair.mute(&microphone, false);
        room.run_for(1_500);
        let heard = room.carol_hears();
        let (from, until) = (room.pair.second.ago(1_000 * MS), room.pair.second.now());
        assert!(heard.longest_silence(from, until) < 60 * MS, "it goes on");
    }
    assert!(room.carol_sees().undecodable_frames() <= 4, "but for those in the midst of which it stopped");
    room.carol_hears().assert_seamless();
    // What was captured while it was muted came to nobody: Bob's rights are those of the engine with the publisher.
    let bob_hears = room.pair.first.reception(room.bob.id, room.alice.microphone).arrivals().len();
    assert!(room.carol_hears().arrivals().len().abs_diff(bob_hears) < 40);
    room.assert_rights();
}

#[test]
fn lips_stay_with_the_voice_through_a_relay() {
    let mut room = Room::new(5);
    room.run_for(4_000);
    for _ in 0..2 {
        let camera = room.camera;
        for track in [room.camera, room.microphone] {
            assert_clock(&mut room, track);
        }
        room.pair.revoke(&camera);
        room.run_for(300);
        room.pair.allow(&camera);
        let departures = room.pair.second.world.network.departures();
        room.pair.second.permissions.allow(camera.published.source, room.carol.id.index(), departures);
        room.run_for(900);
    }
}

/// That the last sender report puts the last packet of the track to when it was captured, by the publisher's clock. The
/// publisher takes the timestamp of the frame before for that of the moment.
fn assert_clock(room: &mut Room, track: Relayed) {
    let carol = room.pair.second.world.keyed(room.carol.id);
    let mut receptions = carol.oracle.receptions();
    let (ssrc, reception) = receptions.find(|(_, known)| known.carries(track.published.source)).expect("it came");
    let last = reception.arrivals().last().expect("some came");
    let report = carol.clocks.get(&ssrc).expect("its clock was told");
    let rate = if track.published.source % 2 == 1 { 48_000.0 } else { 90_000.0 };
    let ticks = (last.timestamp as u32).wrapping_sub(report.timestamp) as i32;
    let by_clock = report.ntp.seconds_since(NtpTime(NTP_AT_START << 32)) + f64::from(ticks) / rate;
    let captured = last.stamp.expect("it is whole").captured().as_secs_f64();
    assert!((by_clock - captured).abs() < 0.05, "{by_clock} {captured}");
}

#[test]
fn what_is_lost_between_two_engines_is_had_again() {
    let mut room = Room::new(6);
    room.pair.losing = 0.1;
    room.run_for(20_000);
    let (lost, carried) = (room.pair.lost, room.pair.carried);
    assert!(lost > 500 && carried > 5_000, "{lost} of {carried}");
    let seen = room.carol_sees();
    assert_eq!((seen.damaged(), seen.bad_switches(), seen.confused_frames()), (0, 0, 0));
    assert!(seen.undecodable_frames() * 100 < seen.decodable_frames(), "{}", seen.undecodable_frames());
    assert!(room.carol_hears().missing() < 5, "{}", room.carol_hears().missing());
    room.assert_rights();
}

/// What happens to one end, and what the other makes of it.
fn ends(act: impl FnOnce(&mut Room)) -> Room {
    let mut room = Room::new(7);
    room.run_for(2_000);
    act(&mut room);
    room.pair.tell();
    let departures = room.pair.second.world.network.departures();
    let sources = [room.camera, room.microphone].map(|track| track.published.source);
    for source in sources {
        room.pair.second.permissions.revoke_all(source, departures);
    }
    let before = room.pair.second.world.network.departures();
    room.run_for(1_500);
    assert!(room.pair.second.world.network.departures() - before < 100, "but for reports nothing leaves");
    room.assert_rights();
    room
}

fn closed(events: &[Event]) -> BTreeSet<sfu_core::ids::PeerId> {
    events.iter().filter_map(|event| if let Event::PeerClosed { peer } = event { Some(*peer) } else { None }).collect()
}

#[test]
fn a_relay_ends_at_the_far_end_with_its_track_its_publisher_its_room_or_its_near_end() {
    let relays = |room: &Room| [room.camera, room.microphone];
    for way in 0..4 {
        let room = ends(|room| {
            let now = room.pair.first.now();
            let commands = match way {
                0 => relays(room).map(|relay| Command::Unpublish { track: relay.original.track }).to_vec(),
                1 => vec![Command::RemovePeer { peer: room.pair.first.peer(room.alice.id) }],
                2 => vec![Command::RemoveRoom { room: room.pair.first.room }],
                _ => relays(room).map(|relay| Command::RemovePeer { peer: relay.near }).to_vec(),
            };
            for command in commands {
                room.pair.first.world.server.command(command, now).expect("it can be");
            }
            let departures = room.pair.first.world.network.departures();
            for source in relays(room).map(|relay| relay.original.source).into_iter().filter(|_| way < 3) {
                room.pair.first.permissions.revoke_all(source, departures);
            }
        });
        let expected: BTreeSet<_> = relays(&room).map(|relay| relay.far).into();
        assert_eq!(closed(&room.pair.second.world.server.events), expected, "{way}");
        let near: BTreeSet<_> = relays(&room).map(|relay| relay.near).into();
        let told = closed(&room.pair.first.world.server.events);
        assert!(if way < 3 { told == near } else { told.is_empty() }, "who removes an end is not told of it");
    }
}

#[test]
fn a_relay_ends_at_the_near_end_with_its_far_end_and_the_publisher_goes_on() {
    for whole_room in [false, true] {
        let mut room = ends(|room| {
            let now = room.pair.second.now();
            let ends = [room.camera, room.microphone].map(|relay| Command::RemovePeer { peer: relay.far });
            let room_ends = Command::RemoveRoom { room: room.pair.second.room };
            for command in if whole_room { vec![room_ends] } else { ends.to_vec() } {
                room.pair.second.world.server.command(command, now).expect("it can be");
            }
        });
        let near: BTreeSet<_> = [room.camera, room.microphone].map(|relay| relay.near).into();
        assert_eq!(closed(&room.pair.first.world.server.events), near);
        assert_eq!(closed(&room.pair.second.world.server.events), BTreeSet::new());
        let bob_sees = room.pair.first.reception(room.bob.id, room.alice.camera);
        let (from, until) = (room.pair.first.ago(1_000 * MS), room.pair.first.now());
        assert!(bob_sees.longest_silence(from, until) < 100 * MS);
        let before = room.pair.carried;
        room.run_for(500);
        assert_eq!(room.pair.carried, before, "nothing goes to where nobody is");
        for peer in near {
            room.pair.first.command(Command::RemovePeer { peer });
        }
        assert_eq!(room.pair.first.stats().peers, 2);
    }
}

#[test]
fn a_picture_of_one_encoding_comes_down_to_what_a_downlink_at_the_far_end_carries() {
    let mut pair = Pair::new(8);
    let video = VideoConfig { bitrate: Bitrate::kbps(2_000), ..VideoConfig::default() };
    let alice = Person::keyed(&mut pair.first, 1, 0, video, Path::round_trip(40 * MS));
    let narrow = |kbps| LinkConfig::constant(Bitrate::kbps(kbps), 20 * MS, 1_000 * MS);
    let path = Path { up: LinkConfig::delayed(20 * MS), down: narrow(10_000) };
    let carol = Person::keyed(&mut pair.second, 2, 1, VideoConfig::default(), path);
    let camera = pair.relay(alice.camera);
    pair.second.watch(carol.id, camera.published);
    pair.run_for(5_000 * MS);
    let sent = |pair: &mut Pair| pair.first.world.keyed(alice.id).sent_packets(alice.camera.source);
    let rate = |pair: &mut Pair, seconds: u32| {
        let before = sent(pair);
        pair.run_for(1_000 * MS * seconds);
        (sent(pair) - before) / u64::from(seconds)
    };
    let free = rate(&mut pair, 3);
    assert_eq!(pair.first.stats().publisher_limits, 0);
    let (_, down) = pair.second.world.network.links_of(carol.id);
    let now = pair.second.now();
    pair.second.world.network.reconfigure(down, narrow(1_000), now);
    pair.run_for(15_000 * MS);
    let limited = rate(&mut pair, 5);
    assert!(pair.first.stats().publisher_limits > 0);
    assert!(limited < free * 6 / 10, "{limited} of {free} packets a second");
    // Who watches no more limits nobody.
    pair.first.command(Command::RemovePeer { peer: camera.near });
    pair.run_for(15_000 * MS);
    assert!(rate(&mut pair, 3) > free * 8 / 10);
}

/// Which packets of a track came of what was captured between these moments, as their publisher numbered them.
fn packets(meeting: &sim::meeting::Meeting, who: RemoteId, track: Published, span: std::ops::Range<Duration>) -> Came {
    let reception = meeting.reception(who, track);
    let stamps = reception.arrivals().iter().map(|arrival| (arrival.stamp.expect("it is whole"), arrival.marker));
    let within = stamps.filter(|(stamp, _)| span.contains(&stamp.captured()));
    within.map(|(stamp, marker)| (stamp.encoding, stamp.frame, stamp.index, stamp.keyframe, marker)).collect()
}

type Came = BTreeSet<(u8, u32, u16, bool, bool)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn who_watches_through_a_relay_gets_the_packets_that_they_would_have_got_without(
        seed: u64, limits in proptest::collection::vec(0u8..3, 1..4), losing in prop_oneof![Just(0.0), Just(0.02)],
    ) {
        let mut room = Room::new(seed);
        room.pair.losing = losing;
        room.run_for(3_000);
        for limit in limits {
            room.limit(limit);
            room.run_for(2_500);
            let (first, start) = (&room.pair.first, room.pair.first.world.start());
            let span = first.ago(1_000 * MS) - start..first.ago(300 * MS) - start;
            for track in [room.camera, room.microphone] {
                let here = packets(&room.pair.first, room.bob.id, track.original, span.clone());
                let there = packets(&room.pair.second, room.carol.id, track.published, span.clone());
                prop_assert!(here.len() > 20, "{}", here.len());
                prop_assert_eq!(here, there);
            }
        }
        room.assert_rights();
    }
}
