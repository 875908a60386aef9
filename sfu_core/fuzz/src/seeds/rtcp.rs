//! RTCP: one packet of each kind, compounds, and what is malformed in them.

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::{RtcpPacket, bye, fir, nack, pli, remb, rr, sdes, sr, twcc};
use sfu_core::units::{Bitrate, NtpTime};

use super::{Seed, owned};

/// A feedback with a run, a two-bit and a one-bit vector, over the wrap of the numbers.
const FEEDBACK: [u8; 32] = [
    0x8f, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0, 11, 0xff, 0xff, 0xff, 9, 0x20, 2, 0xe1, 0, 0xa0, 0, 4, 8,
    0xff, 0xfe, 5, 0,
];
/// The number a history gives to its first packet, cut to 16 bits.
const FIRST_SENT: u16 = 0;

fn block(ssrc: u32) -> sr::ReportBlock {
    sr::ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 3,
        cumulative_lost: -2,
        highest_sequence: 0x1_0002,
        jitter: 4,
        last_sr: 5,
        delay_since_last_sr: 6,
    }
}

pub(super) fn sender_report(sender: u32) -> Vec<u8> {
    bytes(&RtcpPacket::SenderReport(sr::SenderReport {
        sender: Ssrc(sender),
        ntp: NtpTime(0x0102_0304_0506_0708),
        timestamp: 9,
        packets: 10,
        octets: 11,
        reports: [block(7)].into_iter().collect(),
    }))
}

pub(super) fn receiver_report(media: u32) -> Vec<u8> {
    let reports = [block(media)].into_iter().collect();
    bytes(&RtcpPacket::ReceiverReport(rr::ReceiverReport { sender: Ssrc(1), reports }))
}

pub(super) fn picture_loss(media: u32) -> Vec<u8> {
    bytes(&RtcpPacket::Pli(pli::Pli { sender: Ssrc(1), media: Ssrc(media) }))
}

pub(super) fn lost(media: u32, numbers: &[u16]) -> Vec<u8> {
    let mut out = [0; 512];
    let len = nack::write(Ssrc(1), Ssrc(media), numbers, &mut out).expect("it fits");
    out[..len].to_vec()
}

pub(super) fn bitrate(bps: u64) -> Vec<u8> {
    let ssrcs = [Ssrc(2), Ssrc(3)].into_iter().collect();
    bytes(&RtcpPacket::Remb(remb::Remb { sender: Ssrc(1), bitrate: Bitrate::bps(bps), ssrcs }))
}

/// Feedback on `count` packets from `base` on, 5 ms apart, every seventh lost.
pub(super) fn feedback(base: u16, count: u64) -> Vec<u8> {
    let arrivals = (0..count).map(|n| (n % 7 != 6).then_some(100_000_000 + 5_000 * n));
    let mut out = [0; 1_200];
    let mut builder = twcc::FeedbackBuilder::new(Ssrc(1));
    let built = builder.write(Ssrc(2), u64::from(base), arrivals, &mut out).expect("something arrived");
    out[..built.len].to_vec()
}

fn bytes(packet: &RtcpPacket<'_>) -> Vec<u8> {
    let mut out = [0; 512];
    let len = packet.write(&mut out).expect("it fits");
    out[..len].to_vec()
}

fn name(ssrc: u32, name: &str) -> Vec<u8> {
    let mut out = [0; 64];
    let len = sdes::write(Ssrc(ssrc), name, &mut out).expect("it fits");
    out[..len].to_vec()
}

pub(super) fn all() -> Vec<Seed> {
    let requests = [fir::FirRequest { ssrc: Ssrc(2), sequence: 1 }].into_iter().collect();
    let request = bytes(&RtcpPacket::Fir(fir::Fir { sender: Ssrc(1), requests }));
    let goodbye = bytes(&RtcpPacket::Bye(bye::Bye { sources: [Ssrc(1), Ssrc(2)].into_iter().collect() }));
    let datagrams = owned(
        "rtcp",
        [
            ("sender_report", sender_report(1)),
            ("receiver_report", receiver_report(2)),
            ("names", name(3, "abc")),
            ("goodbye", goodbye.clone()),
            ("lost", lost(2, &[65_530, 65_535, 0, 15, 400])),
            ("picture_loss", picture_loss(2)),
            ("full_intra_request", request),
            ("bitrate", bitrate(2_500_000)),
            ("feedback", FEEDBACK.to_vec()),
            ("compound", [sender_report(1), name(1, "a participant"), picture_loss(2), lost(2, &[7])].concat()),
            ("farewell", [receiver_report(2), name(1, ""), goodbye].concat()),
            ("garbage_behind", [&picture_loss(2)[..], &[0xff, 0xff, 0xff, 0xff, 1]].concat()),
            ("bad_padding", vec![0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]),
            ("bitrate_too_large", [&[0x8f, 206, 0, 4][..], b"\0\0\0\x01\0\0\0\0REMB\0\xff\xff\xff"].concat()),
            ("extended_report", vec![0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0, 0]),
        ],
    );
    [datagrams, feedbacks()].concat()
}

/// How many packets were sent, then the body of a feedback.
fn feedbacks() -> Vec<Seed> {
    let sent = |count: u16, packet: &[u8]| [&count.to_be_bytes(), &packet[4..]].concat();
    let body = |status_count: u16, rest: &[u8]| {
        let fixed = [&[0; 8][..], &FIRST_SENT.to_be_bytes(), &status_count.to_be_bytes(), &[0, 0, 1, 0]].concat();
        [&[0; 4][..], &fixed, rest].concat()
    };
    owned(
        "twcc",
        [
            ("every_chunk", sent(20, &FEEDBACK)),
            ("all_that_was_sent", sent(100, &feedback(FIRST_SENT, 100))),
            ("more_than_was_sent", sent(10, &feedback(FIRST_SENT, 100))),
            ("never_sent", sent(10, &feedback(30_000, 50))),
            ("nothing_sent", sent(0, &feedback(FIRST_SENT, 20))),
            ("the_whole_history", sent(4_100, &body(4_100, &[0x10, 0x04, 0, 0]))),
            ("a_long_run_of_lost", sent(300, &body(0xffff, &[0x1f, 0xff].repeat(9)))),
            ("reserved_symbol", sent(3, &body(1, &[0x60, 1, 0, 0]))),
            ("cut_short", sent(3, &body(9, &[0x20, 9, 1]))),
        ],
    )
}
