//! What attackers can do: on the path, beside it, and with keys of their own. It changes nothing for anybody else.

use std::net::SocketAddr;
use std::time::Duration;

use sfu_core::ids::Ssrc;
use sfu_core::rtp::ext::ExtensionWriter;
use sfu_core::rtp::header::Header;
use sim::media::{STAMP_LEN, Stamp, VideoConfig};
use sim::meeting::{Meeting, participant_address};
use sim::person::Person;
use sim::world::{Fate, Passing, Path};

const MS: Duration = Duration::from_millis(1);
/// The number that Mallory's payloads carry.
const FORGED: u32 = 666;
/// Numbers of the extensions that participants with given keys have agreed on.
const MID: u8 = 4;
const RID: u8 = 10;

fn attacker() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 6_666))
}

fn call(keyed: bool, seed: u64) -> (Meeting, Person, Person) {
    let mut meeting = Meeting::new(seed);
    let enter = if keyed { Person::keyed } else { Person::browser };
    let [alice, bob] =
        [1, 2].map(|number| enter(&mut meeting, number, 1, VideoConfig::default(), Path::round_trip(40 * MS)));
    Person::watch_each_other(&mut meeting, &[alice, bob]);
    meeting.run_until_connected();
    meeting.run_for(2_000 * MS);
    (meeting, alice, bob)
}

fn assert_undisturbed(meeting: &mut Meeting, alice: &Person, bob: &Person, from: std::time::Instant) {
    for (subscriber, publisher) in [(alice, bob), (bob, alice)] {
        let (video, audio) = (subscriber.sees(meeting, publisher), subscriber.hears(meeting, publisher));
        for reception in [video, audio] {
            assert_eq!((reception.missing(), reception.repeated(), reception.damaged()), (0, 0, 0));
            assert_eq!(reception.timestamps_going_back(), 0);
            assert!(reception.longest_silence(from, meeting.now()) < 60 * MS);
            assert!(
                reception.arrivals().iter().all(|arrival| arrival.stamp.is_some_and(|stamp| stamp.source != FORGED))
            );
        }
        assert_eq!(video.undecodable_frames(), 0);
    }
    assert_eq!((meeting.unauthorised(), meeting.stats().unauthorized_forwards), (0, 0));
}

fn is_media(passing: &Passing) -> bool {
    passing.bytes.first().is_some_and(|first| (128..192).contains(first))
}

fn is_stun(passing: &Passing) -> bool {
    passing.bytes.first().is_some_and(|&first| first < 4)
}

/// A packet as Mallory would make it, with these labels.
fn forged(ssrc: u32, mid: Option<&str>, rid: Option<&str>, sequence: u16) -> (Vec<u8>, usize) {
    let mut plain = vec![0; 200];
    let header =
        Header { marker: true, payload_type: 96, sequence_number: sequence, timestamp: 90_000, ssrc: Ssrc(ssrc) };
    let (fixed, rest) = plain.split_first_chunk_mut().expect("there is room");
    header.write(true, fixed);
    let mut writer = ExtensionWriter::new(rest, false);
    for (id, label) in [(MID, mid), (RID, rid)] {
        if let Some(label) = label {
            writer.push(id, label.as_bytes()).expect("there is room");
        }
    }
    // Without any label the block still holds one element, so that the header's bit is right.
    writer.push(15 - 1, &[0]).expect("there is room");
    let header_len = Header::LEN + writer.finish();
    plain.truncate(header_len);
    plain.extend_from_slice(&[0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0, 0, 0, 0]);
    let stamp = Stamp {
        source: FORGED,
        encoding: 0,
        frame: u32::from(sequence),
        index: 0,
        count: 1,
        keyframe: true,
        temporal: 0,
        temporal_layers: 1,
        captured_us: 0,
    };
    stamp.append(STAMP_LEN, &mut plain);
    (plain, header_len)
}

#[test]
fn someone_elses_labels_on_ones_own_packets_reach_nobody() {
    let (mut meeting, alice, bob) = call(true, 1);
    let mallory = meeting.join_keyed(|wishes| wishes, Path::round_trip(40 * MS));
    let from = meeting.now();
    let alices = meeting.agreed(alice.id).receive[0].encodings[0].ssrc.map_or(0, |ssrc| ssrc.0);
    let to_bob = meeting.agreed(bob.id).send[0].ssrc.0;
    let labels = [
        (alices, None, None),
        (alices, Some("s0"), None),
        (to_bob, None, None),
        (7, Some("s0"), Some("f")),
        (8, None, Some("q")),
    ];
    for (number, (ssrc, mid, rid)) in labels.into_iter().enumerate() {
        for sequence in 0..20_u16 {
            let sequence = 1_000 * number as u16 + sequence;
            let (plain, header_len) = forged(ssrc, mid, rid, sequence);
            meeting.world.keyed(mallory).send_forged(&plain, header_len, u64::from(sequence));
        }
    }
    let before = meeting.stats().drops.not_published;
    meeting.run_for(2_000 * MS);
    assert_eq!(meeting.stats().drops.not_published - before, 100, "Mallory publishes nothing");
    assert_undisturbed(&mut meeting, &alice, &bob, from);
}

