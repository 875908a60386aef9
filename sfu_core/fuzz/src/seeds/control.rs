//! Choices for the target of the control socket: what a server asks for in the course of a meeting, and frames that are none.

use super::{Seed, owned};
use crate::bytes::chunk;
use crate::control::pieces::{CUT, EDITED, FILLED, FRAME, HELLO, LONG_HELLO, NOTE, RAW, REPEATED};

/// Reads end nowhere but where they must, and after a few bytes each, now and then none.
const WHOLE: [u8; 1] = [0];
const IN_PIECES: [u8; 11] = [5, 0, 1, 0, 7, 0, 0, 1, 0, 0, 64];

/// Kinds of commands (`control/commands.rs`).
const CREATE_ROOM: u8 = 0;
const REMOVE_ROOM: u8 = 1;
const CREATE_PEER: u8 = 2;
const CREATE_BOT: u8 = 3;
const CONNECT: u8 = 4;
const RESTART_ICE: u8 = 5;
const REMOVE_PEER: u8 = 6;
const PUBLISH: u8 = 7;
const UNPUBLISH: u8 = 8;
const SUBSCRIBE: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const ALLOW: u8 = 11;
const REVOKE: u8 = 12;
const ALLOW_DATA: u8 = 13;
const REVOKE_DATA: u8 = 14;
const SEND_DATA: u8 = 15;
const RELAY_OUT: u8 = 16;
const RELAY_IN: u8 = 17;
const MUTE: u8 = 18;
const LIMIT: u8 = 19;
const KEYFRAME: u8 = 20;
const PEER_STATS: u8 = 21;
const STATS: u8 = 22;
const SNAPSHOT: u8 = 23;

/// Kinds of frames.
const REQUEST_FRAME: u8 = 2;
const NOTE_FRAME: u8 = 3;
const STOP_FRAME: u8 = 4;
const WELCOME_FRAME: u8 = 5;

/// A request with the next number.
fn ask(kind: u8, parameters: &[u8]) -> Vec<u8> {
    [&[0, 1, kind], parameters].concat()
}

fn frame(number: u8, payload: &[u8]) -> Vec<u8> {
    [&[FRAME, number, 0, 0][..], &chunk(payload)].concat()
}

/// The same bytes so many times, with something before and behind.
fn repeated(number: u8, times: u16, parts: [&[u8]; 3]) -> Vec<u8> {
    [&[REPEATED, number][..], &times.to_be_bytes(), &parts.map(chunk).concat()].concat()
}

fn sent(cuts: &[u8], pieces: &[Vec<u8>]) -> Vec<u8> {
    [cuts, &pieces.concat()].concat()
}

pub(super) fn all() -> Vec<Seed> {
    owned("control_frames", [meetings(), frames()].concat())
}

/// Another room, one more in the first, and more for those who are in it.
fn meeting() -> Vec<Vec<u8>> {
    vec![
        ask(CREATE_ROOM, &[0]),
        ask(CREATE_PEER, &[0]),
        ask(CONNECT, &[0, 0]),
        ask(UNPUBLISH, &[2]),
        ask(PUBLISH, &[0x11, 0]),
        ask(SUBSCRIBE, &[0, 5, 3]),
        ask(ALLOW, &[3, 0]),
        ask(ALLOW_DATA, &[0, 1]),
        ask(LIMIT, &[1, 0, 1, 1]),
        ask(KEYFRAME, &[1]),
        ask(STATS, &[0]),
    ]
}

fn end() -> Vec<Vec<u8>> {
    vec![
        ask(MUTE, &[1]),
        ask(REVOKE, &[0, 1]),
        ask(REVOKE_DATA, &[0, 1]),
        ask(UNSUBSCRIBE, &[1, 2]),
        ask(UNPUBLISH, &[0]),
        ask(REMOVE_PEER, &[1]),
        ask(SNAPSHOT, &[0]),
        ask(REMOVE_ROOM, &[0]),
        ask(SNAPSHOT, &[0]),
    ]
}

