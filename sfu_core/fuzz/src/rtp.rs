//! RTP packets, header extensions and payload descriptors (RFC 3550 §5, RFC 8285, RFC 7741, RFC 6184, RFC 9628, RFC 2198).

use sfu_core::error::RtpError;
use sfu_core::forward::{DescriptorPatch, Vp8Facts};
use sfu_core::rtp::ext::{ExtensionBlock, ExtensionKind, ExtensionMap, ExtensionWriter, Extensions};
use sfu_core::rtp::header::{self, Header, Packet};
use sfu_core::rtp::red::{self as red_format, Block, MAX_BUILT_REDUNDANT, MAX_REDUNDANT, Red};
use sfu_core::rtp::vp8::{PictureId, Vp8Descriptor};
use sfu_core::rtp::{av1 as av1_format, h264 as h264_format, vp9 as vp9_format};

use crate::bytes::{Choices, is_inside};

/// A packet: its parts are inside it and cover it, and what is written of them reads back. Its payload then goes through
/// every payload descriptor.
pub fn rtp_packet(input: &[u8]) {
    let peeked = header::peek(input);
    let header_len = header::header_len(input);
    let packet = match Packet::parse(input) {
        Ok(packet) => packet,
        Err(RtpError::Padding) => {
            assert!(header_len.is_ok_and(|len| len <= input.len()), "only the padding is wrong");
            return;
        }
        Err(error) => return assert_eq!(header_len, Err(error), "both see the same fault"),
    };
    assert_eq!((peeked, header_len), (Ok(packet.header), Ok(packet.header_len)));
    assert_eq!(packet.header_len + packet.payload.len() + packet.padding_len, input.len());
    assert!(is_inside(packet.payload, input));

    let elements: Vec<_> = packet.extensions.iter().collect();
    let two_byte = elements.iter().any(|&(id, value)| id > 14 || !(1..=16).contains(&value.len()));
    let mut written = vec![0; input.len() * 2 + Header::LEN + 4];
    let (fixed, rest) = written.split_first_chunk_mut().expect("room for a header");
    let block_len = write_elements(rest, two_byte, &elements);
    packet.header.write(block_len != 0, fixed);
    written.truncate(Header::LEN + block_len);
    written.extend_from_slice(packet.payload);
    let again = Packet::parse(&written).expect("what we write can be read");
    assert_eq!((again.header, again.payload, again.padding_len), (packet.header, packet.payload, 0));
    assert!(again.extensions.iter().eq(elements));

    for descriptor in [vp8, h264, vp9, av1, red] {
        descriptor(packet.payload);
    }
}

/// Writes the elements, all of which the form can say, and returns the length of the block.
fn write_elements(out: &mut [u8], two_byte: bool, elements: &[(u8, &[u8])]) -> usize {
    let mut writer = ExtensionWriter::new(out, two_byte);
    for &(id, value) in elements {
        assert!(writer.push(id, value).is_some(), "element {id} of {} bytes can be said", value.len());
    }
    writer.finish()
}

/// A block of header extensions. Input: form, how numbers are negotiated, the block.
pub fn rtp_extensions(input: &[u8]) {
    let mut choices = Choices(input);
    let (form, shift) = (choices.byte(), choices.byte());
    let body = choices.0;
    let profile = [0xbede, 0x1000 | u16::from(form >> 4), u16::from(form)][usize::from(form % 3)];
    let block = ExtensionBlock::new(profile, body);
    let elements: Vec<_> = block.iter().collect();
    let total: usize = elements.iter().map(|(_, value)| value.len() + 1).sum();
    assert!(total <= body.len() && elements.iter().all(|(_, value)| is_inside(value, body)));

    let mut map = ExtensionMap::default();
    for kind in ExtensionKind::ALL {
        let id = (kind as u8).wrapping_mul(shift | 1).wrapping_add(1);
        assert_eq!(map.set(kind, id), map.kind(id) == Some(kind) && id != 0 && id != 15);
    }
    let read = block.read(&map);
    assert_bounded(&read, body);

    let mut out = vec![0; 2 * body.len() + 8];
    let two_byte = profile != 0xbede;
    let len = write_elements(&mut out, two_byte, &elements);
    assert_eq!(len == 0, elements.is_empty());
    if len != 0 {
        let written = ExtensionBlock::new(u16::from_be_bytes([out[0], out[1]]), &out[4..len]);
        assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])) * 4 + 4, len);
        assert!(written.iter().eq(elements));
        assert_eq!(written.read(&map), read);
    }
}

/// No value is longer than its kind allows, and all are inside the block.
fn assert_bounded(read: &Extensions<'_>, body: &[u8]) {
    let values =
        [read.mid, read.rid, read.repaired_rid, read.abs_capture_time, read.playout_delay, read.dependency_descriptor];
    assert!(values.iter().flatten().all(|value| !value.is_empty() && is_inside(value, body)));
    assert!(read.playout_delay.is_none_or(|value| value.len() == 3));
    assert!(read.abs_capture_time.is_none_or(|value| matches!(value.len(), 8 | 16)));
    assert!(read.abs_send_time.is_none_or(|time| time < 1 << 24));
    assert!(read.audio_level.is_none_or(|level| level.level < 128));
}

