//! What is read of a packet, and what is passed on of it.

use super::rig::{Rig, VP8, VP8_RTX};
use super::*;
use crate::rtp::ext::{ExtensionKind, ExtensionMap};

/// The dependency descriptor of a keyframe's first packet (with a template structure) and of any other frame's.
const KEY: &[u8] = &[0x80, 0, 1, 0x80, 0x01, 0x02, 0x03];
const DELTA: &[u8] = &[0xc0, 0, 2];

/// A VP8 packet whose frame nobody here can read: a clear descriptor, then bytes that would mean a keyframe or not.
fn sealed_frame(number: u16, first: u8) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (number >> 8) as u8, number as u8, first];
    payload.resize(300, 0xa5);
    payload
}

struct Call {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
}

fn encrypted_call() -> Call {
    let mut rig = Rig::new();
    let alice = rig.join_with(1, |session| session.receive[1].encodings.truncate(1));
    let bob = rig.join(2);
    let track = rig.publish_as(alice, "v", TrackSource::Camera, true);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    Call { rig, alice, bob }
}

impl Call {
    /// What Bob gets of a frame.
    fn frame(&mut self, number: u16, first: u8, descriptor: Option<&[u8]>) -> Vec<Vec<u8>> {
        let extensions: Vec<_> =
            descriptor.map(|value| (ExtensionKind::DependencyDescriptor, value)).into_iter().collect();
        let payload = sealed_frame(number, first);
        self.rig.ingest_with(self.alice, (VP8, 2), number, u32::from(number) * 3_000, &payload, &extensions);
        let seen = self.rig.flush();
        assert!(seen.iter().all(|seen| seen.to == self.bob && seen.header.payload_type != VP8_RTX));
        seen.into_iter().map(|seen| seen.payload).collect()
    }
}

#[test]
fn the_keyframe_of_an_encrypted_track_is_known_by_its_descriptor_and_by_nothing_in_the_frame() {
    let mut call = encrypted_call();
    // 0x00 would be a keyframe and 0x01 none, if the frame could be read.
    assert!(call.frame(1, 0x00, Some(DELTA)).is_empty());
    let [forwarded] = &call.frame(2, 0x01, Some(KEY))[..] else { panic!("the keyframe goes out") };
    assert_eq!(forwarded[4..], sealed_frame(2, 0x01)[4..], "not a byte of the frame was touched");
    assert_eq!(call.frame(3, 0x00, Some(DELTA)).len(), 1);
}

#[test]
fn an_encrypted_track_without_descriptors_starts_with_any_frame_and_a_keyframe_is_asked_for_once() {
    let mut call = encrypted_call();
    let [forwarded] = &call.frame(1, 0x01, None)[..] else { panic!("any frame may be the first") };
    assert_eq!(forwarded[4..], sealed_frame(1, 0x01)[4..]);
    call.rig.advance(Duration::from_secs(10));
    assert_eq!(call.rig.stats().keyframe_requests_out, 1, "whether it came cannot be known, so it is not repeated");
    let mut middle = sealed_frame(2, 0x00);
    middle[0] &= !0x10;
    let mut late = encrypted_call();
    late.rig.ingest_with(late.alice, (VP8, 2), 2, 6_000, &middle, &[]);
    assert_eq!(late.rig.flush(), [], "the middle of a frame is no beginning");
}

#[test]
fn a_track_in_the_clear_does_not_wait_for_a_descriptor() {
    let (mut rig, alice, _, _) = camera_call();
    rig.ingest_video(alice, 0, false, 300);
    assert_eq!(rig.flush(), []);
    rig.ingest_video(alice, 1, true, 300);
    assert_eq!(rig.flush().len(), 1);
}

/// The numbers of a subscriber that negotiated others than the publisher.
fn other_numbers() -> ExtensionMap {
    let mut numbers = ExtensionMap::default();
    let kinds = [
        (ExtensionKind::TransportCc, 1),
        (ExtensionKind::PlayoutDelay, 6),
        (ExtensionKind::AbsCaptureTime, 7),
        (ExtensionKind::DependencyDescriptor, 11),
        (ExtensionKind::VideoOrientation, 13),
    ];
    assert!(kinds.into_iter().all(|(kind, id)| numbers.set(kind, id)));
    numbers
}

