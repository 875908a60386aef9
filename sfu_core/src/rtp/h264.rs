//! Keyframes of H.264 (RFC 6184): where a decoder can start.

/// NAL unit types (RFC 6184 §5.2, H.264 table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether a keyframe, or the parameters just before one, begins with this payload.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((&first, rest)) = payload.split_first() else { return false };
    match first & 0x1f {
        STAP_A => aggregated(rest).any(starts_in_unit),
        // The first fragment of a unit: its type and first byte stand where a whole unit has them.
        FU_A => rest.first().is_some_and(|header| header & 0x80 != 0) && starts_in_unit(rest),
        _ => starts_in_unit(payload),
    }
}

/// Whether this is a sequence parameter set, or the first slice of an IDR picture.
fn starts_in_unit(unit: &[u8]) -> bool {
    let Some(&header) = unit.first() else { return false };
    match header & 0x1f {
        SPS => true,
        // `first_mb_in_slice` is an Exp-Golomb number: 0 is the bit 1.
        IDR => unit.get(1).is_some_and(|byte| byte & 0x80 != 0),
        _ => false,
    }
}

/// The units of a STAP-A (RFC 6184 §5.7.1); ends where a length leaves the payload.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, after) = rest.split_first_chunk()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(len)))?;
        rest = after;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_and_the_first_slice_of_an_idr_picture_start_a_keyframe() {
        for payload in [
            &[0x67, 0x42][..],
            &[0x65, 0x88],
            &[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68, 0, 2, 0x65, 0x88],
            &[0x78, 0, 1, 0x09, 0, 2, 0x65, 0x88],
            &[0x7c, 0x85, 0x88],
        ] {
            assert!(starts_keyframe(payload), "{payload:x?}");
        }
    }

    #[test]
    fn nothing_else_starts_a_keyframe() {
        for payload in [
            &[][..],
            &[0x41, 0x9a],
            &[0x65],
            &[0x65, 0x40],
            &[0x68, 0xce],
            &[0x78],
            &[0x78, 0, 0],
            &[0x78, 0, 9, 0x67],
            &[0x7c],
            &[0x7c, 0x05, 0x88],
            &[0x7c, 0x45, 0x88],
            &[0x7c, 0x81, 0x88],
        ] {
            assert!(!starts_keyframe(payload), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            starts_keyframe(&payload);
        }
    }
}
