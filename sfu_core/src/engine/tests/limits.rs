//! What is held back: repairs beyond the budget, the ninth voice, requests that nobody needs, work for every packet.

use std::collections::BTreeMap;

use super::rig::{OPUS, Rig, VP8_RTX, mid};
use super::*;
use crate::bwe::estimator::{Controller, Estimate, Limit};
use crate::bwe::history::Feedback;
use crate::engine::batch::Route;
use crate::ids::Ssrc;
use crate::rtcp::pli::Pli;
use crate::rtcp::remb::Remb;
use crate::rtcp::rr::ReceiverReport;
use crate::rtcp::{RtcpPacket, nack};
use crate::rtp::ext::ExtensionKind;
use crate::session::{CongestionFeedback, LayerLimit, SendMedia};

/// Alice's camera at Bob's, with so many packets sent and gone out.
fn watched(packets: u16) -> (Rig, PeerId, PeerId, Vec<u16>) {
    let (mut rig, alice, bob, _) = camera_call();
    let mut numbers = Vec::new();
    for n in 0..packets {
        rig.ingest_video(alice, n, n == 0, 1_100);
        rig.advance(Duration::from_millis(5));
        numbers.extend(media_of(&mut rig));
    }
    assert_eq!(numbers.len(), usize::from(packets));
    (rig, alice, bob, numbers)
}

/// The numbers of what left that is no retransmission.
fn media_of(rig: &mut Rig) -> Vec<u16> {
    let seen = rig.flush();
    seen.iter().filter(|seen| seen.header.payload_type != VP8_RTX).map(|seen| seen.header.sequence_number).collect()
}

/// How many retransmissions leave within a second.
fn repairs_of(rig: &mut Rig) -> usize {
    rig.advance(Duration::from_secs(1));
    rig.flush().iter().filter(|seen| seen.header.payload_type == VP8_RTX).count()
}

#[test]
fn repairs_take_no_more_than_their_share_of_the_downlink() {
    let (mut rig, _, bob, numbers) = watched(150);
    for numbers in numbers.chunks(50) {
        rig.nack_all(bob, "v", numbers);
    }
    let stats = rig.stats();
    assert_eq!(stats.nacked_packets_in, 150);
    // 25 % of 2 Mbit/s for half a second are 31 kB.
    let repaired = repairs_of(&mut rig);
    assert!((20..=30).contains(&repaired), "{repaired}");
}

#[test]
fn a_packet_is_not_sent_again_twice_within_a_round_trip() {
    let (mut rig, _, bob, numbers) = watched(5);
    for _ in 0..10 {
        rig.nack(bob, "v", numbers[2]);
    }
    assert_eq!(repairs_of(&mut rig), 1);
    rig.nack(bob, "v", numbers[2]);
    assert_eq!(repairs_of(&mut rig), 1, "a round trip later it may have been lost again");
}

#[test]
fn of_nine_voices_the_eight_that_speak_are_heard() {
    let mut rig = Rig::new();
    let bob = rig.join_with(100, |session| {
        let sound = session.send[0].clone();
        session.send = (0..9).map(|n| SendMedia { mid: mid(&n.to_string()), ..nth(&sound, n) }).collect();
    });
    let voices: Vec<_> = (1..=9).map(|n| rig.join(n)).collect();
    for (section, who) in voices.iter().enumerate() {
        let track = rig.publish(*who, "a", TrackSource::Microphone);
        rig.subscribe(bob, &section.to_string(), track);
        rig.allow(track, bob);
    }
    let mut heard: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
    for n in 0..100u16 {
        for (index, who) in voices.iter().enumerate() {
            let level = if index == 3 { 110 } else { 0x94 + index as u8 };
            let levels: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::AudioLevel, &[level])];
            rig.ingest_with(*who, (OPUS, 1), n, u32::from(n) * 960, &[index as u8], &levels);
        }
        for seen in rig.flush().into_iter().filter(|_| n >= 50) {
            heard.entry(seen.payload[0]).or_default().push(seen.header.sequence_number);
        }
        rig.advance(Duration::from_millis(20));
    }
    assert_eq!(heard.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 7, 8]);
    for (voice, numbers) in heard {
        assert_eq!(numbers.len(), 50, "voice {voice}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "voice {voice}: {numbers:?}");
    }
}

