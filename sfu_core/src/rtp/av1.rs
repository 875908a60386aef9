//! Keyframes by AOM's RTP payload format for AV1: where a decoder can start, by the aggregation header (§4.4) and, of any
//! codec that carries one, by the dependency descriptor (appendix A.8).

/// Whether a keyframe begins with this payload: N of the aggregation header, which says that a coded video sequence
/// starts, and not Z, which says that the packet goes on with an element of the one before.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    matches!(payload, [header, _, ..] if header & 0x88 == 0x08)
}

/// Whether a keyframe begins with the packet that carries this dependency descriptor: it is the first of its frame, and
/// brings the template structure, which only keyframes do.
pub fn descriptor_starts_keyframe(descriptor: &[u8]) -> bool {
    matches!(descriptor, [mandatory, _, _, extended, ..] if mandatory & 0x80 != 0 && extended & 0x80 != 0)
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
    fn a_descriptor_with_a_structure_on_the_first_packet_of_a_frame_starts_a_keyframe() {
        assert!(descriptor_starts_keyframe(&[0x80, 0, 1, 0x80, 0x01]));
        for descriptor in [&[][..], &[0x80, 0, 1], &[0xc0, 0, 1, 0x40], &[0x40, 0, 1, 0x80]] {
            assert!(!descriptor_starts_keyframe(descriptor), "{descriptor:x?}");
        }
    }

    #[test]
    fn nothing_else_starts_a_keyframe() {
        for payload in [&[][..], &[0x08], &[0x10, 0x32], &[0x88, 0x0a], &[0x80, 0x0a]] {
            assert!(!starts_keyframe(payload), "{payload:x?}");
        }
    }
}
