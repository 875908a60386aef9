//! The VP8 payload descriptor (RFC 7741 §4.2) and the first bytes of a VP8 frame (RFC 6386 §9.1), written.

use super::Stamp;

/// Highest picture id of the 15-bit form.
const PICTURE_ID_MASK: u16 = 0x7fff;
/// The start code and 640 × 360 that follow the frame tag of a keyframe.
const KEYFRAME_START: [u8; 7] = [0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

/// The running numbers of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    id: u16,
    tl0_pic_idx: u8,
    key_idx: u8,
    temporal_layers: u8,
    temporal: u8,
    layer_sync: bool,
    position: u32,
}

impl Picture {
    pub(super) const fn starting_at(id: u16) -> Self {
        Self {
            id: id & PICTURE_ID_MASK,
            tl0_pic_idx: id as u8,
            key_idx: 0,
            temporal_layers: 1,
            temporal: 0,
            layer_sync: false,
            position: 0,
        }
    }

    /// The numbers of the next frame.
    pub(super) const fn next(&mut self, keyframe: bool, temporal: u8, temporal_layers: u8) -> Self {
        self.id = self.id.wrapping_add(1) & PICTURE_ID_MASK;
        if temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        if keyframe {
            self.key_idx = (self.key_idx + 1) & 0x1f;
            self.position = 0;
        }
        // In 0 2 1 2 only the last frame refers to something other than layer 0.
        self.layer_sync = temporal > 0 && (temporal_layers == 2 || self.position % 4 != 3);
        self.position += 1;
        (self.temporal, self.temporal_layers) = (temporal, temporal_layers);
        *self
    }
}

/// Writes everything that stands before the body.
pub(super) fn write_head(picture: &Picture, stamp: &Stamp, payload: &mut Vec<u8>) {
    let starts = stamp.index == 0;
    // Nothing refers to a frame of the highest layer.
    let non_reference = picture.temporal_layers > 1 && picture.temporal + 1 == picture.temporal_layers;
    let layered = picture.temporal_layers > 1;
    payload.push(0x80 | u8::from(non_reference) << 5 | u8::from(starts) << 4);
    payload.push(if layered { 0xf0 } else { 0x80 });
    payload.extend_from_slice(&(picture.id | 0x8000).to_be_bytes());
    if layered {
        payload.push(picture.tl0_pic_idx);
        payload.push(picture.temporal << 6 | u8::from(picture.layer_sync) << 5 | picture.key_idx);
    }
    if starts {
        // Frame tag: P is 0 for a keyframe, then version 0, shown, and a size nobody reads.
        payload.extend_from_slice(&[0x10 | u8::from(!stamp.keyframe), 0, 0]);
        if stamp.keyframe {
            payload.extend_from_slice(&KEYFRAME_START);
        }
    }
}
