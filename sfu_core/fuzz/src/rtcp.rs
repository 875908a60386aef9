//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104) and transport-wide feedback with the history it is about.

use std::collections::BTreeSet;

use sfu_core::bwe::history::{History, MAX_ACKNOWLEDGED, MAX_HISTORY};
use sfu_core::ids::Ssrc;
use sfu_core::rtcp::nack::{self, MAX_NACK_SEQUENCES};
use sfu_core::rtcp::twcc::{FeedbackBuilder, MAX_STATUSES, TransportFeedback};
use sfu_core::rtcp::{RtcpPacket, packets};
use sfu_core::units::DataSize;
use sfu_core::units::Nanos;

use crate::bytes::{Choices, is_inside};

/// Most packets sent before a feedback is read: a little more than the history remembers.
const MAX_SENT: u16 = MAX_HISTORY as u16 + 64;

/// A datagram: each packet is at least a header long, is bounded, and reads back as it was written.
pub fn rtcp(input: &[u8]) {
    let read: Vec<_> = packets(input).collect();
    assert!(read.len() <= input.len() / 4 + 1, "each packet takes a header, an error takes the rest");
    let faults = read.iter().filter(|packet| packet.is_err()).count();
    assert!(faults == 0 || (faults == 1 && read.last().is_some_and(Result::is_err)), "the first fault ends it");
    let mut out = vec![0; input.len() + 64];
    for packet in read.iter().flatten() {
        assert_packet(packet, input);
        let len = packet.write(&mut out).expect("it fits where it came from");
        assert!(len % 4 == 0 && len <= input.len());
        let mut again = packets(&out[..len]);
        assert_eq!((again.next().as_ref(), again.next()), (Some(&Ok(packet.clone())), None));
        assert_eq!(packet.write(&mut out[..len - 1]), None, "it does not fit into less");
    }
}

/// What a packet lists is bounded and inside the datagram.
fn assert_packet(packet: &RtcpPacket<'_>, datagram: &[u8]) {
    match packet {
        RtcpPacket::Nack(nack) => assert_nack(nack),
        RtcpPacket::TransportFeedback(feedback) => {
            assert!(feedback.statuses().count() <= MAX_STATUSES && feedback.reference_time < 1 << 24);
            assert_skips(feedback);
        }
        RtcpPacket::Sdes(names) => {
            let mut count = 0;
            for (_, name) in names.cnames() {
                assert!(name.len() < 256 && is_inside(name, datagram));
                count += 1;
            }
            assert!(count <= 31);
        }
        RtcpPacket::SenderReport(report) => assert_losses(report.reports.iter().map(|block| block.cumulative_lost)),
        RtcpPacket::ReceiverReport(report) => assert_losses(report.reports.iter().map(|block| block.cumulative_lost)),
        RtcpPacket::Unknown { body, .. } => assert!(is_inside(body, datagram)),
        _ => {}
    }
}

fn assert_losses(losses: impl Iterator<Item = i32>) {
    for lost in losses {
        assert!((-0x80_0000..0x80_0000).contains(&lost), "a loss has 24 bits");
    }
}

/// A request for packets: what it lists, sorted and written anew, asks for the same numbers.
fn assert_nack(request: &nack::Nack<'_>) {
    let lost: Vec<u16> = request.lost().collect();
    assert!(lost.len() <= MAX_NACK_SEQUENCES);
    let sorted: Vec<u16> = lost.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let mut out = vec![0; 12 + 4 * sorted.len()];
    let written = nack::write(request.sender, request.media, &sorted, &mut out);
    assert_eq!(written.is_none(), sorted.is_empty());
    let Some(len) = written else { return };
    let Some(Ok(RtcpPacket::Nack(again))) = packets(&out[..len]).next() else { panic!("not what was written") };
    assert!(again.lost().eq(sorted));
}

/// Transport-wide feedback. Input: how many packets were sent, then the body of a feedback, which a history takes twice; the
/// same bytes as arrival times are written into a feedback and read back.
pub fn twcc(input: &[u8]) {
    let mut choices = Choices(input);
    let sent = choices.word() % MAX_SENT;
    let body = choices.0;
    if let Ok(feedback) = TransportFeedback::parse(body) {
        assert!(feedback.statuses().count() <= MAX_STATUSES);
        assert_history(&feedback, sent);
    }
    assert_builder(Choices(body));
}

