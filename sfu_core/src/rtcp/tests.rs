//! RTCP against hand-made vectors and against itself.

use proptest::prelude::*;

use super::*;
use crate::ids::Ssrc;
use crate::units::{Bitrate, NtpTime};

const PLI: [u8; 12] = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];

fn one(bytes: &[u8]) -> RtcpPacket<'_> {
    packets(bytes).next().unwrap().unwrap()
}

#[test]
fn garbage_behind_a_packet_is_told_once_and_the_packet_kept() {
    let bytes = [&PLI[..], &[0xff, 0xff, 0xff, 0xff, 1]].concat();
    let read: Vec<_> = packets(&bytes).collect();
    let expected = [Ok(RtcpPacket::Pli(pli::Pli { sender: Ssrc(1), media: Ssrc(2) })), Err(RtcpError::Version(3))];
    assert_eq!(read, expected);
    assert_eq!(packets(&[0x80, 201, 0]).collect::<Vec<_>>(), [Err(RtcpError::Truncated)]);
    assert_eq!(packets(&[]).count(), 0);
}

#[test]
fn impossible_padding_is_refused() {
    for last in [0, 9] {
        let bytes = [0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, last];
        assert_eq!(packets(&bytes).collect::<Vec<_>>(), [Err(RtcpError::Padding)]);
    }
    assert_eq!(packets(&[0xa0, 201, 0, 0]).collect::<Vec<_>>(), [Err(RtcpError::Padding)]);
}

#[test]
fn reports_read_back_with_a_negative_loss() {
    let block = sr::ReportBlock {
        ssrc: Ssrc(7),
        fraction_lost: 3,
        cumulative_lost: -2,
        highest_sequence: 0x1_0002,
        jitter: 4,
        last_sr: 5,
        delay_since_last_sr: 6,
    };
    let report = sr::SenderReport {
        sender: Ssrc(1),
        ntp: NtpTime(0x0102_0304_0506_0708),
        timestamp: 9,
        packets: 10,
        octets: 11,
        reports: [block].into_iter().collect(),
    };
    let mut out = [0; 64];
    assert_eq!(report.write(&mut out), Some(52));
    assert_eq!(one(&out[..52]), RtcpPacket::SenderReport(report.clone()));
    assert_eq!(report.write(&mut out[..51]), None);
    let report = rr::ReceiverReport { sender: Ssrc(1), reports: report.reports };
    assert_eq!(report.write(&mut out), Some(32));
    assert_eq!(one(&out[..32]), RtcpPacket::ReceiverReport(report));
}

#[test]
fn a_canonical_name_of_any_length_reads_back() {
    let mut out = [0; 64];
    for name in ["", "a", "ab", "abc", "abcd"] {
        let len = sdes::write(Ssrc(3), name, &mut out).unwrap();
        assert_eq!(out[0] & 0x20, 0, "a chunk fills its words without padding");
        let RtcpPacket::Sdes(read) = one(&out[..len]) else { panic!("no description") };
        assert_eq!(read.cnames().collect::<Vec<_>>(), [(Ssrc(3), name.as_bytes())]);
    }
}

#[test]
fn a_bitmask_asks_for_the_numbers_after_the_first() {
    let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0x80, 0x01];
    let RtcpPacket::Nack(read) = one(&bytes) else { panic!("no request") };
    assert_eq!(read.lost().collect::<Vec<_>>(), [65_535, 0, 15]);
}

#[test]
fn a_request_for_everything_is_capped() {
    let body = [&[0; 8][..], &[0, 0, 0xff, 0xff].repeat(300)].concat();
    assert_eq!(nack::Nack::parse(&body).unwrap().lost().count(), nack::MAX_NACK_SEQUENCES);
}

#[test]
fn a_bitrate_beyond_64_bits_is_refused() {
    let mut body = *b"\0\0\0\x01\0\0\0\0REMB\0\xff\xff\xff";
    assert_eq!(remb::Remb::parse(&body), Err(RtcpError::Bitrate));
    body[13] = 0x03;
    assert_eq!(remb::Remb::parse(&body).map(|remb| remb.bitrate), Ok(Bitrate::bps(0x3_ffff)));
}

#[test]
fn a_feedback_with_all_kinds_of_chunks_reads() {
    // Base 65 534, 11 statuses: a run of 2 small, a two-bit vector (large, lost, small, …), a one-bit vector of which 2 count.
    let bytes = [
        0x8f, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0, 11, 0xff, 0xff, 0xff, 9, 0x20, 2, 0xe1, 0, 0xa0, 0, 4,
        8, 0xff, 0xfe, 5, 0,
    ];
    let RtcpPacket::TransportFeedback(read) = one(&bytes) else { panic!("no feedback") };
    assert_eq!((read.reference_time, read.feedback_count), (0xff_ffff, 9));
    let arrived: Vec<_> = read.statuses().filter_map(|(number, delta)| Some((number, delta?))).collect();
    assert_eq!(arrived, [(65_534, 4), (65_535, 8), (0, -2), (2, 5), (7, 0)]);
    assert_eq!(read.statuses().count(), 11);
    assert_eq!(read.statuses_from(0).flatten().collect::<Vec<_>>(), [4, 8, -2, 5, 0]);
    assert_eq!(read.statuses_from(1).next(), Some(Some(12)), "the time of those skipped is not lost");
    assert_eq!(read.statuses_from(3).collect::<Vec<_>>(), [None, Some(15), None, None, None, None, Some(0), None]);
    assert_eq!(read.statuses_from(10).count(), 1);
    assert_eq!(read.statuses_from(65_535).count(), 0);
}