fn nth(media: &SendMedia, n: u32) -> SendMedia {
    SendMedia { ssrc: Ssrc(media.ssrc.0 + 2 * n), ..media.clone() }
}

#[test]
fn what_the_kernel_does_not_take_is_no_longer_in_flight_and_never_sealed_again() {
    let (mut rig, alice, bob, before) = watched(3);
    rig.acknowledge(bob);
    let in_flight = |rig: &Rig| rig.engine.peers.find(bob).expect("bob is there").outbound.history.in_flight();
    let known = in_flight(&rig);
    rig.kernel_takes = 0;
    rig.ingest_video(alice, 3, false, 1_100);
    assert_eq!(media_of(&mut rig), []);
    assert_eq!((rig.stats().drops.socket_full, in_flight(&rig)), (1, known));
    rig.kernel_takes = usize::MAX;
    rig.ingest_video(alice, 4, false, 1_100);
    // Debug builds assert on every seal that no index is used twice.
    let last = before[2];
    assert_eq!(media_of(&mut rig), [last.wrapping_add(2)]);
    assert!(in_flight(&rig) > known);
    rig.nack(bob, "v", last.wrapping_add(1));
    assert_eq!(repairs_of(&mut rig), 1, "what was dropped can be had as a retransmission, under a number of its own");
}

#[test]
fn a_keyframe_that_nobody_waits_for_any_more_is_not_asked_for_again() {
    let take_the_right = |rig: &mut Rig, track, bob| rig.revoke(track, bob);
    let take_the_wire = |rig: &mut Rig, _, bob| {
        rig.command(Command::Unsubscribe { peer: bob, mid: mid("v") }).expect("it is wired");
    };
    let take_the_peer = |rig: &mut Rig, _, bob| {
        rig.command(Command::RemovePeer { peer: bob }).expect("bob is there");
    };
    let ways: [fn(&mut Rig, TrackId, PeerId); 3] = [take_the_right, take_the_wire, take_the_peer];
    for (way, leave) in ways.into_iter().enumerate() {
        let (mut rig, alice, bob, track) = camera_call();
        rig.ingest_video(alice, 0, false, 500);
        rig.advance(Duration::from_millis(100));
        assert_eq!(rig.stats().keyframe_requests_out, 1);
        leave(&mut rig, track, bob);
        rig.advance(Duration::from_secs(20));
        assert_eq!(rig.stats().keyframe_requests_out, 1, "way {way}");
    }
}

#[test]
fn the_keyframe_of_a_layer_that_is_no_longer_the_target_is_not_asked_for_again() {
    let (mut rig, alice, bob, track) = camera_call();
    // The higher layer is there, but its keyframe never comes; the lower one is forwarded.
    for n in 0..40 {
        rig.ingest_video(alice, n, n == 0, 500);
        rig.ingest_high(alice, n, false, 900);
        rig.advance(Duration::from_millis(33));
        rig.acknowledge(bob);
    }
    let asked = rig.stats().keyframe_requests_out;
    assert!(asked > 1, "the higher layer was wanted");
    let limit = LayerLimit { encoding: 0, temporal: u8::MAX };
    rig.command(Command::LimitLayer { track, subscriber: bob, limit }).expect("bob watches");
    rig.advance(Duration::from_secs(20));
    assert_eq!(rig.stats().keyframe_requests_out, asked);
}

