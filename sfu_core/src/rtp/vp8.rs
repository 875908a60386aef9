//! The payload descriptor of VP8 (RFC 7741 §4.2).

use crate::error::RtpError;

/// Numbers pictures, so that a receiver sees which are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// 7 or 15 bits.
    pub value: u16,
    /// Whether it has 15 bits. A stream must not change between the two.
    pub long: bool,
    /// Where in the payload it begins.
    pub offset: usize,
}

/// What stands before the VP8 data in each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of the descriptor")]
pub struct Vp8Descriptor {
    /// S: a partition begins with this packet.
    pub start_of_partition: bool,
    /// PID: which partition, 0 to 7.
    pub partition: u8,
    /// N: no other picture needs this one.
    pub non_reference: bool,
    /// Number of the picture.
    pub picture_id: Option<PictureId>,
    /// Number of the base layer picture this one builds on, and where in the payload it stands.
    pub tl0_pic_idx: Option<(u8, usize)>,
    /// Temporal layer, 0 to 3.
    pub tid: Option<u8>,
    /// Y: this picture builds on the base layer only.
    pub layer_sync: bool,
    /// 5 bits.
    pub key_idx: Option<u8>,
    /// Bytes of the descriptor.
    pub len: usize,
    /// A keyframe begins with this packet.
    pub keyframe: bool,
}

impl Vp8Descriptor {
    /// Reads the descriptor at the start of `payload`.
    ///
    /// # Errors
    /// [`RtpError::Descriptor`], when `payload` ends inside it.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let mut at = Cursor { payload, len: 0 };
        let first = at.byte()?;
        let flags = if first & 0x80 == 0 { 0 } else { at.byte()? };
        let picture_id = if flags & 0x80 == 0 { None } else { Some(at.picture_id()?) };
        let tl0_pic_idx = if flags & 0x40 == 0 { None } else { Some((at.byte()?, at.len - 1)) };
        let layers = if flags & 0x30 == 0 { 0 } else { at.byte()? };
        let has_tid = flags & 0x20 != 0;
        let start_of_partition = first & 0x10 != 0;
        let partition = first & 0x07;
        // The first bit of a frame's data is clear in a keyframe (RFC 6386 §9.1).
        let begins_frame = start_of_partition && partition == 0;
        let keyframe = begins_frame && payload.get(at.len).is_some_and(|byte| byte & 1 == 0);
        Ok(Self {
            start_of_partition,
            partition,
            non_reference: first & 0x20 != 0,
            picture_id,
            tl0_pic_idx,
            tid: has_tid.then_some(layers >> 6),
            layer_sync: has_tid && layers & 0x20 != 0,
            key_idx: (flags & 0x10 != 0).then_some(layers & 0x1f),
            len: at.len,
            keyframe,
        })
    }
}

/// Takes bytes off the front of a descriptor.
struct Cursor<'a> {
    payload: &'a [u8],
    len: usize,
}

impl Cursor<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, RtpError> {
        let byte = *self.payload.get(self.len).ok_or(RtpError::Descriptor)?;
        self.len += 1;
        Ok(byte)
    }

    #[inline]
    fn picture_id(&mut self) -> Result<PictureId, RtpError> {
        let offset = self.len;
        let first = self.byte()?;
        if first & 0x80 == 0 {
            return Ok(PictureId { value: u16::from(first), long: false, offset });
        }
        let value = u16::from_be_bytes([first & 0x7f, self.byte()?]);
        Ok(PictureId { value, long: true, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_one_byte_reads() {
        let descriptor = Vp8Descriptor::parse(&[0x10, 0x00]).unwrap();
        assert!(descriptor.keyframe && descriptor.start_of_partition);
        assert_eq!((descriptor.len, descriptor.picture_id, descriptor.tid), (1, None, None));
    }

    #[test]
    fn a_full_descriptor_as_browsers_send_it_reads() {
        let descriptor = Vp8Descriptor::parse(&[0xb0, 0xf0, 0x92, 0x34, 0x56, 0x65, 0x01]).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x1234, long: true, offset: 2 }));
        assert_eq!(descriptor.tl0_pic_idx, Some((0x56, 4)));
        assert_eq!((descriptor.tid, descriptor.layer_sync, descriptor.key_idx), (Some(1), true, Some(5)));
        assert!(descriptor.non_reference && !descriptor.keyframe);
        assert_eq!(descriptor.len, 6);
    }

    #[test]
    fn a_short_picture_id_has_seven_bits() {
        let descriptor = Vp8Descriptor::parse(&[0x90, 0x80, 0x7f, 0x00]).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x7f, long: false, offset: 2 }));
        assert!(descriptor.keyframe);
    }

    #[test]
    fn only_the_first_packet_of_the_first_partition_starts_a_keyframe() {
        for payload in [&[0x00, 0x00][..], &[0x11, 0x00], &[0x10, 0x01], &[0x10]] {
            assert!(!Vp8Descriptor::parse(payload).unwrap().keyframe, "{payload:?}");
        }
    }

    #[test]
    fn a_descriptor_that_ends_early_is_refused() {
        for payload in
            [&[][..], &[0x80], &[0x80, 0x80], &[0x80, 0x80, 0x80], &[0x80, 0x40], &[0x80, 0x20], &[0x80, 0x10]]
        {
            assert_eq!(Vp8Descriptor::parse(payload), Err(RtpError::Descriptor), "{payload:?}");
        }
    }
}
