//! RTP, its header extensions and payload descriptors: vectors of the RFCs and packets as browsers send them.

use sfu_core::ids::Ssrc;
use sfu_core::rtp::ext::ExtensionWriter;
use sfu_core::rtp::header::Header;
use sfu_core::rtp::red::{Block, build};

use super::{Seed, seeds};

/// VP8 descriptors: of one byte, with everything, with short numbers, cut short.
const VP8: &[(&str, &[u8])] = &[
    ("one_byte_keyframe", &[0x10, 0x00]),
    ("one_byte_delta", &[0x10, 0x01, 0x02]),
    ("all_fields", &[0xb0, 0xf0, 0x92, 0x34, 0x56, 0x65, 0x01]),
    ("short_picture_id", &[0x90, 0x80, 0x7f, 0x00]),
    ("layers_without_picture_id", &[0x80, 0x60, 0x07, 0x40, 0x00]),
    ("later_partition", &[0x11, 0x00]),
    ("cut_in_picture_id", &[0x80, 0x80, 0x80]),
    ("keyframe_640_360", &[0x90, 0x80, 0x92, 0x34, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]),
];
const H264: &[(&str, &[u8])] = &[
    ("parameters", &[0x67, 0x42, 0xe0, 0x1f]),
    ("idr_first_slice", &[0x65, 0x88, 0x84]),
    ("idr_later_slice", &[0x65, 0x08, 0x84]),
    ("delta", &[0x41, 0x9a, 0x02]),
    ("parameters_together", &[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80]),
    ("together_cut_short", &[0x78, 0, 4, 0x68, 0xce, 0x3c, 0x80, 0, 9, 0x67]),
    ("first_piece_of_idr", &[0x7c, 0x85, 0x88, 0x84]),
    ("later_piece_of_idr", &[0x7c, 0x05, 0x88, 0x84]),
    ("last_piece_of_idr", &[0x7c, 0x45, 0x88]),
];
const VP9: &[(&str, &[u8])] = &[
    ("bare", &[0x08, 0x82]),
    ("short_picture_id", &[0x88, 0x05, 0x82]),
    ("long_picture_id", &[0x88, 0x85, 0x00, 0x82]),
    ("layers", &[0xa8, 0x85, 0x00, 0x10, 0x01, 0x82]),
    ("upper_spatial_layer", &[0xa8, 0x85, 0x00, 0x12, 0x01, 0x82]),
    ("predicted", &[0x48, 0x82]),
    ("cut_in_picture_id", &[0x88, 0x85]),
];
const AV1: &[(&str, &[u8])] = &[
    ("new_sequence", &[0x08, 0x0a]),
    ("new_sequence_goes_on", &[0x68, 0x0a]),
    ("delta", &[0x10, 0x32]),
    ("continued", &[0x88, 0x0a]),
    ("header_alone", &[0x08]),
];
const RED: &[(&str, &[u8])] = &[
    ("primary_alone", &[111, 8, 9]),
    ("two_blocks", &[0xef, 0x1e, 0x00, 0x02, 0xef, 0x0f, 0x00, 0x01, 111, 1, 2, 3, 8, 9]),
    ("empty_block", &[0xef, 0, 0, 0, 111, 8]),
    ("block_too_long", &[0xef, 0, 3, 0xff, 111, 1]),
    ("no_primary", &[0xef, 0, 0, 1]),
];
/// Form and numbering, then a block, as the target reads them.
const EXTENSIONS: &[(&str, &[u8])] = &[
    ("one_byte_of_the_rfc", &[0, 0, 0x10, 0xaa, 0x21, 0xbb, 0xbb, 0, 0, 0x33, 1, 2, 3, 4]),
    ("two_byte_of_the_rfc", &[1, 0, 1, 0, 2, 1, 0xbb, 0, 3, 4, 1, 2, 3, 4]),
    ("browser_audio", &[0, 0, 0x10, b'0', 0x30, 0x85, 0x51, 0x12, 0x34, 0x62, 1, 2, 3]),
    ("browser_simulcast", &[0, 0, 0x10, b'1', 0x20, b'h', 0x41, 0, 7, 0x52, 1, 2, 3, 0x70, 0]),
    ("reserved_number", &[0, 0, 0x10, 1, 0xf0, 2, 0x30, 3]),
    ("padding_with_length", &[0, 0, 0x10, 1, 0x02, 9, 9, 9, 0x30, 3]),
    ("beyond_the_block", &[1, 0, 1, 1, 7, 2, 9, 1]),
    ("empty_values", &[1, 0, 1, 0, 2, 0, 5, 0, 9, 0]),
    ("other_profile", &[2, 0, 0x10, 1, 0x10, 1]),
    ("large_numbers", &[1, 8, 10, 1, 7, 28, 2, 1, 2, 55, 3, 1, 2, 3]),
];

