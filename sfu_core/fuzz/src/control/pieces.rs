//! What a controller sends, piece by piece: frames as they should be, the same changed, and what is no frame.

use sfu_core::driver::DriverConfig;
use sfu_core::driver::process::frame::{FrameWriter, Kind, MAX_PAYLOAD};
use sfu_core::driver::process::notes::{MAX_NOTE_BYTES, Note, Subject};
use sfu_core::driver::process::{Hello, PROTOCOL};
use sfu_core::driver::wire::encode;
use sfu_core::engine::command::Request;
use sfu_core::ids::{PeerId, RoomId};

use super::commands;
use crate::bytes::Choices;
use crate::connected::treatment::Edit;

/// Most pieces of one run.
const MAX_PIECES: usize = 48;
/// Most bytes of one run: two of the longest frames.
const MAX_STREAM: usize = 2 * MAX_PAYLOAD + (64 << 10);
/// Longest piece that is written out in the input.
const MAX_RAW: usize = 4 << 10;
/// Most changes to one piece.
const MAX_EDITS: u8 = 4;

/// Kinds of pieces, beside which any other is a request.
pub(crate) const NOTE: u8 = 9;
pub(crate) const HELLO: u8 = 10;
pub(crate) const FRAME: u8 = 11;
pub(crate) const FILLED: u8 = 12;
pub(crate) const RAW: u8 = 13;
pub(crate) const REPEATED: u8 = 14;
pub(crate) const LONG_HELLO: u8 = 15;
/// The piece is changed.
pub(crate) const EDITED: u8 = 1 << 4;
/// It is cut short, and what follows is not what it seems.
pub(crate) const CUT: u8 = 1 << 5;

/// Everything that is sent in one run.
pub(super) fn stream(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut number = 1;
    for _ in 0..MAX_PIECES {
        if choices.is_empty() || stream.len() >= MAX_STREAM {
            break;
        }
        let kind = choices.byte();
        let mut piece = piece(kind & 15, &mut number, choices);
        let edits = if kind & EDITED == 0 { 0 } else { 1 + choices.byte() % MAX_EDITS };
        for _ in 0..edits {
            Edit::read(choices).apply(&mut piece);
        }
        if kind & CUT != 0 {
            piece.truncate(piece.len() * usize::from(choices.byte()) / 256);
        }
        stream.extend(piece);
    }
    stream.truncate(MAX_STREAM);
    stream
}

fn piece(kind: u8, number: &mut u64, choices: &mut Choices<'_>) -> Vec<u8> {
    match kind {
        NOTE => {
            let (what, len) = (choices.byte(), usize::from(choices.byte()));
            let len = if what & 2 == 0 { len } else { MAX_NOTE_BYTES - 128 + len };
            let note = (what & 1 == 0).then(|| vec![what; len]);
            let subject = if what & 4 == 0 {
                Subject::Room { room: RoomId::new(u32::from(what >> 4), 0) }
            } else {
                Subject::Peer { peer: PeerId::new(u32::from(what >> 4), 0) }
            };
            frame(Kind::Note, u16::from(what >> 3 & 1), &encode(&Note { subject, note }))
        }
        HELLO => {
            let what = choices.byte();
            let config =
                DriverConfig { workers: u16::from(what >> 4), port: choices.word(), ..DriverConfig::default() };
            let end_other_version = what & 2 != 0;
            frame(
                Kind::Hello,
                0,
                &encode(&Hello {
                    protocol: PROTOCOL + u32::from(what & 1),
                    end_other_version,
                    reclaims: what & 4 != 0,
                    orphan_limit_ms: Some(u64::from(what)),
                    config,
                }),
            )
        }
        FRAME => {
            let (number, worker) = (choices.byte(), choices.word());
            headed(number, worker, None, choices.chunk(MAX_RAW))
        }
        FILLED => {
            // What the header says, and how much comes: neither need have to do with the other.
            let (number, said, comes) = (choices.byte(), length(choices), length(choices));
            // No zeros: each eight of them would be a frame.
            headed(number, 0, Some(said), &vec![choices.byte().max(1); comes])
        }
        RAW => choices.chunk(MAX_RAW).to_vec(),
        REPEATED => {
            // Deep, wide or both: a request that begins as one and goes on with the same again and again.
            let (number, times) = (choices.byte(), usize::from(choices.word()));
            let (before, again, behind) = (choices.chunk(MAX_RAW), choices.chunk(MAX_RAW), choices.chunk(MAX_RAW));
            let times = times.min((MAX_PAYLOAD - 2 * MAX_RAW) / again.len().max(1));
            headed(number, 0, None, &[before, &again.repeat(times), behind].concat())
        }
        LONG_HELLO => {
            #[derive(serde::Serialize)]
            struct Odd<'a> {
                protocol: u32,
                config: std::collections::BTreeMap<&'a str, u8>,
            }
            let (times, word) = (usize::from(choices.byte()), choices.chunk(MAX_RAW));
            let key = String::from_utf8_lossy(word).repeat(times);
            let config = std::collections::BTreeMap::from([(key.as_str(), 0)]);
            frame(Kind::Hello, 0, &encode(&Odd { protocol: PROTOCOL, config }))
        }
        _ => {
            let what = choices.byte();
            *number += u64::from(what & 3);
            // Numbers of somebody who counts otherwise.
            let id = if what & 0x40 == 0 { *number } else { u64::MAX >> (what & 3) };
            let command = commands::command(choices);
            let worker = u16::from(what >> 7);
            frame(Kind::Request, worker, &encode(&Request { id, command }))
        }
    }
}

/// As it should be.
fn frame(kind: Kind, worker: u16, payload: &[u8]) -> Vec<u8> {
    let (mut writer, mut bytes) = (FrameWriter::default(), Vec::new());
    writer.push(kind, worker, payload);
    writer.flush(&mut bytes).expect("memory takes everything");
    bytes
}

/// With the numbers given, whatever they mean.
fn headed(number: u8, worker: u16, length: Option<usize>, payload: &[u8]) -> Vec<u8> {
    let [high, low] = worker.to_be_bytes();
    let length = length.unwrap_or(payload.len()) as u32;
    [&length.to_be_bytes()[..], &[number, 0, high, low], payload].concat()
}

/// A length of up to a little more than may be.
fn length(choices: &mut Choices<'_>) -> usize {
    let word = choices.word();
    if word & 0x8000 == 0 { usize::from(word) } else { usize::from(word & 0x7fff) << 6 }
}