#[test]
fn capture_time_playout_delay_orientation_and_dependency_descriptor_are_passed_on_under_the_subscribers_numbers() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join_with(2, |session| session.extensions = other_numbers()));
    let track = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    // The descriptor of a keyframe is longer than the one-byte form can say.
    let long = [KEY, &[7; 40]].concat();
    for (number, descriptor) in [(1, &long[..]), (2, DELTA)] {
        let values: [(ExtensionKind, &[u8]); 4] = [
            (ExtensionKind::AbsCaptureTime, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            (ExtensionKind::VideoOrientation, &[3]),
            (ExtensionKind::PlayoutDelay, &[0, 1, 2]),
            (ExtensionKind::DependencyDescriptor, descriptor),
        ];
        let payload = sealed_frame(number, u8::from(number != 1));
        rig.ingest_with(alice, (VP8, 2), number, u32::from(number) * 3_000, &payload, &values);
        let [seen] = &rig.flush()[..] else { panic!("packet {number} goes out") };
        let expected: Vec<_> = values.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
        assert_eq!(seen.passed_on, expected, "packet {number}");
    }
}

/// Two encodings of a camera whose keyframes nobody here can see.
struct Simulcast {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    track: TrackId,
    sent: u16,
}

impl Simulcast {
    fn new() -> Self {
        let mut rig = Rig::new();
        let (alice, bob) = (rig.join(1), rig.join(2));
        let track = rig.publish_as(alice, "v", TrackSource::Camera, true);
        rig.subscribe(bob, "v", track);
        rig.allow(track, bob);
        Self { rig, alice, bob, track, sent: 0 }
    }

    /// The encoding and the number of each packet that Bob gets in so many seconds.
    fn watch(&mut self, seconds: u16, high: bool) -> Vec<(u8, u16)> {
        let mut seen = Vec::new();
        for _ in 0..30 * seconds {
            self.rig.ingest_video(self.alice, self.sent, false, 500);
            if high {
                self.rig.ingest_high(self.alice, self.sent, false, 1_000);
            }
            self.sent += 1;
            let media = self.rig.flush().into_iter().filter(|seen| seen.header.payload_type != VP8_RTX);
            seen.extend(media.map(|seen| (u8::from(seen.payload.len() > 500), seen.header.sequence_number)));
            self.rig.advance(Duration::from_millis(33));
            self.rig.acknowledge(self.bob);
        }
        seen
    }

    fn limit(&mut self, encoding: u8) -> Result<Reply, Refusal> {
        let limit = crate::session::LayerLimit { encoding, temporal: u8::MAX };
        self.rig.command(Command::LimitLayer { track: self.track, subscriber: self.bob, limit })
    }

    fn holds(&mut self) -> bool {
        let Ok(Reply::Snapshot { snapshot }) = self.rig.command(Command::Snapshot) else { panic!("a snapshot") };
        snapshot.tracks[0].holds_encodings
    }
}

fn holes(seen: &[(u8, u16)]) -> usize {
    seen.windows(2).filter(|pair| pair[1].1 != pair[0].1.wrapping_add(1)).count()
}

#[test]
fn encrypted_simulcast_without_descriptors_keeps_the_encoding_it_began_with_and_says_so() {
    let mut call = Simulcast::new();
    assert_eq!(call.watch(2, true), [], "what each encoding takes is looked at before the choice");
    let seen = call.watch(8, true);
    assert!(seen.len() > 200, "{}", seen.len());
    assert!(seen.iter().all(|(encoding, _)| *encoding == 1), "there is room for the better one from the beginning");
    assert_eq!(holes(&seen), 0);
    assert!(call.holds());
    assert_eq!(call.limit(0), Err(Refusal::EncodingHeld));
    assert_eq!(call.limit(1), Ok(Reply::Done));
    assert!(call.watch(2, true).iter().all(|(encoding, _)| *encoding == 1));
}

#[test]
fn a_bot_gets_encrypted_simulcast_without_descriptors_like_everybody_else() {
    let mut call = Simulcast::new();
    let bot = call.rig.join_bot(3);
    call.rig.subscribe(bot, "v", call.track);
    call.rig.allow(call.track, bot);
    call.watch(4, true);
    let seen = call.rig.to_bots.iter().filter(|(to, packet)| *to == bot && packet.len() > 1_000).count();
    assert!(seen > 30, "{seen} packets of the better encoding");
}

#[test]
fn neither_padding_nor_a_repair_without_descriptor_says_that_a_track_hides_its_keyframes() {
    let mut call = Simulcast::new();
    let described: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::DependencyDescriptor, KEY)];
    call.rig.ingest_with(call.alice, (VP8, 2), 1, 3_000, &sealed_frame(1, 1), &described);
    assert!(!call.holds());
    call.rig.ingest_with(call.alice, (VP8, 2), 2, 3_000, &[], &[]);
    assert!(!call.holds(), "padding");
    let repair = [&[0, 3][..], &sealed_frame(3, 1)].concat();
    call.rig.ingest_with(call.alice, (VP8_RTX, 2), 9, 6_000, &repair, &[]);
    assert!(!call.holds(), "a repair");
    call.rig.ingest_with(call.alice, (VP8, 2), 4, 9_000, &sealed_frame(4, 1), &[]);
    assert!(call.holds());
}