#[test]
fn a_section_without_nack_causes_no_report_for_every_packet() {
    let mut rig = Rig::new();
    let alice = rig.join_with(1, |session| session.receive[1].nack = false);
    rig.publish(alice, "v", TrackSource::Camera);
    for n in [0, 2] {
        rig.ingest_video(alice, n, n == 0, 500);
    }
    rig.advance(Duration::from_millis(500));
    rig.ingest_video(alice, 3, false, 500);
    rig.tick();
    rig.ingest_video(alice, 4, false, 500);
    let due = rig.engine.peers.find(alice).and_then(|member| member.inbound.report_at).expect("feedback is due");
    assert!(due > rig.now(), "at once for a hole that is never asked for");
}

/// Believes every estimate of the receiver at once.
#[derive(Debug)]
struct Obeys(Bitrate);

impl Controller for Obeys {
    fn prefetch(&self) {}

    fn on_feedback(&mut self, _: &Feedback<'_>, _: Instant) {}
    fn on_rtt(&mut self, _: Duration, _: Instant) {}
    fn on_loss_report(&mut self, _: u32, _: u32, _: Instant) {}
    fn on_remb(&mut self, told: Bitrate, _: Instant) {
        self.0 = told;
    }
    fn on_route_change(&mut self, _: Instant) {}
    fn set_desired(&mut self, _: Bitrate) {}
    fn tick(&mut self, _: Option<Instant>, _: Instant) -> Estimate {
        Estimate { target: self.0, pacing: self.0 * 2.0, padding_to: Bitrate::ZERO, limit: Limit::Remote }
    }
}

#[test]
fn the_receivers_estimates_choose_layers_no_more_often_than_feedback_would() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let bob = rig.join_with(2, |session| session.feedback = CongestionFeedback::Remb);
    let track = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    let believer = Box::new(Obeys(Bitrate::kbps(5_000)));
    rig.engine.peers.find_mut(bob).expect("bob is there").outbound.controller = believer;
    let remb = |rig: &mut Rig, kbps| {
        let estimate = Remb { sender: Ssrc(1), bitrate: Bitrate::kbps(kbps), ssrcs: arrayvec::ArrayVec::new() };
        rig.rtcp(bob, |out| estimate.write(out));
    };
    for n in 0..150 {
        rig.ingest_video(alice, n, n % 10 == 0, 500);
        rig.ingest_high(alice, n, n % 10 == 0, 1_000);
        rig.advance(Duration::from_millis(33));
    }
    let changes =
        |rig: &mut Rig| rig.events().into_iter().filter(|event| matches!(event, Event::LayerChanged { .. })).count();
    changes(&mut rig);
    remb(&mut rig, 4_000);
    for _ in 0..30 {
        remb(&mut rig, 150);
    }
    assert_eq!(changes(&mut rig), 0, "the layers were chosen a moment ago");
    rig.advance(Duration::from_millis(210));
    assert_eq!(changes(&mut rig), 1, "but the last word counts soon");
}

#[test]
fn a_downlink_is_filled_up_with_what_still_flows_when_another_track_has_ended() {
    let mut rig = Rig::new();
    let bob = rig.join_with(3, |session| {
        let picture = session.send[1].clone();
        let rtx_ssrc = picture.rtx_ssrc.map(|ssrc| Ssrc(ssrc.0 + 2));
        session.send.push(SendMedia { mid: mid("w"), rtx_ssrc, ..nth(&picture, 1) });
    });
    let (alice, carol) = (rig.join(1), rig.join(2));
    let (lasting, ending) =
        (rig.publish(alice, "v", TrackSource::Camera), rig.publish(carol, "v", TrackSource::Camera));
    for (section, track) in [("v", ending), ("w", lasting)] {
        rig.subscribe(bob, section, track);
        rig.allow(track, bob);
    }
    rig.ingest_video(carol, 0, true, 500);
    rig.advance(Duration::from_millis(100));
    assert_eq!(rig.flush().len(), 1);
    rig.revoke(ending, bob);
    let (mut filled, mut number) = (0, 0);
    for frame in 0..300u16 {
        rig.ingest_video(alice, frame, frame % 30 == 0, 1_100);
        for n in 0..11 {
            rig.ingest_high(alice, number, n == 0 && frame % 30 == 0, 1_000);
            number += 1;
        }
        filled += rig.flush().iter().filter(|seen| seen.header.payload_type == VP8_RTX).count();
        rig.advance(Duration::from_millis(33));
        rig.acknowledge(bob);
    }
    assert!(filled > 20, "{filled}");
    assert!(rig.stats().drops.revoked <= 2, "what may not leave is tried once, and padding for it, not at every turn");
}