fn meetings() -> Vec<(&'static str, Vec<u8>)> {
    let relays = [
        ask(RELAY_OUT, &[0, 1]),
        ask(RELAY_IN, &[0, 0, 2]),
        ask(RELAY_IN, &[2, 1, 2, 0, 0, 3]),
        ask(ALLOW, &[0, 2]),
        ask(REMOVE_PEER, &[2]),
        ask(PEER_STATS, &[3]),
    ];
    let agreed = |changes: &[[u8; 3]]| ask(CONNECT, &[&[0, changes.len() as u8], &changes.concat()[..]].concat());
    let described =
        |changes: &[[u8; 3]]| ask(RELAY_IN, &[&[0, changes.len() as u8], &changes.concat()[..], &[2]].concat());
    let odd = [[0x2c, 0, 0], [0x3c, 31, 0], [0x6c, 7, 1], [0x7c, 1, 0], [0xcc, 40, 1], [11, 255, 0]];
    let agreements = odd.iter().flat_map(|change| [agreed(&[*change]), described(&[*change])]).collect::<Vec<_>>();
    vec![
        ("meeting", sent(&WHOLE, &[meeting(), end()].concat())),
        ("meeting_in_pieces", sent(&IN_PIECES, &[meeting(), end()].concat())),
        ("relays", sent(&WHOLE, &[&relays[..], &end()].concat())),
        ("odd_agreements", sent(&WHOLE, &agreements)),
        (
            "restarts",
            sent(
                &WHOLE,
                &[
                    ask(RESTART_ICE, &[0]),
                    agreed(&[[6, 0, 4], [7, 0, 22]]),
                    agreed(&[[4, 9, 20]]),
                    ask(CREATE_PEER, &[0]),
                    ask(CONNECT, &[2, 1, 1, 0, 0]),
                    ask(PUBLISH, &[0x12, 0]),
                    ask(RESTART_ICE, &[2]),
                    ask(CONNECT, &[2, 5, 1, 0, 0, 4, 9, 3, 5, 0, 0, 9, 20, 0, 6, 0, 4]),
                    ask(STATS, &[0]),
                ],
            ),
        ),
        ("messages", sent(&WHOLE, &[ask(SEND_DATA, &[&[1][..], &chunk(b"chat"), &[0xff, 0xff]].concat())])),
        ("bot", sent(&WHOLE, &[ask(CREATE_BOT, &[0, 0]), ask(SNAPSHOT, &[0])])),
        ("numbers", sent(&WHOLE, &[vec![0, 0x41, STATS, 0], vec![HELLO, 0x10, 0, 0], vec![0, 1, STATS, 0]])),
        ("highest_number", sent(&WHOLE, &[vec![0, 0x40, STATS, 0], vec![HELLO, 0x10, 0, 0], vec![0, 1, STATS, 0]])),
        ("of_no_worker", sent(&WHOLE, &[frame(STOP_FRAME, &[]), vec![EDITED | NOTE, 0, 9, 0, 2, 0, 6, 7]])),
    ]
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let note = |what: u8, len: u8| vec![NOTE, what, len];
    let too_long = vec![FILLED, REQUEST_FRAME, 0xc0, 1, 0xc0, 1, 7];
    let longest = vec![FILLED, REQUEST_FRAME, 0xc0, 0, 0xc0, 0, 7];
    let less = vec![FILLED, NOTE_FRAME, 0xc0, 1, 0, 40, 7];
    let stats = || ask(STATS, &[0]);
    // {"id": 1, "command": {"type": "stats", "x": …}}
    let open = b"\x82\xa2id\x01\xa7command\x82\xa4type\xa5stats\xa1x";
    let hello = |what: u8| vec![HELLO, what, 0, 0];
    vec![
        (
            "notes",
            sent(&WHOLE, &[note(0, 9), note(4, 200), note(0x10, 0), note(8, 1), note(1, 0), note(0, 77), note(2, 129)]),
        ),
        ("notes_in_pieces", sent(&IN_PIECES, &[note(2, 128), note(2, 127), note(0x16, 128), note(1, 0)])),
        ("hellos", sent(&WHOLE, &[hello(0x10), hello(1), hello(3), hello(0xf2), stats()])),
        ("hello_with_a_misspelt_key", sent(&WHOLE, &[[&[LONG_HELLO, 1][..], &chunk(b"worker")].concat(), stats()])),
        ("hello_with_a_long_key", sent(&WHOLE, &[[&[LONG_HELLO, 99][..], &chunk(b"worker\n")].concat(), stats()])),
        ("too_long", sent(&WHOLE, &[too_long.clone(), stats()])),
        ("too_long_in_pieces", sent(&IN_PIECES, &[too_long, stats(), longest, stats()])),
        ("longer_than_it_is", sent(&WHOLE, &[less, stats(), stats()])),
        ("unknown_kinds", sent(&WHOLE, &[frame(0, b"x"), frame(11, &[]), frame(255, &[0; 40]), stats()])),
        ("no_kinds_of_a_controller", sent(&WHOLE, &[frame(WELCOME_FRAME, b"x"), frame(10, &[]), stats()])),
        ("unreadable", sent(&IN_PIECES, &[frame(REQUEST_FRAME, &[0xc1; 40]), frame(NOTE_FRAME, &[]), stats()])),
        (
            "numbered_and_unreadable",
            sent(&WHOLE, &[frame(REQUEST_FRAME, b"\x82\xa2id\x07\xa7command\xa5dance"), stats()]),
        ),
        ("deep", sent(&WHOLE, &[repeated(REQUEST_FRAME, 5_000, [open, &[0x91], &[0xc0]]), stats()])),
        (
            "deep_and_wide",
            sent(&WHOLE, &[repeated(REQUEST_FRAME, 1_000, [open, &[0xdd, 0xff, 0xff, 0xff, 0xff], &[]]), stats()]),
        ),
        (
            "wide",
            sent(
                &WHOLE,
                &[repeated(REQUEST_FRAME, 0xffff, [&[open, &[0xdc, 0xff, 0xff][..]].concat(), &[0xc0], &[]]), stats()],
            ),
        ),
        ("stop_and_go_on", sent(&WHOLE, &[frame(STOP_FRAME, b"now"), stats()])),
        ("changed", sent(&WHOLE, &[vec![EDITED, 1, STATS, 0, 0, 2, 0, 8, 0x83], stats()])),
        ("cut_short", sent(&WHOLE, &[vec![CUT, 1, STATS, 0, 128], stats(), stats()])),
        ("no_frame", sent(&WHOLE, &[[&[RAW][..], &chunk(b"GET / HTTP/1.1\r\n\r\n")].concat(), stats()])),
    ]
}
