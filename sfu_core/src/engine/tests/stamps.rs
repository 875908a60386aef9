//! The moment of leaving, as it stands in a packet (libwebrtc, abs-send-time): seconds with 18 binary digits, of 24 in all.

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
