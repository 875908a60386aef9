//! Header extensions against vectors of RFC 8285 and against themselves.

use proptest::prelude::*;

use super::*;

fn elements(profile: u16, body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    ExtensionBlock::new(profile, body).iter().map(|(id, value)| (id, value.to_vec())).collect()
}

fn map(pairs: &[(ExtensionKind, u8)]) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for &(kind, id) in pairs {
        assert!(map.set(kind, id));
    }
    map
}

#[test]
fn the_one_byte_example_of_the_rfc_reads() {
    let body = [0x10, 0xaa, 0x21, 0xbb, 0xbb, 0, 0, 0x33, 1, 2, 3, 4];
    let expected = [(1, vec![0xaa]), (2, vec![0xbb, 0xbb]), (3, vec![1, 2, 3, 4])];
    assert_eq!(elements(0xbede, &body), expected);
}

#[test]
fn the_two_byte_example_of_the_rfc_reads() {
    let body = [1, 0, 2, 1, 0xbb, 0, 3, 4, 1, 2, 3, 4];
    assert_eq!(elements(0x1000, &body), [(1, vec![]), (2, vec![0xbb]), (3, vec![1, 2, 3, 4])]);
    assert_eq!(elements(0x1005, &body).len(), 3, "the application bits are not ours");
}

#[test]
fn number_fifteen_ends_the_one_byte_form_only() {
    assert_eq!(elements(0xbede, &[0x10, 1, 0xf0, 2, 0x30, 3]), [(1, vec![1])]);
    assert_eq!(elements(0x1000, &[15, 1, 2, 3, 1, 4]), [(15, vec![2]), (3, vec![4])]);
}

#[test]
fn padding_with_a_length_ends_the_one_byte_form() {
    assert_eq!(elements(0xbede, &[0x10, 1, 0x02, 9, 9, 9, 0x30, 3]), [(1, vec![1])]);
}

#[test]
fn an_element_beyond_the_block_ends_it() {
    assert_eq!(elements(0xbede, &[0x10, 1, 0x23, 1, 2, 3]), [(1, vec![1])]);
    assert_eq!(elements(0x1000, &[1, 1, 7, 2, 9, 1]), [(1, vec![7])]);
    assert_eq!(elements(0x1000, &[1, 1, 7, 2]), [(1, vec![7])]);
}

#[test]
fn an_unknown_profile_has_no_elements() {
    assert_eq!(elements(0xabcd, &[0x10, 1, 0x10, 1]), []);
    assert_eq!(elements(0xabcd, &[0, 0, 0, 0]), []);
}

#[test]
fn what_was_negotiated_is_read_and_the_rest_skipped() {
    let map = map(&[
        (ExtensionKind::Mid, 4),
        (ExtensionKind::AudioLevel, 1),
        (ExtensionKind::TransportCc, 3),
        (ExtensionKind::AbsSendTime, 2),
    ]);
    let body = [0x10, 0x85, 0x31, 0x12, 0x34, 0x22, 1, 2, 3, 0x40, b'7', 0x50, 9];
    let read = ExtensionBlock::new(0xbede, &body).read(&map);
    let expected = Extensions {
        mid: Some(b"7"),
        audio_level: Some(AudioLevel { voice: true, level: 5 }),
        transport_cc: Some(0x1234),
        abs_send_time: Some(0x01_02_03),
        ..Extensions::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn a_value_of_the_wrong_length_counts_as_absent() {
    let map = map(&[
        (ExtensionKind::TransportCc, 1),
        (ExtensionKind::PlayoutDelay, 2),
        (ExtensionKind::AbsCaptureTime, 3),
        (ExtensionKind::AudioLevel, 4),
    ]);
    let body = [1, 1, 9, 2, 2, 9, 9, 3, 3, 9, 9, 9, 4, 0];
    assert_eq!(ExtensionBlock::new(0x1000, &body).read(&map), Extensions::default());
}

#[test]
fn a_writer_with_nothing_pushed_writes_nothing() {
    assert_eq!(ExtensionWriter::new(&mut [], false).finish(), 0);
    assert_eq!(ExtensionWriter::new(&mut [0; 8], true).finish(), 0);
}

#[test]
fn a_writer_refuses_what_does_not_fit() {
    let mut out = [0; 8];
    let mut writer = ExtensionWriter::new(&mut out, false);
    assert_eq!(writer.push(0, &[1]), None);
    assert_eq!(writer.push(15, &[1]), None);
    assert_eq!(writer.push(1, &[]), None);
    assert_eq!(writer.push(1, &[1, 2, 3]), Some(5));
    assert_eq!(writer.push(2, &[1]), None);
    assert_eq!(writer.finish(), 8);
    assert_eq!(out, [0xbe, 0xde, 0, 1, 0x12, 1, 2, 3]);
    assert_eq!(ExtensionWriter::new(&mut [0; 7], false).push(1, &[1]), None, "the padding must fit too");
}

proptest! {
    #[test]
    fn written_elements_read_back(
        two_byte: bool,
        pushed in proptest::collection::vec((1u8..15, proptest::collection::vec(any::<u8>(), 1..17)), 0..12),
    ) {
        let mut out = [0xff; 256];
        let mut writer = ExtensionWriter::new(&mut out, two_byte);
        let offsets: Vec<_> = pushed.iter().map(|(id, value)| writer.push(*id, value).unwrap()).collect();
        let len = writer.finish();
        prop_assert_eq!(len % 4, 0);
        for ((_, value), offset) in pushed.iter().zip(offsets) {
            prop_assert_eq!(&out[offset..offset + value.len()], &value[..]);
        }
        if len > 0 {
            let profile = u16::from_be_bytes([out[0], out[1]]);
            prop_assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])) * 4 + 4, len);
            prop_assert_eq!(elements(profile, &out[4..len]), pushed);
        }
    }

    #[test]
    fn no_bytes_panic(two_byte: bool, body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let all = map(&ExtensionKind::ALL.map(|kind| (kind, kind as u8 + 1)));
        let block = ExtensionBlock::new(if two_byte { 0x1000 } else { 0xbede }, &body);
        prop_assert!(block.iter().map(|(_, value)| value.len() + 1).sum::<usize>() <= body.len());
        block.read(&all);
    }
}
