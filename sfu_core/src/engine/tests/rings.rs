//! How long a ring keeps packets: as long as somebody who receives them may need them, and not much longer.

use std::time::Duration;

use super::rig::Rig;
use super::*;
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
    let report = ReceiverReport { sender: crate::ids::Ssrc(1), reports: ReportBlocks::new() };
    call.rig.rtcp(call.bob, |out| report.write(out));
    assert!(call.watch(Bitrate::kbps(20_000)) > first);
}
