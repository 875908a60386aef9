//! The engine as a whole, with keyed peers on a desk: every datagram in and out is seen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::command::{Command, Refusal, Reply, TrackSource};
use super::event::Event;
use super::*;
use crate::ids::ParticipantId;
use crate::rtcp::RtcpPacket;
use crate::session::MediaKind;

mod ceilings;
mod clear;
mod clocks;
mod compounds;
mod data;
mod flow;
mod isolation;
mod joins;
mod limits;
mod pauses;
mod redundancy;
mod relays;
mod renegotiation;
mod requests;
mod rig;
mod rings;
mod runs;
mod silence;
mod stamps;
mod told;
mod waits;
mod witness;

use rig::{Rig, mid};

/// Participant 1 publishes a camera, which participant 2 receives and may receive.
fn camera_call() -> (Rig, PeerId, PeerId, TrackId) {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    (rig, alice, bob, track)
}

#[test]
fn a_packet_reaches_whom_an_edge_allows_and_nobody_else() {
    let mut rig = Rig::new();
    let (alice, bob, eve) = (rig.join(1), rig.join(2), rig.join(3));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.subscribe(eve, "a", track);
    assert_eq!(rig.send_audio(alice, 1, b"hush"), []);
    rig.allow(track, bob);
    assert_eq!(rig.send_audio(alice, 2, b"hello"), [(bob, b"hello".to_vec())]);
    rig.revoke(track, bob);
    assert_eq!(rig.send_audio(alice, 3, b"gone"), []);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
}

#[test]
fn numbers_are_continuous_across_a_revocation_and_never_used_twice() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    for n in 0..40u16 {
        if n % 10 == 0 {
            rig.allow(track, bob);
        }
        if n % 10 == 5 {
            rig.revoke(track, bob);
        }
        rig.send_audio(alice, n, &n.to_be_bytes());
    }
    let numbers = rig.numbers(bob);
    assert_eq!(numbers.len(), 20);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
}

#[test]
fn a_packet_that_waits_when_its_edge_ends_never_leaves() {
    let (mut rig, alice, bob, track) = camera_call();
    // A keyframe far larger than one pacing group: most of it waits.
    for n in 0..100 {
        rig.ingest_video(alice, n, n == 0, 1_100);
    }
    let before = rig.flush().len();
    assert!((1..100).contains(&before), "{before}");
    rig.revoke(track, bob);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.flush().len(), 0);
    assert!(rig.stats().drops.revoked > 0);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
}

#[test]
fn nobody_hears_themselves_unless_they_ask_to() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(alice, "a", track);
    let allow = |echo| Command::Allow { track, subscriber: alice, echo };
    assert_eq!(rig.command(allow(false)), Err(Refusal::EchoNotAsked));
    assert_eq!(rig.command(allow(true)), Ok(Reply::Done));
    assert_eq!(rig.send_audio(alice, 1, b"echo"), [(alice, b"echo".to_vec())]);
}

#[test]
fn everyone_with_an_inbound_edge_is_in_the_roster() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.events();
    rig.allow(track, bob);
    let listeners = |events: Vec<Event>| {
        events.into_iter().find_map(|event| match event {
            Event::Roster { listeners, .. } => Some(listeners.iter().map(|who| who.0).collect::<Vec<_>>()),
            _ => None,
        })
    };
    assert_eq!(listeners(rig.events()), Some(vec![2]));
    rig.command(Command::RemovePeer { peer: bob }).expect("bob is there");
    assert_eq!(listeners(rig.events()), Some(vec![]));
}

#[test]
fn a_lost_packet_is_sent_again_as_a_retransmission_of_its_own_number() {
    let (mut rig, alice, bob, _) = camera_call();
    for n in 0..3 {
        rig.ingest_video(alice, n, n == 0, 500);
    }
    let first = rig.flush();
    assert_eq!(first.len(), 3);
    rig.nack(bob, "v", first[1].header.sequence_number);
    let again = rig.flush();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].header.payload_type, rig::VP8_RTX);
    let original = u16::from_be_bytes([again[0].payload[0], again[0].payload[1]]);
    assert_eq!(original, first[1].header.sequence_number);
    assert_eq!(again[0].payload[2..], first[1].payload[..]);
    assert_eq!(again[0].header.timestamp, first[1].header.timestamp);
}

#[test]
fn a_publisher_is_asked_once_for_what_all_its_subscribers_lack() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "v", TrackSource::Camera);
    for participant in 2..12 {
        let subscriber = rig.join(participant);
        rig.subscribe(subscriber, "v", track);
        rig.allow(track, subscriber);
    }
    for n in [0, 1, 3] {
        rig.ingest_video(alice, n, n == 0, 500);
    }
    rig.advance(Duration::from_millis(20));
    assert_eq!(asked(&mut rig, alice), [2]);
}

/// The packets that a publisher was asked for again.
fn asked(rig: &mut Rig, publisher: PeerId) -> Vec<u16> {
    let datagrams = rig.rtcp_to(publisher);
    let packets = datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten().collect::<Vec<_>>());
    let lost = packets.filter_map(|packet| match packet {
        RtcpPacket::Nack(nack) => Some(nack.lost().collect::<Vec<_>>()),
        _ => None,
    });
    lost.flatten().collect()
}