#[test]
fn an_unknown_label_on_a_publishers_own_packets_becomes_no_track_of_its_own() {
    let (mut meeting, alice, bob) = call(true, 2);
    let from = meeting.now();
    for sequence in 0..20_u16 {
        let (plain, header_len) = forged(0xdead_beef, Some("s9"), Some("zz"), sequence);
        meeting.world.keyed(alice.id).send_forged(&plain, header_len, u64::from(sequence));
    }
    meeting.run_for(2_000 * MS);
    assert!(meeting.stats().drops.not_published >= 20);
    assert_undisturbed(&mut meeting, &alice, &bob, from);
}

#[test]
fn packets_without_the_keys_change_nothing_even_from_the_right_address() {
    let (mut meeting, alice, bob) = call(true, 3);
    let from = meeting.now();
    let alices = meeting.agreed(alice.id).receive[0].encodings[0].ssrc.map_or(0, |ssrc| ssrc.0);
    for sequence in 0..500_u16 {
        let (mut plain, _) = forged(alices, Some("s0"), None, sequence.wrapping_mul(131));
        plain.extend_from_slice(&[0; 16]);
        let source = if sequence % 2 == 0 { participant_address(1) } else { attacker() };
        meeting.world.network.inject(source, plain);
        meeting.run_for(2 * MS);
    }
    let drops = meeting.stats().drops;
    // A number that was received already is refused before anything is computed.
    assert_eq!((drops.unauthenticated + drops.replayed, drops.unknown_source), (250, 250));
    assert_undisturbed(&mut meeting, &alice, &bob, from);
}

#[test]
fn captured_packets_work_once() {
    let (mut meeting, alice, bob) = call(true, 4);
    let from = meeting.now();
    meeting.world.network.set_checkpoint(Some(Box::new(|_| Fate::Copy)));
    meeting.run_for(1_000 * MS);
    meeting.world.network.set_checkpoint(None);
    let copies = meeting.world.network.take_kept();
    let media = copies.iter().filter(|copy| is_media(copy)).count() as u64;
    for copy in copies {
        meeting.world.network.inject(copy.from, copy.bytes.clone());
        meeting.world.network.inject(attacker(), copy.bytes);
    }
    meeting.run_for(1_000 * MS);
    let drops = meeting.stats().drops;
    assert_eq!((drops.replayed, drops.unknown_source), (media, media));
    assert_undisturbed(&mut meeting, &alice, &bob, from);
}

#[test]
fn forged_connectivity_checks_change_nothing_even_from_the_right_address() {
    let (mut meeting, alice, bob) = call(false, 5);
    let from = meeting.now();
    meeting
        .world
        .network
        .set_checkpoint(Some(Box::new(|passing| if is_stun(passing) { Fate::Copy } else { Fate::Pass })));
    meeting.run_for(5_000 * MS);
    meeting.world.network.set_checkpoint(None);
    let checks = meeting.world.network.take_kept();
    assert!(checks.len() >= 2, "browsers keep checking");
    for round in 0..50 {
        for check in &checks {
            // One bit is wrong: in the transaction, in an attribute or in the integrity.
            let mut bytes = check.bytes.clone();
            let position = meeting.world.random.below(bytes.len() as u64 - 8) as usize + 8;
            bytes[position] ^= 1 << (round % 8);
            for source in [participant_address(1), participant_address(2), attacker()] {
                meeting.world.network.inject(source, bytes.clone());
            }
        }
        meeting.run_for(20 * MS);
    }
    meeting.run_for(1_000 * MS);
    assert_undisturbed(&mut meeting, &alice, &bob, from);
    let media = meeting.world.network.strays().iter().filter(|stray| is_media(stray)).count();
    assert_eq!(media, 0, "no media goes to the attacker");
}

#[test]
fn a_fresh_check_that_is_held_and_relayed_moves_no_media() {
    let (mut meeting, alice, bob) = call(false, 6);
    let from = meeting.now();
    let alices = participant_address(1);
    let guard = move |passing: &Passing| {
        if passing.from == alices && is_stun(passing) { Fate::Hold } else { Fate::Pass }
    };
    meeting.world.network.set_checkpoint(Some(Box::new(guard)));
    meeting.run_for(6_000 * MS);
    let held = meeting.world.network.take_kept();
    assert!(!held.is_empty(), "Alice's browser keeps checking");
    for passing in held {
        meeting.world.network.inject(attacker(), passing.bytes);
        meeting.run_for(50 * MS);
    }
    meeting.world.network.set_checkpoint(None);
    meeting.run_for(5_000 * MS);
    assert_undisturbed(&mut meeting, &alice, &bob, from);
    let media = meeting.world.network.strays().iter().filter(|stray| is_media(stray)).count();
    assert_eq!(media, 0, "no media goes to the attacker");
}
