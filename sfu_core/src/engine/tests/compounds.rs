//! The form of what we say in RTCP (RFC 3550 §6.1, RFC 5506): feedback alone only where that was agreed on, reports never.

use super::rig::Rig;
use super::*;
use crate::session::NegotiatedSession;

/// Alice publishes sound, of which something is lost, and a picture of which Bob lacks a keyframe. All datagrams to her.
fn told_to_a_publisher(reduced_size: bool) -> Vec<Vec<u8>> {
    let mut rig = Rig::new();
    let agreed = |session: &mut NegotiatedSession| session.reduced_size = reduced_size;
    let (alice, bob) = (rig.join_with(1, agreed), rig.join(2));
    for (section, source) in [("a", TrackSource::Microphone), ("v", TrackSource::Camera)] {
        let track = rig.publish(alice, section, source);
        rig.subscribe(bob, section, track);
        rig.allow(track, bob);
    }
    for n in (0..100).filter(|n| n % 10 != 5) {
        rig.send_audio(alice, n, b"word");
        rig.ingest_video(alice, n, false, 500);
        rig.advance(Duration::from_millis(20));
    }
    rig.rtcp_to(alice)
}

fn packets(datagram: &[u8]) -> Vec<RtcpPacket<'_>> {
    crate::rtcp::packets(datagram).map(|packet| packet.expect("RTCP")).collect()
}

/// What kinds of feedback, and how many reports of something, were told in such datagrams.
fn kinds(datagrams: &[Vec<u8>]) -> [usize; 4] {
    let all: Vec<_> = datagrams.iter().flat_map(|datagram| packets(datagram)).collect();
    let count = |is: fn(&RtcpPacket<'_>) -> bool| all.iter().filter(|packet| is(packet)).count();
    [
        count(|packet| matches!(packet, RtcpPacket::Nack(_))),
        count(|packet| matches!(packet, RtcpPacket::Pli(_))),
        count(|packet| matches!(packet, RtcpPacket::TransportFeedback(_))),
        count(|packet| matches!(packet, RtcpPacket::ReceiverReport(report) if !report.reports.is_empty())),
    ]
}

/// Whether a datagram begins with a report and the name of who reports.
fn is_whole(datagram: &[u8], ssrc: u32, name: &str) -> bool {
    match &packets(datagram)[..] {
        [RtcpPacket::ReceiverReport(report), RtcpPacket::Sdes(sdes), ..] => {
            report.sender.0 == ssrc && sdes.cnames().map(|(of, name)| (of.0, name)).eq([(ssrc, name.as_bytes())])
        }
        _ => false,
    }
}

#[test]
fn where_reduced_size_was_not_agreed_on_everything_begins_with_a_report_and_a_name() {
    let datagrams = told_to_a_publisher(false);
    assert!(kinds(&datagrams).into_iter().all(|count| count > 0), "{:?}", kinds(&datagrams));
    for datagram in &datagrams {
        assert!(is_whole(datagram, 0x1000, "participant-1"), "{:?}", packets(datagram));
    }
}

#[test]
fn where_reduced_size_was_agreed_on_feedback_leaves_alone_and_reports_have_a_name() {
    let datagrams = told_to_a_publisher(true);
    let [nacks, requests, arrivals, told] = kinds(&datagrams);
    assert!([nacks, requests, arrivals, told].into_iter().all(|count| count > 0));
    let (reports, feedback): (Vec<_>, Vec<_>) =
        datagrams.iter().partition(|datagram| matches!(packets(datagram)[0], RtcpPacket::ReceiverReport(_)));
    assert!(reports.iter().all(|datagram| is_whole(datagram, 0x1000, "participant-1")));
    assert!(feedback.iter().all(|datagram| packets(datagram).len() == 1));
    assert_eq!((reports.len(), feedback.len()), (told, nacks + requests + arrivals));
}

#[test]
fn the_ssrc_that_reports_has_the_name_of_the_track_that_it_carries() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let [voice, _] = [alice, bob].map(|peer| rig.publish(peer, "a", TrackSource::Microphone));
    rig.subscribe(bob, "a", voice);
    rig.allow(voice, bob);
    for n in 0..100 {
        rig.send_audio(alice, n, b"word");
        rig.send_audio(bob, n, b"word");
        rig.advance(Duration::from_millis(20));
    }
    let reports = |datagrams: Vec<Vec<u8>>| {
        datagrams.into_iter().filter(|datagram| kinds(std::slice::from_ref(datagram))[3] > 0).collect::<Vec<_>>()
    };
    let (to_alice, to_bob) = (reports(rig.rtcp_to(alice)), reports(rig.rtcp_to(bob)));
    assert!(!to_alice.is_empty() && to_alice.iter().all(|told| is_whole(told, 0x1000, "participant-1")));
    assert!(!to_bob.is_empty() && to_bob.iter().all(|told| is_whole(told, 0x2000, "participant-1")));
}