#[test]
fn an_encoding_that_ends_is_left_for_one_that_flows_with_a_hole_that_decoders_see() {
    let mut call = Simulcast::new();
    let mut seen = call.watch(5, true);
    assert_eq!(seen.last().map(|seen| seen.0), Some(1));
    seen.extend(call.watch(8, false));
    let switches = seen.windows(2).filter(|pair| pair[0].0 != pair[1].0);
    let switches: Vec<_> = switches.map(|pair| pair[1].1.wrapping_sub(pair[0].1)).collect();
    assert_eq!(switches, [2], "one number is left out, so that nobody takes the next frame for a sequel");
    assert_eq!(holes(&seen), 1);
    assert_eq!(seen.last().map(|seen| seen.0), Some(0));
}

#[test]
fn an_encrypted_track_that_goes_on_after_a_pause_leaves_a_hole_that_decoders_see() {
    let mut call = encrypted_call();
    let track = call.rig.engine.tracks.iter().map(|(id, _)| id).next().expect("a track");
    let numbers = |call: &mut Call, from: u16| {
        (from..from + 3).for_each(|number| assert!(call.frame(number, 1, None).len() <= 1));
        call.rig.numbers(call.bob)
    };
    numbers(&mut call, 0);
    call.rig.command(Command::Mute { track, muted: true }).expect("a track");
    numbers(&mut call, 3);
    call.rig.command(Command::Mute { track, muted: false }).expect("a track");
    let numbers = numbers(&mut call, 6);
    let steps: Vec<_> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps, [1, 1, 2, 1, 1]);
}

#[test]
fn an_encrypted_track_that_takes_the_place_of_another_leaves_a_hole_that_decoders_see() {
    let mut call = encrypted_call();
    let (alice, bob) = (call.alice, call.bob);
    (0..3).for_each(|number| assert_eq!(call.frame(number, 1, None).len(), 1));
    call.rig.command(Command::Unsubscribe { peer: bob, mid: super::mid("v") }).expect("a subscription");
    let carol = call.rig.join_with(3, |session| session.receive[1].encodings.truncate(1));
    let track = call.rig.publish_as(carol, "v", TrackSource::Camera, true);
    call.rig.subscribe(bob, "v", track);
    call.rig.allow(track, bob);
    for number in 70..73 {
        call.rig.ingest_with(carol, (VP8, 2), number, u32::from(number) * 3_000, &sealed_frame(number, 1), &[]);
    }
    assert_eq!(call.rig.flush().len(), 3);
    let steps: Vec<_> = call.rig.numbers(bob).windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps, [1, 1, 2, 1, 1]);
    assert!(call.rig.command(Command::Unpublish { track }).is_ok() && alice != carol);
}

#[test]
fn who_did_not_agree_on_the_descriptor_is_sent_the_short_form_whatever_its_length() {
    for agreed in [true, false] {
        let mut rig = Rig::new();
        let (alice, bob) = (
            rig.join(1),
            rig.join_with(2, |session| {
                let mut few = ExtensionMap::default();
                assert!(few.set(ExtensionKind::TransportCc, 1));
                session.extensions = if agreed { other_numbers() } else { few };
            }),
        );
        let track = rig.publish(alice, "v", TrackSource::Camera);
        rig.subscribe(bob, "v", track);
        rig.allow(track, bob);
        let long = [KEY, &[7; 40]].concat();
        let values: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::DependencyDescriptor, &long)];
        rig.ingest_with(alice, (VP8, 2), 1, 3_000, &sealed_frame(1, 0), &values);
        let [seen] = &rig.flush()[..] else { panic!("it goes out") };
        assert_eq!(seen.two_byte, agreed);
    }
}

#[test]
fn a_first_packet_in_a_large_room_chooses_for_some_at_once_and_for_the_rest_within_a_second() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish_as(alice, "v", TrackSource::Camera, true);
    for participant in 2..102 {
        let subscriber = rig.join(participant);
        rig.subscribe(subscriber, "v", track);
        rig.allow(track, subscriber);
    }
    rig.advance(Duration::from_millis(100));
    let begun = |rig: &Rig| {
        let subscriptions = &rig.engine.tracks.find(track).expect("it is there").subscriptions;
        subscriptions.iter().filter(|subscription| subscription.selector.target().encoding.is_some()).count()
    };
    assert_eq!(begun(&rig), 0);
    let described: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::DependencyDescriptor, KEY)];
    rig.ingest_with(alice, (VP8, 2), 1, 3_000, &sealed_frame(1, 1), &described);
    assert_eq!(begun(&rig), 64);
    rig.advance(Duration::from_secs(1));
    assert_eq!(begun(&rig), 100);
}
