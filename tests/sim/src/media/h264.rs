//! H.264 payloads (RFC 6184 §5): a STAP-A with the parameter sets before each IDR picture, FU-A for what does not fit.

use super::Stamp;

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Constrained baseline, level 3.1.
const SPS: [u8; 9] = [0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e];
const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

/// Writes everything that stands before the body, in a payload that will be `size` bytes long.
pub(super) fn write_head(stamp: &Stamp, payload: &mut Vec<u8>, size: usize) {
    if stamp.keyframe && stamp.index == 0 {
        return write_parameter_sets(payload, size);
    }
    let (reference, kind) = if stamp.keyframe { (0x60, NAL_IDR) } else { (0x40, NAL_SLICE) };
    let first = u16::from(stamp.keyframe);
    let (starts, ends) = (stamp.index == first, stamp.index + 1 == stamp.count);
    if starts && ends {
        payload.push(reference | kind);
    } else {
        payload.extend_from_slice(&[reference | FU_A, u8::from(starts) << 7 | u8::from(ends) << 6 | kind]);
    }
}

/// Parameter sets, and the body inside a supplemental message.
fn write_parameter_sets(payload: &mut Vec<u8>, size: usize) {
    payload.push(0x60 | STAP_A);
    for set in [&SPS[..], &PPS[..]] {
        payload.extend_from_slice(&(set.len() as u16).to_be_bytes());
        payload.extend_from_slice(set);
    }
    let left = size.saturating_sub(payload.len() + 2);
    payload.extend_from_slice(&(left as u16).to_be_bytes());
    payload.push(NAL_SEI);
}
