//! What the load looks like, the same for every row.

use std::time::Duration;

/// Who receives the video of one publisher.
pub(crate) const SUBSCRIBERS: usize = 50;
/// Bytes of every video payload.
pub(crate) const PAYLOAD: usize = 1_100;
/// Packets of one video frame.
pub(crate) const PACKETS_PER_FRAME: u16 = 5;
/// Time between two frames: 30 a second.
pub(crate) const FRAME: Duration = Duration::from_nanos(33_333_333);
/// One way, from the server to a remote or back.
pub(crate) const DELAY: Duration = Duration::from_millis(10);
/// Share of what is sent to a subscriber that gets lost, so that some of it is asked for again.
pub(crate) const LOSS: f64 = 0.002;
/// The finest step of virtual time: what arrives within it is handed over at once.
pub(crate) const STEP: Duration = Duration::from_millis(1);
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