pub(super) fn all() -> Vec<Seed> {
    [
        seeds("vp8", VP8),
        seeds("h264", H264),
        seeds("vp9", VP9),
        seeds("av1", AV1),
        seeds("red", RED),
        seeds("rtp_extensions", EXTENSIONS),
        packets(),
    ]
    .concat()
}

/// A packet with the extensions in one block.
pub(super) fn packet(payload_type: u8, number: u16, ssrc: u32, elements: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
    let header = Header {
        marker: number & 1 != 0,
        payload_type,
        sequence_number: number,
        timestamp: u32::from(number) * 960,
        ssrc: Ssrc(ssrc),
    };
    let mut bytes = vec![0; Header::LEN + 256];
    let (fixed, rest) = bytes.split_first_chunk_mut().expect("room for a header");
    let mut writer = ExtensionWriter::new(rest, false);
    for &(id, value) in elements {
        writer.push(id, value).expect("it fits");
    }
    let len = writer.finish();
    header.write(len != 0, fixed);
    bytes.truncate(Header::LEN + len);
    bytes.extend_from_slice(payload);
    bytes
}

fn packets() -> Vec<Seed> {
    let opus = packet(111, 7, 1, &[(1, b"0"), (4, &[0x85]), (5, &[0, 9])], &[0xfc, 1, 2, 3]);
    let vp8 = packet(96, 8, 2, &[(1, b"1"), (2, b"h")], VP8[7].1);
    let mut padded = packet(96, 9, 2, &[], &[0x10, 0, 0, 0, 0, 3]);
    padded[0] |= 0x20;
    let mut only_padding = packet(96, 10, 2, &[(5, &[0, 1])], &[0, 0, 0, 4]);
    only_padding[0] |= 0x20;
    let mut bad_padding = packet(96, 11, 2, &[], &[1, 2, 200]);
    bad_padding[0] |= 0x20;
    let mut sources = packet(111, 12, 3, &[], &[0, 0, 0, 5, 0, 0, 0, 6, 0xfc]);
    sources[0] |= 2;
    let mut red = [0; 64];
    let old = Block { payload_type: 111, timestamp_offset: 960, payload: &[1, 2] };
    let len = build(111, &[3, 4], &[old], &mut red).expect("it fits");
    let two_byte = [&[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 2][..], &[20, 3, 1, 2, 3, 0, 0, 0, 0x10, 0]];
    super::owned(
        "rtp_packet",
        [
            ("opus", opus),
            ("vp8_keyframe", vp8),
            ("padded", padded),
            ("only_padding", only_padding),
            ("bad_padding", bad_padding),
            ("contributing_sources", sources),
            ("redundant", packet(63, 13, 1, &[(4, &[5])], &red[..len])),
            ("h264_parameters", packet(98, 14, 4, &[], H264[4].1)),
            ("vp9_layers", packet(100, 15, 5, &[], VP9[3].1)),
            ("two_byte_form", two_byte.concat()),
            ("no_payload", packet(111, 16, 1, &[], &[])),
            ("extension_cut_short", [&packet(111, 17, 1, &[(1, b"0")], &[])[..17]].concat()),
        ],
    )
}
