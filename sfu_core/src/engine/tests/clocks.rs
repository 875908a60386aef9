//! A subscriber learns the clock of what it gets as soon as it gets it: until then lips and voice are not together.

use super::*;
use crate::session::LayerLimit;

/// The timestamps in the sender reports that Bob got.
fn told(rig: &mut rig::Rig, bob: PeerId) -> Vec<u32> {
    rig.flush();
    let datagrams = rig.rtcp_to(bob);
    let packets = datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
    let clocks = packets.filter_map(|packet| match packet {
        RtcpPacket::SenderReport(report) => Some(report.timestamp),
        _ => None,
    });
    clocks.collect()
}

#[test]
fn a_clock_is_told_at_once_when_the_first_packet_has_left() {
    let (mut rig, alice, bob, _) = camera_call();
    rig.advance(Duration::from_millis(300));
    rig.report(alice, 2, 30_000);
    assert_eq!(told(&mut rig, bob), []);
    rig.ingest_video(alice, 10, true, 500);
    let first = rig.flush()[0].header.timestamp;
    assert_eq!(told(&mut rig, bob), [first]);
    rig.ingest_video(alice, 11, false, 500);
    rig.flush();
    assert_eq!(told(&mut rig, bob), [], "once");
}

#[test]
fn a_clock_is_told_at_once_when_the_publisher_has_told_it() {
    let (mut rig, alice, bob, _) = camera_call();
    rig.advance(Duration::from_millis(300));
    rig.ingest_video(alice, 9, true, 500);
    rig.flush();
    assert_eq!(told(&mut rig, bob), [], "nobody knows it yet");
    rig.report(alice, 2, 30_000);
    rig.ingest_video(alice, 10, false, 500);
    let next = rig.flush()[0].header.timestamp;
    assert_eq!(told(&mut rig, bob), [next]);
}

#[test]
fn a_clock_is_told_at_once_when_another_encoding_goes_on() {
    let (mut rig, alice, bob, track) = camera_call();
    let limit =
        |encoding| Command::LimitLayer { track, subscriber: bob, limit: LayerLimit { encoding, temporal: u8::MAX } };
    rig.command(limit(0)).expect("a subscription");
    for number in 0..60 {
        rig.ingest_video(alice, number, number == 0, 500);
        rig.ingest_high(alice, number, number == 0, 1_000);
        if number == 30 {
            rig.report(alice, 2, 90_000);
            rig.report(alice, 3, 90_000);
        }
        rig.advance(Duration::from_millis(33));
        rig.flush();
        rig.acknowledge(bob);
    }
    told(&mut rig, bob);
    rig.command(limit(1)).expect("a subscription");
    rig.ingest_high(alice, 60, true, 1_000);
    let [seen] = &rig.flush()[..] else { panic!("the other encoding begins") };
    assert_eq!(seen.payload.len(), 1_000);
    assert_eq!(told(&mut rig, bob).len(), 1);
}