/// Skipping statuses is the same as reading them and adding their times up.
fn assert_skips(feedback: &TransportFeedback<'_>) {
    let arrivals = |from: usize, deltas: &mut dyn Iterator<Item = Option<i32>>| {
        let mut at = 0;
        deltas
            .enumerate()
            .filter_map(|(n, delta)| {
                at += delta?;
                Some((from + n, at))
            })
            .collect::<Vec<_>>()
    };
    let all = arrivals(0, &mut feedback.statuses_from(0).take(512));
    for skip in [1, 7, 20, 300] {
        let rest = arrivals(skip, &mut feedback.statuses_from(skip).take(512 - skip));
        assert_eq!(rest, all.iter().copied().filter(|(number, _)| *number >= skip).collect::<Vec<_>>());
    }
}

/// A history acknowledges only what was sent, each packet once.
fn assert_history(feedback: &TransportFeedback<'_>, sent: u16) {
    let mut history = History::default();
    for count in 0..sent {
        history.on_sent(count, Nanos(u64::from(count) * 100_000));
    }
    let (next, before) = (history.next_sequence(), history.in_flight());
    let (base, reference) = (feedback.base_sequence, feedback.reference_time);
    let statuses = || feedback.statuses().map(|(_, delta)| delta);
    let (mut seen, mut seen_again) = (Vec::new(), Vec::new());
    let first = history.on_feedback(base, reference, statuses(), &mut seen);
    let numbers: BTreeSet<u64> = first.acknowledged.iter().map(|packet| packet.sequence).collect();
    assert_eq!(numbers.len(), first.acknowledged.len(), "each is acknowledged once");
    assert!(numbers.len() <= MAX_ACKNOWLEDGED && first.in_flight <= before);
    assert!(numbers.iter().all(|&number| number < next && next - number <= u64::from(sent)), "only what was sent");
    let arrived: u64 = first.acknowledged.iter().map(|packet| u64::from(packet.size)).sum();
    assert!(first.in_flight + DataSize::bytes(arrived) <= before, "what arrived is no longer on its way");
    let complete = numbers.len() < MAX_ACKNOWLEDGED;
    let again = history.on_feedback(base, reference, statuses(), &mut seen_again);
    assert!(!complete || again.acknowledged.is_empty(), "a repeat acknowledges nothing");
    assert_eq!(again.lost, 0, "a repeat loses nothing");
    history.mark_unsent(0..u64::MAX);
    assert_eq!(history.next_sequence(), next);
}

/// What is written of arrivals tells them to the quarter of a millisecond.
fn assert_builder(mut choices: Choices<'_>) {
    let room = usize::from(choices.word() % 1_500);
    let base = u64::from(choices.word());
    let mut at = 1 << 40;
    let mut arrivals = Vec::new();
    while !choices.is_empty() {
        let step = choices.byte();
        let arrived = step & 3 != 0;
        at += match step & 3 {
            1 => u64::from(step) * 64,
            2 => u64::from(choices.word()) * 64,
            _ => 0,
        };
        if step & 3 == 3 {
            at -= u64::from(choices.byte()) * 256;
        }
        arrivals.push(arrived.then_some(at));
    }
    let mut out = vec![0; room];
    let mut builder = FeedbackBuilder::new(Ssrc(1));
    let Some(built) = builder.write(Ssrc(2), base, arrivals.iter().copied(), &mut out) else { return };
    assert!(built.len <= room && built.statuses <= arrivals.len());
    let Some(Ok(RtcpPacket::TransportFeedback(read))) = packets(&out[..built.len]).next() else {
        panic!("not what was written");
    };
    let mut clock = i64::from(read.reference_time) * 256;
    let mut told = read.statuses();
    for arrival in &arrivals[..built.statuses] {
        let (_, delta) = told.next().expect("as many as were written");
        clock += i64::from(delta.unwrap_or(0));
        let ticks = arrival.map(|micros| (micros / 250) & 0xffff_ffff);
        assert_eq!(delta.map(|_| clock as u64 & 0xffff_ffff), ticks);
    }
    assert_eq!(told.next(), None);
}