/// So many packets one after the other.
fn many(out: &mut [u8], count: usize, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> Option<usize> {
    let mut len = 0;
    for _ in 0..count {
        len += write(&mut out[len..])?;
    }
    Some(len)
}

#[test]
fn a_datagram_of_rtcp_costs_no_more_than_its_allowance_and_the_rest_is_counted() {
    let (mut rig, _, bob, numbers) = watched(20);
    let before = rig.stats();
    // 17 packets each, 1 360 in all: eleven requests and most of a twelfth are within the allowance.
    rig.rtcp(bob, |out| many(out, 80, |out| nack::write(Ssrc(1), Ssrc(0x2002), &numbers[..17], out)));
    let nacked = rig.stats();
    assert_eq!(nacked.nacked_packets_in - before.nacked_packets_in, 200);
    assert_eq!(nacked.drops.rate_limited - before.drops.rate_limited, 69);
    rig.rtcp(bob, |out| many(out, 100, |out| Pli { sender: Ssrc(1), media: Ssrc(0x2002) }.write(out)));
    let asked = rig.stats();
    assert_eq!(asked.keyframe_requests_in - nacked.keyframe_requests_in, 50);
    assert_eq!(asked.drops.rate_limited - nacked.drops.rate_limited, 50);
    let nothing = Remb { sender: Ssrc(1), bitrate: Bitrate::kbps(100), ssrcs: arrayvec::ArrayVec::new() };
    rig.rtcp(bob, |out| many(out, 50, |out| nothing.write(out)));
    assert_eq!(rig.stats().drops.rate_limited - asked.drops.rate_limited, 46);
}

#[test]
fn a_datagram_of_reports_is_heard_once_for_each_section_that_a_peer_receives_and_the_rest_is_counted() {
    let (mut rig, _, bob, _) = watched(20);
    let report = |ssrc| ReceiverReport { sender: Ssrc(1), reports: std::iter::repeat_n(about(ssrc), 28).collect() };
    let before = rig.stats().drops.rate_limited;
    rig.rtcp(bob, |out| many(out, 2, |out| report(Ssrc(0x2002)).write(out)));
    let stats = rig.stats();
    assert_eq!(stats.quality.loss_out.counts.iter().sum::<u64>(), 50);
    assert_eq!(stats.drops.rate_limited - before, 1, "the first beyond it ends the report");
    rig.rtcp(bob, |out| many(out, 2, |out| report(Ssrc(9)).write(out)));
    assert_eq!(rig.stats().drops.rate_limited - before, 1, "what is about nothing of ours is nothing");
}

#[test]
fn an_engine_that_is_full_of_tracks_says_so_and_not_that_the_peer_is() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    rig.engine.tracks = crate::slots::Slots::with_cap(1);
    let publish =
        |name| Command::Publish { peer: alice, mid: mid(name), source: TrackSource::Camera, encrypted: false };
    rig.command(publish("v")).expect("the only one");
    assert_eq!(rig.command(publish("a")), Err(Refusal::Full(super::super::command::Cap::Tracks)));
}

