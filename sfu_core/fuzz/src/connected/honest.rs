//! Two who do nothing but send and receive sound and pictures. Whatever others do, every packet of the one reaches the other,
//! once, in order and as it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::ids::{Ssrc, TrackId};

use super::arrivals::Arrivals;
use super::orders::Rights;
use crate::engine::remote::{Received, Remote};
use crate::engine::setup::{OPUS, PUBLISHED, VP8};

/// Between two packets of sound; pictures come half as often.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);
/// Packets of one kind that may be under way: the pacer lets pictures go group by group.
const MAX_BEHIND: u16 = 3;
/// What a payload of pictures has before what must not change: the descriptor of VP8, whose numbers are ours to write.
const VP8_DESCRIPTOR: usize = 4;
/// A keyframe comes this often.
const KEYFRAME_EVERY: u16 = 8;
/// Ticks between two packets of [`Remote::packet`].
const TICKS: u32 = 960;

/// A publisher and a subscriber.
pub(crate) struct Pair {
    pub(crate) publisher: Remote,
    pub(crate) subscriber: Remote,
    /// Sound and pictures.
    pub(crate) tracks: [TrackId; 2],
    /// The first SSRC that the subscriber gets them under.
    ssrc_base: u32,
    sent: [u16; 2],
    /// What came last: how many there were before, and under which number and timestamp.
    came: [u16; 2],
    last: [Option<(u16, u32)>; 2],
    arrivals: Arrivals,
    turns: u32,
}

impl Pair {
    pub(crate) fn new(publisher: Remote, subscriber: Remote, tracks: [TrackId; 2], ssrc_base: u32) -> Self {
        let arrivals = Arrivals::new(Ssrc(ssrc_base));
        let (sent, came, last) = ([0; 2], [0; 2], [None; 2]);
        Self { publisher, subscriber, tracks, ssrc_base, sent, came, last, arrivals, turns: 0 }
    }

    /// The publisher's next packets, and what the subscriber has to say about the last.
    pub(crate) fn say(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.turns += 1;
        let pictures = self.turns % 2 == 1;
        let mut said = Vec::new();
        for kind in 0..=usize::from(pictures) {
            let number = self.sent[kind] + 1;
            self.sent[kind] = number;
            let payload_type = [OPUS, VP8][kind];
            let bytes = self.publisher.packet(payload_type, PUBLISHED[kind], number, &payload(kind, number));
            said.push((self.publisher.address, bytes));
        }
        if let Some(feedback) = self.arrivals.tell() {
            said.push((self.subscriber.address, self.subscriber.seal_rtcp(&feedback)));
        }
        said
    }

    /// A datagram reaches one of the two.
    pub(crate) fn receive(&mut self, to: SocketAddr, mut datagram: Vec<u8>, rights: &Rights, now: Instant) {
        if to == self.publisher.address {
            let received = self.publisher.receive(&mut datagram);
            return assert!(received.is_none(), "the publisher receives no media");
        }
        let Some(received) = self.subscriber.receive(&mut datagram) else { return };
        rights.check(self.subscriber.id, received.ssrc);
        self.hear(&received, now);
    }

    /// The subscriber's packet: if it is of the publisher, it is the next, and whole.
    fn hear(&mut self, received: &Received, now: Instant) {
        self.arrivals.note(received.transport_cc, now);
        let place = received.ssrc.0.wrapping_sub(self.ssrc_base);
        if place == 3 {
            return; // padding, or what fills up
        }
        let kind = match place {
            0 => 0,
            2 => 1,
            _ => return, // of the hostile one
        };
        let number = self.came[kind] + 1;
        let expected = payload(kind, number);
        let same = match kind {
            0 => received.payload == expected,
            _ => received.payload.get(VP8_DESCRIPTOR..) == expected.get(VP8_DESCRIPTOR..),
        };
        assert!(same, "packet {number} of {kind} comes next, and whole: {:?}", received.payload);
        let (sequence, timestamp) = (received.header.sequence_number, received.header.timestamp);
        if let Some((before, ticks)) = self.last[kind] {
            assert_eq!(sequence, before.wrapping_add(1), "there is no hole in the numbers of {kind}");
            assert_eq!(timestamp, ticks.wrapping_add(TICKS), "and none in its time");
        }
        (self.came[kind], self.last[kind]) = (number, Some((sequence, timestamp)));
    }

    /// Everything said has been heard, but for what may be under way; at the end nothing is.
    pub(crate) fn check(&self, ended: bool) {
        let allowed = if ended { 0 } else { MAX_BEHIND };
        for (kind, (sent, came)) in self.sent.iter().zip(self.came).enumerate() {
            assert!(sent - came <= allowed, "of {kind} {sent} were said and {came} heard");
        }
    }

    /// The SSRC under which the subscriber is sent what goes into its `n`-th section.
    pub(crate) fn ssrc_of(&self, n: usize) -> Ssrc {
        Ssrc(self.ssrc_base + 2 * n as u32)
    }

    /// How many packets were heard.
    pub(crate) fn heard(&self) -> u64 {
        self.came.iter().map(|&came| u64::from(came)).sum()
    }
}

/// What the packet of that number carries.
fn payload(kind: usize, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    if kind == 0 {
        return [0xfc, high, low, !low].repeat(20);
    }
    let key = number % KEYFRAME_EVERY == 1;
    let mut payload = vec![0x90, 0x80, 0x80 | high, low];
    payload.extend_from_slice(if key { &[0x10, 0, 0, 0x9d, 0x01, 0x2a] } else { &[0x11, 0, 0] });
    payload.extend_from_slice(&[high, low, !low].repeat(100));
    payload
}
