//! What the load looks like, the same for every row.

use std::time::Duration;

pub(crate) use sim::load::{DELAY, LOSS, PACKETS_PER_FRAME, PAYLOAD, STEP, SUBSCRIBERS};

/// Time between two frames: 30 a second.
pub(crate) const FRAME: Duration = Duration::from_nanos(33_333_333);
/// Virtual time before the first measurement.
pub(crate) const WARM_UP: Duration = Duration::from_secs(4);
/// Virtual time of one sample.
pub(crate) const SAMPLE: Duration = Duration::from_secs(5);

/// One VP8 payload (RFC 7741): a descriptor with a 15-bit picture id, a frame tag, and bytes that nobody reads.
pub(crate) fn vp8_payload(picture: u16, index: u16, keyframe: bool) -> Vec<u8> {
    let starts = index == 0;
    let mut payload = vec![0x80 | u8::from(starts) << 4, 0x80];
    payload.extend_from_slice(&(picture | 0x8000).to_be_bytes());
    if starts {
        payload.extend_from_slice(&[0x10 | u8::from(!keyframe), 0, 0]);
        if keyframe {
            payload.extend_from_slice(&[0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
        }
    }
    let filler = picture as u8 ^ index as u8;
    payload.resize(PAYLOAD, filler);
    payload
}