#[test]
fn where_the_bytes_of_a_filling_are_gone_padding_takes_their_place_and_nothing_came_too_late() {
    let (mut rig, alice, bob, track) = camera_call();
    let due = |rig: &Rig| rig.engine.peers.find(bob).expect("bob is there").outbound.padding.due;
    let (mut frame, mut number) = (0u16, 0);
    while due(&rig).is_none() {
        assert!(frame < 900, "it is filled up before that");
        rig.ingest_video(alice, frame, frame % 30 == 0, 1_100);
        for n in 0..11 {
            rig.ingest_high(alice, number, n == 0 && frame % 30 == 0, 1_000);
            number += 1;
        }
        rig.advance(Duration::from_millis(33));
        rig.flush();
        rig.acknowledge(bob);
        frame += 1;
    }
    let before = rig.stats().drops.too_late;
    for encoding in &mut rig.engine.tracks.find_mut(track).expect("it is there").encodings {
        encoding.ring = crate::forward::resend::PacketRing::new(MediaKind::Video);
    }
    rig.flush();
    rig.advance(Duration::from_millis(100));
    let seen = rig.flush();
    assert!(seen.len() > 2 && seen.iter().all(|seen| seen.header.payload_type == VP8_RTX && seen.payload.is_empty()));
    let numbers: Vec<u16> = seen.iter().map(|seen| seen.header.sequence_number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(rig.stats().drops.too_late, before);
    rig.lose_route(bob);
    rig.flush();
    assert!(rig.tick() > rig.now(), "who cannot be reached keeps nobody awake");
    rig.revoke(track, bob);
    rig.advance(Duration::from_millis(100));
    assert!(rig.flush().is_empty() && due(&rig).is_none(), "who has no right gets no padding either");
}

#[test]
fn no_datagram_is_longer_than_ethernet_carries_over_the_subscribers_version_of_ip() {
    for (destination, carried) in [("192.0.2.9:1", 1_472), ("[2001:db8::9]:1", 1_452)] {
        let destination = destination.parse().expect("an address");
        let (mut rig, alice, bob, _) = camera_call();
        let member = rig.engine.peers.find_mut(bob).expect("bob is there");
        member.route = member.route.map(|route| Route { destination, ..route });
        for (n, len) in (1_380..1_460).enumerate() {
            rig.ingest_video(alice, n as u16, n == 0, len);
            rig.advance(Duration::from_millis(10));
        }
        rig.flush();
        let lengths: Vec<usize> = rig.strays.iter().map(|(_, datagram)| datagram.len()).collect();
        assert_eq!(lengths.iter().max(), Some(&carried));
        let media = lengths.iter().filter(|len| **len > 1_380).count() as u64;
        assert_eq!(rig.stats().drops.rewrite_rejected, 80 - media, "what does not fit is counted");
    }
}

#[test]
fn what_waits_until_it_is_too_late_is_counted_as_that() {
    let (mut rig, alice, _, _) = camera_call();
    for n in 0..100 {
        rig.ingest_video(alice, n, n == 0, 1_100);
    }
    let left = rig.flush().len() as u64;
    rig.now += Duration::from_secs(1);
    assert_eq!(rig.flush(), []);
    let drops = rig.stats().drops;
    assert_eq!((drops.too_late, drops.send_queue_full, drops.revoked), (100 - left, 0, 0));
}

#[test]
fn a_sender_report_tells_of_the_medias_ssrc_and_not_of_its_retransmissions() {
    let (mut rig, alice, bob, numbers) = watched(20);
    rig.nack_all(bob, "v", &numbers[..10]);
    assert_eq!(repairs_of(&mut rig), 10);
    rig.report(alice, 2, 60_000);
    rig.ingest_video(alice, 20, false, 1_100);
    rig.advance(Duration::from_millis(1_500));
    let datagrams = rig.rtcp_to(bob);
    let packets = datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
    let told: Vec<_> = packets
        .filter_map(|packet| match packet {
            RtcpPacket::SenderReport(report) => Some((report.sender, report.packets, report.octets)),
            _ => None,
        })
        .collect();
    assert_eq!(told.last(), Some(&(Ssrc(0x2002), 21, 21 * 1_100)), "{told:?}");
    let Ok(Reply::PeerStats { stats }) = rig.command(Command::PeerStats { peer: bob }) else { panic!("figures") };
    assert_eq!((stats.send[1].packets, stats.send[1].retransmitted), (31, 10));
}

#[test]
fn a_small_retransmission_is_paced_with_its_headers() {
    let (mut rig, alice, bob, _) = camera_call();
    for n in 0..60 {
        rig.ingest_video(alice, n, n == 0, 20);
        rig.advance(Duration::from_millis(10));
    }
    let numbers = rig.flush().iter().map(|seen| seen.header.sequence_number).collect::<Vec<_>>();
    rig.nack_all(bob, "v", &numbers);
    let outbound = &rig.engine.peers.find(bob).expect("bob is there").outbound;
    assert_eq!((outbound.pacer.len(), outbound.pacer.queued_bytes()), (60, 60 * (20 + 2 + 44)));
}

#[test]
fn rtcp_that_finds_the_batch_full_leaves_in_the_next() {
    let (mut rig, alice, _, _) = watched(2);
    rig.rtcp_to(alice);
    let route = rig.engine.peers.find(alice).and_then(|member| member.route).expect("a way");
    let member = rig.engine.peers.find_mut(alice).expect("alice is there");
    assert!(member.rtcp.push(|out| Pli { sender: Ssrc(1), media: Ssrc(2) }.write(out)));
    rig.engine.pending.note(member);
    let elsewhere = crate::engine::batch::Route { destination: ([203, 0, 113, 9], 9).into(), ..route };
    while !rig.engine.writer.is_full() {
        rig.engine.writer.commit(1_400, elsewhere, None);
    }
    let told = rig.rtcp_to(alice);
    let packets = told.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
    assert_eq!(packets.filter(|packet| matches!(packet, RtcpPacket::Pli(_))).count(), 1);
}

#[test]
fn an_estimate_that_dips_between_two_choices_of_layers_counts_for_the_next_upgrade() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let bob = rig.join_with(2, |session| session.feedback = CongestionFeedback::Remb);
    let track = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    let remb = |rig: &mut Rig, kbps| {
        let estimate = Remb { sender: Ssrc(1), bitrate: Bitrate::kbps(kbps), ssrcs: arrayvec::ArrayVec::new() };
        rig.rtcp(bob, |out| estimate.write(out));
    };
    rig.engine.peers.find_mut(bob).expect("bob is there").outbound.controller = Box::new(Obeys(Bitrate::kbps(2_000)));
    let mut number = 0;
    let mut media = |rig: &mut Rig, frames| {
        let mut high = 0;
        for _ in 0..frames {
            rig.ingest_video(alice, number, number % 10 == 0, 300);
            rig.ingest_high(alice, number, number % 10 == 0, 1_000);
            number += 1;
            rig.advance(Duration::from_millis(33));
            high += rig.flush().iter().filter(|seen| seen.payload.len() == 1_000).count();
        }
        high
    };
    let limit = |rig: &mut Rig, limit| {
        rig.command(Command::LimitLayer { track, subscriber: bob, limit }).expect("bob watches");
    };
    limit(&mut rig, LayerLimit { encoding: 0, temporal: u8::MAX });
    remb(&mut rig, 2_000);
    media(&mut rig, 120);
    // The layers are chosen for the first of these; the second is gone before they may be chosen again.
    for kbps in [1_700, 100, 2_000] {
        remb(&mut rig, kbps);
    }
    media(&mut rig, 8);
    limit(&mut rig, LayerLimit::BEST);
    assert_eq!(media(&mut rig, 40), 0, "the higher one would not have fitted a moment ago");
    assert!(media(&mut rig, 60) > 0, "but two seconds ago it would");
}