#[test]
fn lost_sound_is_asked_for_where_that_was_agreed_and_goes_out_late_under_its_own_number() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    for n in [0, 1, 3] {
        rig.send_audio(alice, n, b"sound");
    }
    rig.advance(Duration::from_millis(20));
    assert_eq!(asked(&mut rig, alice), [2]);
    assert_eq!(rig.send_audio(alice, 2, b"again"), [(bob, b"again".to_vec())]);
    let numbers = rig.numbers(bob);
    assert_eq!(numbers[2].wrapping_sub(numbers[3]), 1);
}

#[test]
fn who_comes_back_on_another_path_gets_a_keyframe_without_asking() {
    let (mut rig, alice, bob, _) = camera_call();
    rig.ingest_video(alice, 0, true, 500);
    rig.advance(Duration::from_secs(2));
    let before = rig.stats().keyframe_requests_out;
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.stats().keyframe_requests_out, before);
    rig.move_to_another_path(bob);
    rig.advance(Duration::from_millis(20));
    assert_eq!(rig.stats().keyframe_requests_out, before + 1);
}

#[test]
fn nothing_waits_for_who_is_not_connected_yet_and_a_keyframe_is_asked_for_when_they_are() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.knock(2));
    let (voice, face) =
        (rig.publish(alice, "a", TrackSource::Microphone), rig.publish(alice, "v", TrackSource::Camera));
    for (section, track) in [("a", voice), ("v", face)] {
        rig.subscribe(bob, section, track);
        rig.allow(track, bob);
    }
    for n in 0..50 {
        rig.ingest_video(alice, n, n == 0, 500);
        rig.send_audio(alice, n, b"hello");
        rig.advance(Duration::from_millis(20));
    }
    assert_eq!(rig.waiting(bob), 0);
    assert_eq!(rig.stats().keyframe_requests_out, 0, "nobody could use one");
    rig.connect(bob);
    rig.advance(Duration::from_millis(20));
    assert_eq!(rig.stats().keyframe_requests_out, 1);
    rig.ingest_video(alice, 50, false, 500);
    rig.ingest_video(alice, 51, true, 600);
    let seen: Vec<_> = rig.flush().iter().map(|seen| seen.payload.len()).collect();
    assert_eq!(seen, [600], "from the keyframe on");
    assert_eq!(rig.send_audio(alice, 52, b"hello"), [(bob, b"hello".to_vec())]);
    let drops = rig.stats().drops;
    assert_eq!((drops.no_route, drops.send_queue_full, drops.socket_full), (0, 0, 0));
}

#[test]
fn what_waits_for_somebody_who_went_is_counted_as_without_a_route() {
    let (mut rig, alice, bob, _) = camera_call();
    rig.ingest_video(alice, 0, true, 500);
    rig.lose_route(bob);
    assert_eq!(rig.flush(), []);
    let drops = rig.stats().drops;
    assert_eq!((drops.no_route, drops.socket_full), (1, 0));
}

#[test]
fn a_publisher_hears_which_packets_came_and_how_many() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    rig.publish(alice, "a", TrackSource::Microphone);
    for n in 0..100 {
        rig.send_audio(alice, n, b"x");
        rig.advance(Duration::from_millis(20));
    }
    let datagrams = rig.rtcp_to(alice);
    let (mut statuses, mut reports) = (0, 0);
    for packet in datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten()) {
        match packet {
            RtcpPacket::TransportFeedback(feedback) => {
                statuses += feedback.statuses().filter(|(_, delta)| delta.is_some()).count();
            }
            RtcpPacket::ReceiverReport(report) => {
                reports += 1;
                assert_eq!((report.reports[0].fraction_lost, report.reports[0].cumulative_lost), (0, 0));
            }
            _ => {}
        }
    }
    assert!(statuses >= 90, "{statuses}");
    assert!((1..=3).contains(&reports), "{reports}");
}

#[test]
fn sound_and_picture_of_one_participant_have_one_name_in_rtcp_and_no_other_has_it() {
    let mut rig = Rig::new();
    let (alice, carol, bob) = (rig.join(1), rig.join(0x1f), rig.join(2));
    let mut names = Vec::new();
    for publisher in [alice, carol] {
        let tracks = [("a", TrackSource::Microphone), ("v", TrackSource::Camera)]
            .map(|(section, source)| (section, rig.publish(publisher, section, source)));
        for (section, track) in tracks {
            rig.subscribe(bob, section, track);
            rig.allow(track, bob);
        }
        for n in 0..100 {
            rig.ingest_video(publisher, n, n == 0, 500);
            rig.send_audio(publisher, n, b"hello");
            if n == 10 {
                rig.report(publisher, 1, 9_600);
                rig.report(publisher, 2, 30_000);
            }
            rig.advance(Duration::from_millis(20));
        }
        let datagrams = rig.rtcp_to(bob);
        let packets = datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
        let told: BTreeSet<(u32, Vec<u8>)> = packets
            .filter_map(|packet| if let RtcpPacket::Sdes(sdes) = packet { Some(sdes) } else { None })
            .flat_map(|sdes| sdes.cnames().map(|(ssrc, name)| (ssrc.0, name.to_vec())).collect::<Vec<_>>())
            .collect();
        names.push(told);
        for (section, _) in tracks {
            rig.command(Command::Unsubscribe { peer: bob, mid: mid(section) }).expect("a subscription");
        }
    }
    let named = |who: u64| {
        let name = ParticipantId(who).cname().as_bytes().to_vec();
        BTreeSet::from([(0x2000, name.clone()), (0x2002, name)])
    };
    assert_eq!(names, [named(1), named(0x1f)]);
}