/// A VP8 payload descriptor: inside the payload, cut short it is refused, and what is written over its counters reads back.
pub fn vp8(input: &[u8]) {
    let Ok(before) = Vp8Descriptor::parse(input) else { return };
    assert!((1..=6).contains(&before.len) && before.len <= input.len());
    for cut in 0..before.len {
        assert_eq!(Vp8Descriptor::parse(&input[..cut]), Err(RtpError::Descriptor));
    }
    assert!(before.partition < 8 && before.tid.is_none_or(|tid| tid < 4) && before.key_idx.is_none_or(|key| key < 32));
    assert!(before.tl0_pic_idx.is_none_or(|(value, offset)| offset < before.len && input[offset] == value));
    let facts = Vp8Facts::of(&before);
    let patched = |invert: bool| {
        let mut payload = input.to_vec();
        let patch = DescriptorPatch {
            picture_id: before.picture_id.map(|id| if invert { !id.value } else { id.value }),
            tl0_pic_idx: before.tl0_pic_idx.map(|(index, _)| if invert { !index } else { index }),
        };
        patch.apply(facts, &mut payload);
        payload
    };
    assert_eq!(patched(false), input, "its own numbers change nothing");
    let inverted = |id: PictureId| PictureId { value: !id.value & if id.long { 0x7fff } else { 0x7f }, ..id };
    let expected = Vp8Descriptor {
        picture_id: before.picture_id.map(inverted),
        tl0_pic_idx: before.tl0_pic_idx.map(|(index, offset)| (!index, offset)),
        ..before
    };
    assert_eq!(Vp8Descriptor::parse(&patched(true)), Ok(expected));
}

/// H.264: a unit is a keyframe or not, whether it comes alone, among others, or in pieces.
pub fn h264(input: &[u8]) {
    let starts = h264_format::starts_keyframe(input);
    assert_more_bytes_change_nothing(input, h264_format::starts_keyframe);
    let Some((&first, rest)) = input.split_first() else { return assert!(!starts) };
    if first & 0x1f > 23 || input.len() > usize::from(u16::MAX) {
        return;
    }
    let len = (input.len() as u16).to_be_bytes();
    let aggregated = [&[0x18, 0, 1, 0x0c], &len[..], input].concat();
    assert_eq!(h264_format::starts_keyframe(&aggregated), starts, "in a STAP-A");
    let fragment = |flags: u8| [&[first & 0xe0 | 0x1c, flags | first & 0x1f], rest].concat();
    assert_eq!(h264_format::starts_keyframe(&fragment(0x80)), starts, "in a first FU-A");
    assert!(!h264_format::starts_keyframe(&fragment(0)), "in a later FU-A");
}

/// VP9: only the first four bytes matter, and more never take a keyframe back.
pub fn vp9(input: &[u8]) {
    assert_more_bytes_change_nothing(input, vp9_format::starts_keyframe);
    let start = &input[..input.len().min(4)];
    assert_eq!(vp9_format::starts_keyframe(start), vp9_format::starts_keyframe(input));
    if vp9_format::starts_keyframe(input) {
        assert_eq!(input[0] & 0x48, 0x08, "begins a frame that is not predicted");
    }
}

/// AV1: only the aggregation header matters, and that there is something behind it.
pub fn av1(input: &[u8]) {
    assert_more_bytes_change_nothing(input, av1_format::starts_keyframe);
    let expected = input.len() > 1 && input[0] & 0x80 == 0 && input[0] & 0x08 != 0;
    assert_eq!(av1_format::starts_keyframe(input), expected);
}

/// A payload that starts a keyframe still does with more bytes behind it.
fn assert_more_bytes_change_nothing(input: &[u8], starts_keyframe: fn(&[u8]) -> bool) {
    let starts = starts_keyframe(input);
    for cut in 0..input.len().min(16) {
        assert!(starts || !starts_keyframe(&input[..cut]), "{cut} bytes start a keyframe, all of them do not");
    }
}

/// Redundant audio: the blocks cover the payload, and what is written of them reads back.
pub fn red(input: &[u8]) {
    let parsed = Red::parse(input);
    assert_eq!(red_format::primary(input), parsed.as_ref().ok().map(|red| red.primary));
    let Ok(read) = parsed else { return };
    assert!(read.redundant.len() <= MAX_REDUNDANT);
    let blocks: usize = read.redundant.iter().map(|block| block.payload.len() + 4).sum();
    assert_eq!(blocks + 1 + read.primary.len(), input.len());
    assert!(read.redundant.iter().all(|block| is_inside(block.payload, input)) && is_inside(read.primary, input));

    let mut out = vec![0; input.len() + 1];
    let len = red_format::build(read.payload_type, read.primary, &read.redundant, &mut out).expect("it fits");
    assert!(len <= input.len());
    let again = Red::parse(&out[..len]).expect("what we write can be read");
    let newest = read.redundant.len().saturating_sub(MAX_BUILT_REDUNDANT);
    let kept: Vec<Block<'_>> =
        read.redundant[newest..].iter().copied().filter(|block| !block.payload.is_empty()).collect();
    assert_eq!((&again.redundant[..], again.payload_type), (&kept[..], read.payload_type));
    assert_eq!(again.primary, read.primary);
    assert_eq!(red_format::build(read.payload_type, read.primary, &read.redundant, &mut vec![0; len - 1]), None);
}
