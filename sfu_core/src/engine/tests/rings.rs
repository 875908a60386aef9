//! How long a ring keeps packets: as long as somebody may need them who receives them, or asked its publisher for them.

use std::collections::VecDeque;
use std::time::Duration;

use super::rig::{Rig, VP8};
use super::*;
use crate::ids::Ssrc;
use crate::rtcp::rr::ReceiverReport;
use crate::rtcp::sr::ReportBlocks;
use crate::units::Bitrate;

/// Alice's camera to Bob, and the bytes that its ring occupies.
struct Watched {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    track: TrackId,
    sent: u16,
}

impl Watched {
    fn new() -> Self {
        let (rig, alice, bob, track) = camera_call();
        Self { rig, alice, bob, track, sent: 0 }
    }

    /// Three seconds of 1.3 Mbit/s, at this pace to Bob.
    fn watch(&mut self, pace: Bitrate) -> usize {
        for _ in 0..430 {
            self.rig.ingest_video(self.alice, self.sent, self.sent == 0, 1_100);
            self.sent += 1;
            self.rig.engine.peers.find_mut(self.bob).expect("bob is there").outbound.pacer.set_rate(pace);
            self.rig.advance(Duration::from_millis(7));
        }
        let track = self.rig.engine.tracks.find(self.track).expect("it lasts");
        track.encodings[0].ring.footprint()
    }
}

#[test]
fn a_ring_grows_when_what_it_holds_waits_in_a_long_queue_and_not_before() {
    let mut call = Watched::new();
    let first = call.watch(Bitrate::kbps(20_000));
    assert_eq!(call.watch(Bitrate::kbps(20_000)), first, "nobody needs more");
    assert!(call.watch(Bitrate::kbps(300)) > first);
}

#[test]
fn a_ring_grows_when_a_subscriber_reports_from_far_away() {
    let mut call = Watched::new();
    let first = call.watch(Bitrate::kbps(20_000));
    call.rig.engine.peers.find_mut(call.bob).expect("bob is there").outbound.round_trip =
        Some(Duration::from_millis(250));
    let mut report = ReceiverReport { sender: Ssrc(1), reports: ReportBlocks::new() };
    call.rig.rtcp(call.bob, |out| report.write(out));
    report.reports.push(about(Ssrc(0x2000)));
    call.rig.rtcp(call.bob, |out| report.write(out));
    assert_eq!(call.watch(Bitrate::kbps(20_000)), first, "of the picture it says nothing");
    report.reports.push(about(Ssrc(0x2002)));
    call.rig.rtcp(call.bob, |out| report.write(out));
    assert!(call.watch(Bitrate::kbps(20_000)) > first);
}

#[test]
fn what_a_far_publisher_sends_at_the_second_request_still_reaches_its_subscribers() {
    let (mut rig, alice, bob, _) = camera_call();
    rig.engine.peers.find_mut(alice).expect("alice is there").outbound.round_trip = Some(Duration::from_millis(200));
    let (mut answers, mut reached) = (VecDeque::new(), 0);
    // 2.5 Mbit/s, of which each first request is lost, or its answer.
    for number in 0..2_000 {
        if number % 100 == 50 {
            answers.push_back((rig.now() + Duration::from_millis(480), number));
        } else {
            rig.ingest_video(alice, number, number == 0, 1_100);
        }
        if let Some((_, lost)) = answers.pop_front_if(|(at, _)| *at <= rig.now) {
            rig.ingest_video(alice, lost, false, 1_100);
        }
        rig.advance(Duration::from_micros(3_500));
        let media = rig.flush().iter().filter(|seen| seen.header.payload_type == VP8).count();
        if number >= 1_000 {
            reached += media;
        }
        if number % 10 == 0 {
            rig.acknowledge(bob);
        }
    }
    assert_eq!(reached, 1_000, "as many are on their way as at the beginning");
}

#[test]
fn what_comes_too_late_to_be_kept_is_not_asked_for_again() {
    let (mut rig, alice, _, _) = camera_call();
    for number in (0..380).filter(|number| *number != 2) {
        rig.ingest_video(alice, number, number == 0, 1_100);
    }
    rig.advance(Duration::from_millis(20));
    assert_eq!(asked(&mut rig, alice), [2]);
    rig.ingest_video(alice, 2, false, 1_100);
    rig.advance(Duration::from_secs(1));
    assert_eq!(asked(&mut rig, alice), []);
}
