//! A later offer and answer: what was agreed on before goes on under the new numbers, or stops, and no number is used twice.

use super::rig::{OPUS, Rig, VP8, session};
use super::*;
use crate::ids::Ssrc;
use crate::rtcp::fir::Fir;
use crate::rtcp::nack;
use crate::session::{NegotiatedSession, SSRC_GENERATION};

/// Participant 1 publishes to participant 2, with sound and a picture on their way.
struct Call {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    camera: TrackId,
    number: u16,
}

impl Call {
    fn new() -> Self {
        let mut rig = Rig::new();
        let (alice, bob) = (rig.join(1), rig.join(2));
        let [_, camera] = [("a", TrackSource::Microphone), ("v", TrackSource::Camera)].map(|(section, source)| {
            let track = rig.publish(alice, section, source);
            rig.subscribe(bob, section, track);
            rig.allow(track, bob);
            track
        });
        rig.ingest_video(alice, 0, true, 500);
        rig.flush();
        Self { rig, alice, bob, camera, number: 0 }
    }

    /// The participant negotiates anew.
    fn negotiate(&mut self, peer: PeerId, change: impl FnOnce(&mut NegotiatedSession)) -> Result<Reply, Refusal> {
        let mut session = session(if peer == self.alice { 0x1000 } else { 0x2000 });
        change(&mut session);
        self.rig.command(Command::Connect { peer, session: Box::new(session) })
    }

    /// A packet each of sound and pictures; SSRCs (from the first of Bob's) and payload types of what reaches Bob.
    fn packets(&mut self, keyframe: bool) -> Vec<(u32, u8)> {
        self.number += 1;
        self.rig.ingest_video(self.alice, self.number, keyframe, 500);
        self.rig.send_unseen(self.alice, self.number);
        let seen = self.rig.flush();
        assert!(seen.iter().all(|seen| seen.to == self.bob));
        seen.iter().map(|seen| (seen.header.ssrc.0 - 0x2000, seen.header.payload_type)).collect()
    }

    /// Bob misses the last picture.
    fn ask_again(&mut self) {
        let last = *self.rig.numbers_of(self.bob, 0x2002).last().expect("a picture came");
        self.rig.nack(self.bob, "v", last);
    }
}

const BOTH: [(u32, u8); 2] = [(0, OPUS), (2, VP8)];

#[test]
fn a_repair_that_waits_when_retransmissions_are_given_up_does_not_leave_under_the_medias_ssrc() {
    let mut call = Call::new();
    call.ask_again();
    let bob = call.bob;
    let without = |session: &mut NegotiatedSession| {
        session.send[1].rtx_ssrc = None;
        session.send[1].payload_types[0].rtx = None;
    };
    assert_eq!(call.negotiate(bob, without), Ok(Reply::Done));
    assert_eq!(call.rig.flush(), []);
    call.ask_again();
    assert_eq!(call.rig.flush(), [], "nothing is sent again without an SSRC for it");
    assert_eq!(call.packets(false), BOTH);
    // Every number of both SSRCs goes on where it was: debug builds assert on each seal.
    assert_eq!(call.negotiate(bob, |_| {}), Ok(Reply::Done));
    assert_eq!(call.packets(false), BOTH);
    call.rig.advance(Duration::from_secs(1));
    call.ask_again();
    let again = call.rig.flush();
    assert_eq!(again.iter().map(|seen| seen.header.ssrc.0).collect::<Vec<_>>(), [0x2003]);
    assert_eq!(call.rig.stats().panics, 0);
}

#[test]
fn retransmissions_are_numbered_from_a_place_of_their_own() {
    let starts = |engine: &mut Engine| {
        let first = crate::engine::apply::first_numbers(engine);
        (first.index, first.rtx_index)
    };
    let mut rig = Rig::new();
    let numbers: Vec<_> = (0..8).map(|_| starts(&mut rig.engine)).collect();
    assert!(numbers.iter().all(|(index, rtx)| *index < 1 << 15 && *rtx < 1 << 15));
    assert!(numbers.iter().filter(|(index, rtx)| index == rtx).count() < 2, "{numbers:?}");
}

#[test]
fn an_ssrc_for_retransmissions_is_one_for_life_and_another_is_refused() {
    let mut call = Call::new();
    let bob = call.bob;
    let other = |session: &mut NegotiatedSession| session.send[1].rtx_ssrc = Some(crate::ids::Ssrc(0x2005));
    assert_eq!(call.negotiate(bob, other), Err(Refusal::BadSession));
}

/// The second section begins to carry another track, after so many.
fn generation(number: u32) -> impl Fn(&mut NegotiatedSession) {
    move |session| {
        session.send[1].ssrc.0 += number * SSRC_GENERATION;
        session.send[1].rtx_ssrc = Some(crate::ids::Ssrc(session.send[1].ssrc.0 + 1));
    }
}

