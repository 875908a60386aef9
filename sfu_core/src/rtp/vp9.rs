//! Keyframes of VP9 (RFC 9628 §4.2): where a decoder can start.

/// Whether a keyframe begins with this payload: the first packet of a frame of the lowest spatial layer that builds on
/// no other.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(&flags) = payload.first() else { return false };
    let (has_picture_id, inter_predicted) = (flags & 0x80 != 0, flags & 0x40 != 0);
    let (has_layers, begins_frame) = (flags & 0x20 != 0, flags & 0x08 != 0);
    if inter_predicted || !begins_frame {
        return false;
    }
    let picture_id_len = match payload.get(1) {
        _ if !has_picture_id => 0,
        Some(byte) if byte & 0x80 != 0 => 2,
        _ => 1,
    };
    match payload.get(1 + picture_id_len) {
        Some(layers) => !has_layers || layers & 0x0e == 0,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_packet_of_an_independent_frame_starts_a_keyframe() {
        for payload in [
            &[0x08, 0x82][..],
            &[0x88, 0x05, 0x82],
            &[0x88, 0x85, 0x00, 0x82],
            &[0xa8, 0x85, 0x00, 0x10, 0x01, 0x82],
            &[0x28, 0x01, 0x00],
        ] {
            assert!(starts_keyframe(payload), "{payload:x?}");
        }
    }

    #[test]
    fn nothing_else_starts_a_keyframe() {
        for payload in [
            &[][..],
            &[0x08],
            &[0x88],
            &[0x88, 0x85],
            &[0x88, 0x85, 0x00],
            &[0x00, 0x82],
            &[0x48, 0x82],
            &[0xa8, 0x85, 0x00, 0x12, 0x01, 0x82],
        ] {
            assert!(!starts_keyframe(payload), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..16)) {
            starts_keyframe(&payload);
        }
    }
}
