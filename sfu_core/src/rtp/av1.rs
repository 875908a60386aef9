//! Keyframes of AV1 (AOM's RTP payload format for AV1, §4.4): where a decoder can start.

/// Whether a keyframe begins with this payload: N of the aggregation header, which says that a coded video sequence
/// starts, and not Z, which says that the packet goes on with an element of the one before.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    matches!(payload, [header, _, ..] if header & 0x88 == 0x08)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_of_a_coded_video_sequence_starts_a_keyframe() {
        assert!(starts_keyframe(&[0x08, 0x0a]));
        assert!(starts_keyframe(&[0x68, 0x0a]));
    }

    #[test]
    fn nothing_else_starts_a_keyframe() {
        for payload in [&[][..], &[0x08], &[0x10, 0x32], &[0x88, 0x0a], &[0x80, 0x0a]] {
            assert!(!starts_keyframe(payload), "{payload:x?}");
        }
    }
}
