//! What a peer asks or says in RTCP: a full intra request is one request, however often it is repeated (RFC 5104 §4.3.1), and a
//! goodbye (RFC 3550 §6.6) changes nothing.

use super::rig::Rig;
use super::*;
use crate::ids::Ssrc;
use crate::rtcp::bye::Bye;
use crate::rtcp::fir::Fir;
use crate::rtcp::rr::ReceiverReport;
use crate::rtcp::sr::ReportBlocks;

/// Alice's camera at Bob's, who has his keyframe and nothing to ask for.
fn watched() -> (Rig, PeerId, PeerId) {
    let (mut rig, alice, bob, _) = camera_call();
    rig.ingest_video(alice, 0, true, 500);
    rig.advance(Duration::from_secs(2));
    rig.rtcp_to(alice);
    (rig, alice, bob)
}

/// How many keyframes Alice is asked for within so many milliseconds.
fn asked_within(rig: &mut Rig, alice: PeerId, ms: u64) -> usize {
    rig.advance(Duration::from_millis(ms));
    let told = rig.rtcp_to(alice);
    let packets = told.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
    packets.filter(|packet| matches!(packet, RtcpPacket::Pli(pli) if pli.media == Ssrc(0x1002))).count()
}

fn full_intra_request(rig: &mut Rig, from: PeerId, sender: u32, number: u8) {
    rig.rtcp(from, |out| Fir::of_one(Ssrc(sender), Ssrc(0x2002), number).write(out));
}

#[test]
fn a_full_intra_request_reaches_the_publisher_once_and_its_repeats_are_none() {
    let (mut rig, alice, bob) = watched();
    for _ in 0..3 {
        full_intra_request(&mut rig, bob, 1, 7);
    }
    assert_eq!(asked_within(&mut rig, alice, 100), 1);
    rig.ingest_video(alice, 1, true, 500);
    full_intra_request(&mut rig, bob, 1, 7);
    assert_eq!(asked_within(&mut rig, alice, 2_000), 0, "a keyframe has come since");
    full_intra_request(&mut rig, bob, 1, 8);
    assert_eq!(asked_within(&mut rig, alice, 100), 1, "another number is another request");
    rig.ingest_video(alice, 2, true, 500);
    rig.advance(Duration::from_secs(1));
    full_intra_request(&mut rig, bob, 2, 8);
    assert_eq!(asked_within(&mut rig, alice, 100), 1, "of another source it is, too");
    rig.ingest_video(alice, 3, true, 500);
    rig.advance(Duration::from_secs(1));
    full_intra_request(&mut rig, bob, 2, 8);
    assert_eq!(asked_within(&mut rig, alice, 100), 1, "so late it says that no keyframe arrived");
    assert_eq!(rig.stats().keyframe_requests_in, 7);
}

#[test]
fn full_intra_requests_cause_no_more_keyframes_than_the_interval_allows() {
    let (mut rig, alice, bob) = watched();
    let mut asked = Vec::new();
    for n in 0..100 {
        full_intra_request(&mut rig, bob, 1, n);
        asked.push(asked_within(&mut rig, alice, 10));
        rig.ingest_video(alice, 1 + u16::from(n), true, 500);
    }
    let at: Vec<_> = (0..100).filter(|n| asked[*n] > 0).collect();
    assert_eq!(at, [0, 49, 99], "at once, and in the steps that end 500 ms and 1 s after it");
}

#[test]
fn a_full_intra_request_for_what_one_may_not_receive_reaches_nobody() {
    let (mut rig, alice, bob, track) = camera_call();
    rig.ingest_video(alice, 0, true, 500);
    rig.advance(Duration::from_secs(2));
    rig.revoke(track, bob);
    rig.rtcp_to(alice);
    full_intra_request(&mut rig, bob, 1, 7);
    assert_eq!(asked_within(&mut rig, alice, 2_000), 0);
    rig.allow(track, bob);
    assert_eq!(asked_within(&mut rig, alice, 100), 1);
    rig.ingest_video(alice, 1, true, 500);
    rig.advance(Duration::from_secs(1));
    full_intra_request(&mut rig, bob, 1, 7);
    assert_eq!(asked_within(&mut rig, alice, 100), 1, "it was no request before");
}

#[test]
fn a_publisher_that_says_goodbye_of_what_it_goes_on_sending_goes_on_being_seen() {
    let (mut rig, alice, bob) = watched();
    let before = rig.command(Command::Snapshot);
    rig.events();
    rig.rtcp(alice, |out| {
        let report = ReceiverReport { sender: Ssrc(0x1002), reports: ReportBlocks::new() };
        let len = report.write(out)?;
        let goodbye = Bye { sources: [Ssrc(0x1002), Ssrc(0x1003)].into_iter().collect() };
        Some(len + goodbye.write(&mut out[len..])?)
    });
    rig.flush();
    assert_eq!((rig.stats().drops.malformed, rig.events()), (0, vec![]));
    assert_eq!(rig.command(Command::Snapshot), before);
    rig.ingest_video(alice, 1, false, 500);
    assert_eq!(rig.flush().len(), 1);
    let numbers = rig.numbers(bob);
    assert_eq!(numbers[1], numbers[0].wrapping_add(1));
}