#[test]
fn a_section_carries_another_track_under_other_ssrcs_and_nothing_that_waited_leaves_under_them() {
    let mut call = Call::new();
    let (bob, camera) = (call.bob, call.camera);
    assert_eq!(call.packets(false), BOTH);
    assert_eq!(call.negotiate(bob, generation(1)), Err(Refusal::BadSession), "it carries one still");
    call.rig.ingest_video(call.alice, 2, false, 500);
    call.ask_again();
    call.number = 2;
    let mid = crate::ids::Mid::new("v").expect("a mid");
    assert_eq!(call.rig.command(Command::Unsubscribe { peer: bob, mid }), Ok(Reply::Done));
    assert_eq!(call.negotiate(bob, generation(1)), Ok(Reply::Done));
    assert_eq!(call.rig.flush(), [], "of the track before");
    call.rig.subscribe(bob, "v", camera);
    call.rig.allow(camera, bob);
    let other = 2 + SSRC_GENERATION;
    assert_eq!(call.packets(true), [(0, OPUS), (other, VP8)]);
    assert_eq!(call.packets(false), [(0, OPUS), (other, VP8)]);
    // A receiver knows nothing of the new SSRC: it takes the first number for one without a roll-over.
    let numbers = call.rig.numbers_of(bob, 0x2000 + other);
    assert!(numbers[0] < 1 << 15, "{numbers:?}");
    call.rig.rtcp(bob, |out| nack::write(Ssrc(1), Ssrc(0x2000 + other), &[numbers[1]], out));
    let again: Vec<u32> = call.rig.flush().iter().map(|seen| seen.header.ssrc.0).collect();
    assert_eq!(again, [0x2000 + other + 1]);
    assert_eq!(call.rig.stats().panics, 0);
}

#[test]
fn an_ssrc_between_those_of_two_tracks_is_refused() {
    let mut call = Call::new();
    let between = |session: &mut NegotiatedSession| session.send[1].ssrc.0 += SSRC_GENERATION / 2;
    assert_eq!(call.negotiate(call.bob, between), Err(Refusal::BadSession));
}

#[test]
fn a_section_that_was_made_inactive_gets_nothing_more_until_it_is_offered_again() {
    let mut call = Call::new();
    let bob = call.bob;
    assert_eq!(call.packets(false), BOTH);
    call.rig.ingest_video(call.alice, 2, false, 500);
    call.ask_again();
    call.number = 2;
    let inactive = |session: &mut NegotiatedSession| {
        session.send.iter_mut().for_each(|section| section.payload_types.clear());
    };
    assert_eq!(call.negotiate(bob, inactive), Ok(Reply::Done));
    assert_eq!(call.packets(true), [], "neither what waits nor what comes");
    call.rig.advance(Duration::from_secs(2));
    assert_eq!(call.packets(false), []);
    call.rig.rtcp_to(bob);
    assert_eq!(call.negotiate(bob, |_| {}), Ok(Reply::Done));
    let asked = call.rig.stats().keyframe_requests_out;
    call.rig.advance(Duration::from_millis(600));
    assert!(call.rig.stats().keyframe_requests_out > asked, "a picture begins with a keyframe");
    assert_eq!(call.packets(true), BOTH);
    assert_eq!(call.packets(false), BOTH);
}

#[test]
fn packets_go_out_under_the_numbers_of_the_last_negotiation() {
    let mut call = Call::new();
    let bob = call.bob;
    let renumbered = |session: &mut NegotiatedSession| {
        session.send[0].payload_types[0].number = 100;
        session.send[1].payload_types[0].number = 101;
        session.send[1].payload_types[0].rtx = Some(102);
    };
    assert_eq!(call.negotiate(bob, renumbered), Ok(Reply::Done));
    assert_eq!(call.packets(false), [(0, 100), (2, 101)]);
    call.ask_again();
    assert_eq!(call.rig.flush()[0].header.payload_type, 102);
}

#[test]
fn what_a_publisher_sends_is_read_by_the_numbers_of_its_last_negotiation() {
    let mut call = Call::new();
    let alice = call.alice;
    let renumbered = |session: &mut NegotiatedSession| session.receive[0].payload_types[0].number = 100;
    assert_eq!(call.negotiate(alice, renumbered), Ok(Reply::Done));
    assert_eq!(call.packets(false), [(2, VP8)], "its old number means nothing any more");
    call.rig.ingest_with(alice, (100, 1), 90, 90 * 960, b"word", &[]);
    let seen = call.rig.flush();
    assert_eq!(seen.iter().map(|seen| seen.header.payload_type).collect::<Vec<_>>(), [OPUS]);
    call.number = 90;
    let stopped = |session: &mut NegotiatedSession| session.receive.truncate(1);
    assert_eq!(call.negotiate(alice, stopped), Ok(Reply::Done));
    assert_eq!(call.packets(true), [(0, OPUS)], "it said that it sends no picture");
}

#[test]
fn who_knows_only_full_intra_requests_is_sent_one_and_a_repeat_has_its_number() {
    let mut rig = Rig::new();
    let only_fir = |session: &mut NegotiatedSession| {
        session.receive[1].pli = false;
        session.receive[1].fir = true;
    };
    let (alice, bob) = (rig.join_with(1, only_fir), rig.join(2));
    let track = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    rig.ingest_video(alice, 0, false, 500);
    rig.advance(Duration::from_millis(400));
    rig.ingest_video(alice, 1, true, 500);
    rig.command(Command::RequestKeyframe { track }).expect("a track");
    rig.advance(Duration::from_millis(900));
    let datagrams = rig.rtcp_to(alice);
    let packets: Vec<_> = datagrams.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten()).collect();
    let numbers: Vec<u8> = packets
        .iter()
        .filter_map(|packet| match packet {
            crate::rtcp::RtcpPacket::Fir(Fir { requests, .. }) => Some(requests[0].sequence),
            _ => None,
        })
        .collect();
    assert!(packets.iter().all(|packet| !matches!(packet, crate::rtcp::RtcpPacket::Pli(_))));
    let first = numbers[0];
    assert_eq!(numbers[..3], [first, first, first.wrapping_add(1)], "{numbers:?}");
}