#[test]
fn what_a_publisher_lost_on_the_way_is_counted_and_spread_over_its_reports() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    rig.publish(alice, "a", TrackSource::Microphone);
    for n in (0..100).filter(|n| n % 10 != 5) {
        rig.send_audio(alice, n, b"x");
        rig.advance(Duration::from_millis(20));
    }
    rig.advance(Duration::from_secs(2));
    let stats = rig.stats();
    assert_eq!(stats.lost_packets_in, 10);
    let observed = |histogram: &crate::stats::Histogram| histogram.counts.iter().sum::<u64>();
    assert!(observed(&stats.quality.loss_in) >= 2);
    assert!(stats.quality.loss_in.sum > 0.1, "{:?}", stats.quality.loss_in);
    assert_eq!(observed(&stats.quality.jitter_s), observed(&stats.quality.loss_in));
}

#[test]
fn a_room_that_ends_takes_its_peers_tracks_and_edges_with_it() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    rig.command(Command::RemoveRoom { room: rig.room }).expect("the room is there");
    let stats = rig.stats();
    assert_eq!((stats.rooms, stats.peers, stats.tracks, stats.edges), (0, 0, 0, 0));
    assert_eq!(rig.send_audio(alice, 1, b"x"), []);
    assert_eq!(rig.command(Command::Unpublish { track }), Err(Refusal::UnknownTrack));
}

#[test]
fn a_refused_command_changes_nothing() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let before = rig.command(Command::Snapshot);
    for command in [
        Command::Publish { peer: alice, mid: mid("a"), source: TrackSource::Camera, encrypted: false },
        Command::Publish { peer: alice, mid: mid("nowhere"), source: TrackSource::Camera, encrypted: false },
        Command::Subscribe { peer: alice, mid: mid("v"), track },
        Command::Allow { track: TrackId::new(9, 9), subscriber: alice, echo: true },
        Command::RemovePeer { peer: PeerId::new(9, 9) },
        Command::Unsubscribe { peer: alice, mid: mid("a") },
    ] {
        assert!(rig.command(command.clone()).is_err(), "{command:?}");
    }
    assert_eq!(rig.command(Command::Snapshot), before);
}

#[test]
fn a_track_of_another_kind_or_room_cannot_be_subscribed() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let first_room = rig.room;
    rig.new_room();
    let carol = rig.join(3);
    assert_ne!(first_room, rig.room);
    let subscribe = Command::Subscribe { peer: carol, mid: mid("a"), track };
    assert_eq!(rig.command(subscribe), Err(Refusal::OtherRoom));
    let allow = Command::Allow { track, subscriber: carol, echo: false };
    assert_eq!(rig.command(allow), Err(Refusal::OtherRoom));
    assert_eq!(rig.kind_of(track), Some(MediaKind::Audio));
}

#[test]
fn a_downlink_is_filled_up_until_the_higher_encoding_fits_and_only_with_what_may_go_there() {
    let (mut rig, alice, bob, track) = camera_call();
    let (mut filled, mut high, mut number) = (0, 0, 0);
    for frame in 0..900u16 {
        // 290 kbit/s and 2.9 Mbit/s, with keyframes on both; 2 Mbit/s are known to fit.
        rig.ingest_video(alice, frame, frame % 30 == 0, 1_100);
        for n in 0..11 {
            rig.ingest_high(alice, number, n == 0 && frame % 30 == 0, 1_000);
            number += 1;
        }
        for seen in rig.flush() {
            filled += usize::from(seen.header.payload_type == rig::VP8_RTX);
            high += usize::from(seen.payload.len() == 1_000);
        }
        rig.advance(Duration::from_millis(33));
        rig.acknowledge(bob);
    }
    assert!(filled > 20, "{filled}");
    assert!(high > 100, "{high}");
    rig.flush();
    rig.revoke(track, bob);
    rig.ingest_video(alice, 900, false, 1_100);
    rig.advance(Duration::from_millis(500));
    assert_eq!(rig.flush().len(), 0);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
}

/// A report block that says all of it came.
fn about(ssrc: crate::ids::Ssrc) -> crate::rtcp::sr::ReportBlock {
    crate::rtcp::sr::ReportBlock {
        ssrc,
        fraction_lost: 0,
        cumulative_lost: 0,
        highest_sequence: 1,
        jitter: 0,
        last_sr: 0,
        delay_since_last_sr: 0,
    }
}
