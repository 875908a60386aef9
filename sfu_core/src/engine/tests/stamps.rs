//! What is written into a packet when it leaves: the moment (libwebrtc, abs-send-time: seconds with 18 binary digits, of 24 in
//! all) and the transport-wide number.

use super::rig::Rig;
use super::*;
use crate::rtp::ext::ExtensionKind;
use crate::session::NegotiatedSession;

#[test]
fn the_time_of_leaving_is_stamped_in_binary_fractions_of_a_second_and_begins_anew_after_64() {
    let mut rig = Rig::new();
    let stamped = |session: &mut NegotiatedSession| assert!(session.extensions.set(ExtensionKind::AbsSendTime, 2));
    let (alice, bob) = (rig.join(1), rig.join_with(2, stamped));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    let mut now_ms = 0;
    // 1.5 s are 1.5 * 2^18; the last millisecond before 64 s is 63.999 * 2^18, rounded down.
    for (at_ms, expected) in [(0, 0), (1_500, 0x06_0000), (63_999, 0xff_fef9), (64_000, 0), (65_250, 0x05_0000)] {
        rig.advance(Duration::from_millis(at_ms - now_ms));
        now_ms = at_ms;
        let seen = rig.send_audio_seen(alice, (at_ms / 20) as u16, b"word");
        let stamps: Vec<_> = seen.iter().flat_map(|seen| &seen.passed_on).collect();
        let [_, bytes @ ..] = u32::to_be_bytes(expected);
        assert_eq!(stamps, [&(ExtensionKind::AbsSendTime, bytes.to_vec())], "after {at_ms} ms");
    }
}

#[test]
fn packets_are_numbered_over_the_transport_while_a_picture_is_received_and_not_beside_sound_alone() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let sound = rig.publish(alice, "a", TrackSource::Microphone);
    let picture = rig.publish(alice, "v", TrackSource::Camera);
    rig.subscribe(bob, "a", sound);
    rig.allow(sound, bob);
    rig.allow(picture, bob);

    assert_eq!(rig.send_audio(alice, 1, b"word").len(), 1);
    assert_eq!(rig.transport_wide_numbers(bob), []);

    rig.subscribe(bob, "v", picture);
    assert_eq!(rig.send_audio(alice, 2, b"word").len(), 1);
    rig.ingest_video(alice, 1, true, 100);
    rig.advance(Duration::from_millis(20));
    assert_eq!(rig.transport_wide_numbers(bob), [0, 1]);

    let session = Box::new(rig::session(0x2000));
    rig.command(Command::Connect { peer: bob, session }).expect("the same as before");
    assert_eq!(rig.send_audio(alice, 3, b"word").len(), 1);
    assert_eq!(rig.transport_wide_numbers(bob), [2]);

    rig.command(Command::Unsubscribe { peer: bob, mid: rig::mid("v") }).expect("a subscription");
    assert_eq!(rig.send_audio(alice, 4, b"word").len(), 1);
    assert_eq!(rig.transport_wide_numbers(bob), []);
}