#[test]
fn a_feedback_that_announces_more_than_it_has_is_refused() {
    let body = |count: u8, rest: &[u8]| [&[0; 10][..], &[0, count], &[0; 4], rest].concat();
    for (count, rest, error) in [
        (3, &[0x20, 2, 1, 1][..], RtcpError::Truncated),
        (2, &[0x20, 2, 1], RtcpError::Truncated),
        (1, &[], RtcpError::Truncated),
        (1, &[0x60, 1, 0, 0], RtcpError::Symbol),
    ] {
        assert_eq!(twcc::TransportFeedback::parse(&body(count, rest)), Err(error));
    }
}

proptest! {
    #[test]
    fn a_written_feedback_tells_every_arrival(
        base: u64, start in 0u64..1 << 40,
        steps in proptest::collection::vec(proptest::option::weighted(0.8, -20_000i64..200_000), 0..400),
        room in 0usize..1_500,
    ) {
        let mut at = start + 100_000_000;
        let arrivals: Vec<_> =
            steps.iter().map(|step| step.map(|step| { at = at.saturating_add_signed(step); at })).collect();
        let mut out = vec![0; room];
        let mut builder = twcc::FeedbackBuilder::new(Ssrc(1));
        let Some(built) = builder.write(Ssrc(2), base, arrivals.iter().copied(), &mut out) else { return Ok(()) };
        let RtcpPacket::TransportFeedback(read) = one(&out[..built.len]) else { panic!("no feedback") };
        let mut clock = i64::from(read.reference_time) * 256;
        let mut told = Vec::new();
        for (number, delta) in read.statuses() {
            prop_assert_eq!(number, (base as u16).wrapping_add(told.len() as u16));
            told.push(delta.map(|delta| { clock += i64::from(delta); clock as u64 }));
        }
        let expected: Vec<_> = arrivals[..built.statuses].iter().map(|at| at.map(|at| at / 250)).collect();
        let wrap = |ticks: &[Option<u64>]| -> Vec<_> { ticks.iter().map(|at| at.map(|at| at & 0xffff_ffff)).collect() };
        prop_assert_eq!(wrap(&told), wrap(&expected));
    }

    #[test]
    fn a_written_request_asks_for_exactly_what_is_lost(base: u16, gaps in proptest::collection::vec(1u16..40, 1..100)) {
        let mut lost = vec![base];
        lost.extend(gaps.iter().scan(base, |at, gap| { *at = at.wrapping_add(*gap); Some(*at) }));
        let mut out = [0; 1_000];
        let len = nack::write(Ssrc(1), Ssrc(2), &lost, &mut out).unwrap();
        let RtcpPacket::Nack(read) = one(&out[..len]) else { panic!("no request") };
        prop_assert_eq!(read.lost().collect::<Vec<_>>(), lost);
    }

    #[test]
    fn an_estimate_keeps_18_bits(bits: u64, ssrcs in proptest::collection::vec(any::<u32>(), 0..64)) {
        let written = remb::Remb {
            sender: Ssrc(1), bitrate: Bitrate::bps(bits), ssrcs: ssrcs.into_iter().map(Ssrc).collect(),
        };
        let mut out = [0; 400];
        let len = written.write(&mut out).unwrap();
        let RtcpPacket::Remb(read) = one(&out[..len]) else { panic!("no estimate") };
        prop_assert_eq!(&read.ssrcs, &written.ssrcs);
        prop_assert!(read.bitrate.as_bps() <= bits && bits - read.bitrate.as_bps() <= bits >> 17);
    }

    #[test]
    fn visiting_shows_what_iterating_yields(
        packets_of in proptest::collection::vec((199u8..208, any::<u8>(), 0usize..12), 0..5), fill: u8, cut in 0usize..9,
    ) {
        let mut bytes: Vec<u8> = packets_of.iter().flat_map(|&(packet_type, flags, words)| {
            [vec![flags & 0x1f | 0x80, packet_type, 0, words as u8], vec![fill; words * 4]].concat()
        }).collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut visited = Vec::new();
        let outcome = visit(&bytes, |packet| visited.push(format!("{packet:?}")));
        let expected: Vec<_> = packets(&bytes).collect();
        prop_assert_eq!(outcome.err(), expected.last().and_then(|last| last.as_ref().err()).copied());
        prop_assert_eq!(visited, expected.iter().flatten().map(|packet| format!("{packet:?}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_reads_writes_back_to_the_same(
        packet_type in 199u8..208, flags: u8, mut body in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        body.truncate(body.len() / 4 * 4);
        let bytes = [&[flags & 0x3f | 0x80, packet_type, 0, (body.len() / 4) as u8][..], &body].concat();
        for packet in packets(&bytes).flatten() {
            let mut out = [0; 1_000];
            if let RtcpPacket::Nack(nack) = &packet { nack.lost().count(); }
            if let RtcpPacket::Sdes(sdes) = &packet { sdes.cnames().count(); }
            if let RtcpPacket::TransportFeedback(feedback) = &packet { feedback.statuses().count(); }
            let len = packet.write(&mut out).unwrap();
            prop_assert_eq!(one(&out[..len]), packet);
        }
    }
}
