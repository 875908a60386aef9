//! Redundant sound (RFC 2198) repeats nothing to those who had no right to hear it when it was said.

use super::rig::{OPUS, Rig, mid};
use super::*;
use crate::ids::Ssrc;
use crate::rtp::red::{self, Block};
use crate::session::{Codec, NegotiatedSession, PayloadType};

const RED: u8 = 63;
const RED_RTX: u8 = 114;

fn with_redundancy(session: &mut NegotiatedSession) {
    let format = "111/111".to_owned();
    let payload = PayloadType { number: RED, codec: Codec::Red, clock_rate_hz: 48_000, rtx: Some(RED_RTX), format };
    session.receive[0].payload_types.push(payload.clone());
    session.send[0].payload_types.push(payload);
    session.send[0].rtx_ssrc = Some(Ssrc(session.send[0].ssrc.0 + 1));
}

struct Call {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    track: TrackId,
    /// Of what Alice says.
    ssrc: u32,
}

impl Call {
    fn new(encrypted: bool) -> Self {
        let mut rig = Rig::new();
        let (alice, bob) = (rig.join_with(1, with_redundancy), rig.join_with(2, with_redundancy));
        let track = rig.publish_as(alice, "a", TrackSource::Microphone, encrypted);
        rig.subscribe(bob, "a", track);
        Self { rig, alice, bob, track, ssrc: 1 }
    }

    /// What Bob hears of a packet that also has the two words before: the numbers of the words, oldest first.
    fn say(&mut self, number: u8) -> Option<Vec<u8>> {
        let before = [number.wrapping_sub(2), number.wrapping_sub(1)].map(|word| [word]);
        let blocks = [(1_920, &before[0]), (960, &before[1])];
        let blocks = blocks.map(|(timestamp_offset, payload)| Block { payload_type: OPUS, timestamp_offset, payload });
        let mut payload = [0; 64];
        let len = red::build(OPUS, &[number], &blocks, &mut payload).expect("it fits");
        let timestamp = u32::from(number) * 960;
        self.rig.ingest_with(self.alice, (RED, self.ssrc), u16::from(number), timestamp, &payload[..len], &[]);
        self.heard(0)
    }

    fn heard(&mut self, skipped: usize) -> Option<Vec<u8>> {
        let seen = self.rig.flush().pop()?;
        let heard = red::Red::parse(&seen.payload[skipped..]).expect("redundant sound");
        assert_eq!(heard.payload_type, OPUS);
        Some(heard.redundant.iter().map(|block| block.payload).chain([heard.primary]).flatten().copied().collect())
    }
}

#[test]
fn nothing_is_heard_that_was_said_before_the_right_or_while_muted() {
    let mut call = Call::new(false);
    assert_eq!(call.say(10), None);
    call.rig.allow(call.track, call.bob);
    assert_eq!([11, 12, 13].map(|n| call.say(n)), [Some(vec![11]), Some(vec![12]), Some(vec![11, 12, 13])]);
    call.rig.revoke(call.track, call.bob);
    assert_eq!(call.say(14), None);
    call.rig.allow(call.track, call.bob);
    assert_eq!([15, 16, 17].map(|n| call.say(n)), [Some(vec![15]), Some(vec![16]), Some(vec![15, 16, 17])]);
    let mute = |muted| Command::Mute { track: call.track, muted };
    call.rig.command(mute(true)).expect("a track");
    assert_eq!(call.say(18), None);
    call.rig.command(Command::Mute { track: call.track, muted: false }).expect("a track");
    assert_eq!([19, 20, 21].map(|n| call.say(n)), [Some(vec![19]), Some(vec![20]), Some(vec![19, 20, 21])]);
}

#[test]
fn what_is_sent_again_repeats_no_more_than_what_was_sent() {
    let mut call = Call::new(false);
    assert_eq!(call.say(10), None);
    call.rig.allow(call.track, call.bob);
    (11..14).for_each(|number| assert!(call.say(number).is_some()));
    let words = [&[11][..], &[12], &[11, 12, 13]];
    for (number, word) in call.rig.numbers(call.bob).into_iter().zip(words) {
        call.rig.nack(call.bob, "a", number);
        assert_eq!(call.heard(2).as_deref(), Some(word), "after the two bytes of its number");
    }
}

#[test]
fn redundancy_that_cannot_be_read_waits_until_it_can_repeat_nothing_from_before_the_right() {
    let mut call = Call::new(true);
    assert_eq!(call.say(10), None);
    call.rig.allow(call.track, call.bob);
    let first = (11..60).find(|n| call.say(*n).is_some());
    assert_eq!(first, Some(11 + 18), "341 ms");
}

#[test]
fn a_packet_that_comes_late_ends_the_watch_over_a_young_right_for_nobody() {
    let mut call = Call::new(false);
    assert_eq!(call.say(9), None);
    call.rig.allow(call.track, call.bob);
    assert_eq!(call.say(11), Some(vec![11]));
    assert_eq!(call.say(10), None, "it was said before the right");
    assert_eq!(call.say(12), Some(vec![12]));
    let mute = |muted| Command::Mute { track: call.track, muted };
    call.rig.command(mute(true)).expect("a track");
    assert_eq!(call.say(13), None);
    call.rig.command(Command::Mute { track: call.track, muted: false }).expect("a track");
    assert_eq!([16, 15, 17].map(|n| call.say(n)), [Some(vec![16]), None, Some(vec![17])]);
}

#[test]
fn a_right_never_begins_with_a_packet_that_comes_late_and_so_is_older_than_what_had_come_before_it() {
    let mut call = Call::new(false);
    assert_eq!([9, 11].map(|n| call.say(n)), [None, None]);
    call.rig.allow(call.track, call.bob);
    assert_eq!(call.say(10), None, "it was said before 11, and that before the right");
    assert_eq!([12, 13, 14].map(|n| call.say(n)), [Some(vec![12]), Some(vec![13]), Some(vec![12, 13, 14])]);
    let mute = |muted| Command::Mute { track: call.track, muted };
    call.rig.command(mute(true)).expect("a track");
    assert_eq!(call.say(16), None);
    call.rig.command(Command::Mute { track: call.track, muted: false }).expect("a track");
    assert_eq!([15, 17, 18].map(|n| call.say(n)), [None, Some(vec![17]), Some(vec![18])]);
}

#[test]
fn who_is_wired_after_the_right_hears_nothing_from_before_the_wire() {
    let mut call = Call::new(false);
    call.rig.allow(call.track, call.bob);
    call.rig.command(Command::Unsubscribe { peer: call.bob, mid: mid("a") }).expect("a subscription");
    assert_eq!([9, 11].map(|n| call.say(n)), [None, None]);
    call.rig.subscribe(call.bob, "a", call.track);
    assert_eq!([10, 12, 13].map(|n| call.say(n)), [None, Some(vec![12]), Some(vec![13])]);
}

#[test]
fn a_publisher_that_begins_anew_repeats_nothing_from_before_the_right_either() {
    let mut call = Call::new(false);
    assert_eq!(call.say(200), None);
    call.rig.allow(call.track, call.bob);
    assert_eq!(call.say(201), Some(vec![201]));
    call.ssrc = 0x77;
    assert_eq!([10, 11, 12].map(|n| call.say(n)), [Some(vec![10]), Some(vec![11]), Some(vec![10, 11, 12])]);
}
