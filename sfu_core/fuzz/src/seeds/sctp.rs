//! Choices for the target that has an association: honest calls, and every chunk (RFC 9260 §3.3) where it does not belong.

use super::{Seed, owned};
use crate::bytes::chunk;

/// Options: they begin, and both have met. See `run`.
const MET: u8 = 0;
const WE_BEGIN: u8 = 1;
const STRANGERS: u8 = 2;
/// Steps.
const EXCHANGE: [u8; 1] = [0];
const RAW: u8 = 1;
const CHECKED: u8 = 2;
const BEHIND_HEADER: u8 = 3;
const DAMAGED: u8 = 4;
/// Ten seconds.
const WAIT: [u8; 2] = [5, 250];
const OURS: u8 = 6;
const THEIRS: u8 = 7;
/// What an end does, with the label "chat".
const SEND: u8 = 3;
const SEND_EMPTY: u8 = 5;
const CLOSE: u8 = 6;
const RESET_ALL: u8 = 7;
/// The same with the label "pointer".
const OPEN_POINTER: u8 = 1 | 1 << 3;

pub(super) fn all() -> Vec<Seed> {
    owned("sctp", [honest(), hostile()].concat())
}

fn rounds(count: usize) -> Vec<u8> {
    EXCHANGE.repeat(count)
}

/// A chunk with its length.
fn piece(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let len = (4 + value.len()) as u16;
    let mut bytes = [&[kind, flags][..], &len.to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A datagram of such chunks, with the numbers that the association expects.
fn sent(chunks: &[Vec<u8>]) -> Vec<u8> {
    [vec![BEHIND_HEADER], chunk(&chunks.concat())].concat()
}

/// DATA: TSN, stream, number, protocol, payload.
fn data(stream: u16, payload: &[u8]) -> Vec<u8> {
    let head = [&1_u32.to_be_bytes()[..], &stream.to_be_bytes(), &[0, 0], &51_u32.to_be_bytes()].concat();
    piece(0, 3, &[&head[..], payload].concat())
}

/// INIT: tag, window, streams out and in, first TSN.
fn init(kind: u8) -> Vec<u8> {
    piece(kind, 0, &[0, 0, 0, 9, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1])
}

fn honest() -> Vec<(&'static str, Vec<u8>)> {
    let talk = [&[THEIRS, SEND, 0, 5][..], &[THEIRS, SEND_EMPTY], &[THEIRS, SEND, 0x0f, 0xff], &rounds(8)].concat();
    let large = [&[THEIRS, SEND, 0xff, 0xff][..], &rounds(40)].concat();
    let lossy = [&[THEIRS, OPEN_POINTER, 0][..], &rounds(4), &[THEIRS, SEND | 1 << 3, 4, 0, DAMAGED, 0, 13, 0, 0]];
    vec![
        ("messages", [&[MET][..], &talk].concat()),
        ("we_begin", [&[WE_BEGIN][..], &talk].concat()),
        ("message_of_the_largest_size", [&[MET][..], &large].concat()),
        ("both_speak", [&[MET][..], &[OURS, SEND, 9, 9], &talk, &[OURS, SEND, 0xff, 0], &rounds(6), &WAIT].concat()),
        ("closed_by_them", [&[MET][..], &[THEIRS, CLOSE], &rounds(2), &WAIT, &rounds(4), &WAIT, &rounds(4)].concat()),
        ("closed_by_us", [&[WE_BEGIN][..], &[OURS, RESET_ALL], &rounds(4), &[THEIRS, SEND, 0, 1], &rounds(4)].concat()),
        ("lost_and_given_up", [&[MET][..], &lossy.concat(), &WAIT, &rounds(2), &WAIT, &rounds(4)].concat()),
        ("damaged_greeting", [&[STRANGERS][..], &[DAMAGED, 0, 20, 0xff, 0], &WAIT, &rounds(4)].concat()),
        ("damaged_data", [&[MET, THEIRS, SEND, 3, 0][..], &[DAMAGED, 0, 17, 0x40, 0], &rounds(3), &WAIT].concat()),
        ("cut_data", [&[MET, THEIRS, SEND, 3, 0][..], &[DAMAGED, 0, 14, 0, 99], &WAIT, &rounds(3)].concat()),
    ]
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let with = |options: u8, steps: &[Vec<u8>]| [vec![options], steps.concat(), rounds(2), WAIT.to_vec()].concat();
    let acknowledged = [0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1, 0, 2, 0xff, 0xff, 0, 3, 0xff, 0xfe, 0, 0, 0, 1];
    let reset_all = piece(0, 13, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])[4..].to_vec();
    let flood: Vec<Vec<u8>> = (0..40).map(|stream| data(stream, b"x")).collect();
    vec![
        ("raw", with(MET, &[vec![RAW], chunk(&[0; 40])])),
        (
            "greeting_without_tag",
            with(STRANGERS, &[vec![CHECKED], chunk(&[&[0x13, 0x88, 0x13, 0x88][..], &[0; 8], &init(1)].concat())]),
        ),
        ("greeting_again", with(MET, &[sent(&[init(1)]), sent(&[init(2)])])),
        ("cookies", with(STRANGERS, &[sent(&[piece(10, 0, &[7; 60])]), sent(&[piece(11, 0, &[])])])),
        ("data_on_many_streams", with(MET, &[sent(&flood[..30]), sent(&flood[30..])])),
        ("data_without_payload", with(MET, &[sent(&[data(0, &[])])])),
        ("acknowledged_what_was_not_sent", with(MET, &[vec![OURS, SEND, 9, 0], sent(&[piece(3, 0, &acknowledged)])])),
        ("alive", with(MET, &[sent(&[piece(4, 0, &piece(0, 1, &[9; 900])), piece(5, 0, &[0, 1, 0, 4])])])),
        ("abort", with(MET, &[sent(&[piece(6, 0, &[0, 12, 0, 4])])])),
        ("shutdown", with(MET, &[sent(&[piece(7, 0, &[0, 0, 0, 0])]), sent(&[piece(8, 0, &[]), piece(14, 0, &[])])])),
        ("error", with(MET, &[sent(&[piece(9, 0, &[0, 3, 0, 8, 0, 0, 0, 1])])])),
        ("reset_of_everything", with(MET, &[sent(&[piece(130, 0, &reset_all)])])),
        ("skipped_ahead", with(MET, &[sent(&[piece(192, 0, &[0xff, 0, 0, 0, 0, 0, 0, 9])])])),
        ("unknown_chunk", with(MET, &[sent(&[piece(63, 0, &[1]), piece(255, 0, &[1, 2])])])),
        ("chunk_of_no_length", with(MET, &[[vec![BEHIND_HEADER], chunk(&[0, 3, 0, 0, 1, 2, 3, 4])].concat()])),
        ("chunk_beyond_the_end", with(MET, &[[vec![BEHIND_HEADER], chunk(&[0, 3, 0xff, 0xff, 1, 2, 3, 4])].concat()])),
        ("nonsense_behind_the_header", with(MET, &[[vec![BEHIND_HEADER], chunk(&[0xa5; 200])].concat()])),
    ]
}
