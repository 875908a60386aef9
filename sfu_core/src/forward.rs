//! From one published track to one subscriber's stream (RFC 3550 §7.1, RFC 7667 §3.7): which packets, under which numbers.

use std::time::Instant;

use crate::rtp::vp8::Vp8Descriptor;
use crate::session::{Codec, MediaKind};

pub mod keyframe;
pub mod rewriter;
pub mod selector;
pub mod speaker;
pub mod watch;

/// What forwarding must know of a packet: learned once, used for every subscriber.
#[derive(Debug, Clone, Copy)]
pub struct PacketFacts {
    /// When it came.
    pub arrival: Instant,
    /// Its number in its encoding, unwrapped to 64 bits.
    pub sequence: u64,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Payload bytes without padding.
    pub payload_len: u16,
    /// The codec of its payload.
    pub codec: Codec,
    /// The RTP marker bit: for video the last packet of a frame.
    pub marker: bool,
    /// Whether a keyframe starts in this packet.
    pub keyframe: bool,
    /// Whether the frame that starts in this packet may be a keyframe: it is end-to-end encrypted, and what its sender
    /// leaves clear does not tell.
    pub may_be_keyframe: bool,
    /// Whether decoding this temporal layer may begin here (VP8: the Y bit, RFC 7741 §4.2).
    pub layer_sync: bool,
    /// Whether there is no payload, only padding.
    pub padding_only: bool,
    /// The temporal layer, when the packet tells.
    pub tid: Option<u8>,
    /// What must be rewritten inside a VP8 payload.
    pub vp8: Option<Vp8Facts>,
}

impl PacketFacts {
    /// Whether a subscriber who has seen nothing yet may begin here. Every audio packet is such a place.
    #[inline]
    pub fn is_entry_point(&self) -> bool {
        self.keyframe || self.may_be_keyframe || self.codec.kind() == MediaKind::Audio
    }
}

/// The counters in a VP8 payload descriptor (RFC 7741 §4.2) and where they stand in the payload.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Facts {
    /// The picture number.
    pub picture_id: Option<PictureId>,
    /// The running number of base-layer pictures.
    pub tl0_pic_idx: Option<Tl0PicIdx>,
}

impl Vp8Facts {
    /// Those of a descriptor.
    #[inline]
    pub fn of(descriptor: &Vp8Descriptor) -> Self {
        let picture_id = |id: crate::rtp::vp8::PictureId| PictureId {
            value: id.value,
            long: id.long,
            offset: id.offset as u8, // a descriptor has six bytes
        };
        Self {
            picture_id: descriptor.picture_id.map(picture_id),
            tl0_pic_idx: descriptor.tl0_pic_idx.map(|(value, offset)| Tl0PicIdx { value, offset: offset as u8 }),
        }
    }
}

/// What the counters in a VP8 payload descriptor become for one subscriber.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DescriptorPatch {
    /// The picture number, cut to the width that it has.
    pub picture_id: Option<u16>,
    /// The running number of base-layer pictures.
    pub tl0_pic_idx: Option<u8>,
}

impl DescriptorPatch {
    /// Writes over what `vp8` found in this payload when it came.
    #[inline]
    pub fn apply(self, vp8: Vp8Facts, payload: &mut [u8]) {
        if let (Some(value), Some(field)) = (self.picture_id, vp8.picture_id) {
            let offset = usize::from(field.offset);
            if field.long {
                if let Some(bytes) = payload.get_mut(offset..offset + 2) {
                    bytes.copy_from_slice(&(0x8000 | (value & field.mask())).to_be_bytes());
                }
            } else if let Some(byte) = payload.get_mut(offset) {
                *byte = (value & field.mask()) as u8;
            }
        }
        if let (Some(value), Some(field)) = (self.tl0_pic_idx, vp8.tl0_pic_idx)
            && let Some(byte) = payload.get_mut(usize::from(field.offset))
        {
            *byte = value;
        }
    }
}

/// A VP8 picture number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// The number, 7 or 15 bits.
    pub value: u16,
    /// Whether it has 15 bits.
    pub long: bool,
    /// Offset of its first byte in the payload.
    pub offset: u8,
}

impl PictureId {
    /// The bits that the number has on the wire.
    #[inline]
    pub const fn mask(self) -> u16 {
        if self.long { 0x7fff } else { 0x7f }
    }
}

/// A VP8 TL0PICIDX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tl0PicIdx {
    /// The number.
    pub value: u8,
    /// Its offset in the payload.
    pub offset: u8,
}
pub mod outlet;
pub mod reception;
pub mod recovery;
pub mod redundancy;
pub mod resend;
pub mod router;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counters_that_were_written_over_read_back_and_nothing_else_changes(
            mut payload in proptest::collection::vec(any::<u8>(), 0..16), value: u16, index: u8,
        ) {
            let Ok(before) = Vp8Descriptor::parse(&payload) else { return Ok(()) };
            prop_assert!(before.len <= payload.len());
            let patch = DescriptorPatch { picture_id: Some(value), tl0_pic_idx: Some(index) };
            patch.apply(Vp8Facts::of(&before), &mut payload);
            let picture_id = before.picture_id.map(|id| crate::rtp::vp8::PictureId {
                value: value & if id.long { 0x7fff } else { 0x7f },
                ..id
            });
            let tl0_pic_idx = before.tl0_pic_idx.map(|(_, offset)| (index, offset));
            prop_assert_eq!(Vp8Descriptor::parse(&payload), Ok(Vp8Descriptor { picture_id, tl0_pic_idx, ..before }));
        }
    }
}
