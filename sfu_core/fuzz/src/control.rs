//! What comes over the control socket: frames, notes and commands, as they are and come to harm, cut into reads of any length.
//! What is malformed is answered with a fault and the next frame is read; where the bytes are cut makes no difference; what is a
//! command is carried out by an engine with people in it, whom it may end but not break.

mod commands;
mod desk;
pub(crate) mod pieces;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use sfu_core::driver::process::connection::Connection;
use sfu_core::driver::process::frame::{Filled, FrameError, FrameReader, HEADER, Kind, MAX_PAYLOAD, MAX_READ};
use sfu_core::driver::process::notes::Note;
use sfu_core::driver::wire::{decode, encode};

use self::desk::{Desk, Said};
use crate::bytes::Choices;
use crate::heap;

/// Most places where the bytes are cut; they begin anew behind the last.
const MAX_CUTS: u8 = 15;
/// Most reads that are cut short in one run; the rest comes as fast as it can.
const MAX_SHORT_READS: usize = 2_048;
/// Bytes that wait for the controller, above which it is told no more notes.
const ENOUGH: usize = 64 << 10;
/// What a reader may keep: the longest frame and one read, in a list that grows by doubling.
const MAX_KEPT: i64 = 2 * (HEADER + MAX_PAYLOAD + MAX_READ) as i64;

/// Input: where reads end, then what a controller sends.
pub fn control_frames(input: &[u8]) {
    run(input);
}

fn run(input: &[u8]) -> Said {
    let mut choices = Choices(input);
    let count = choices.byte() % (MAX_CUTS + 1);
    let cuts: Vec<u16> = (0..count).map(|_| choices.word()).collect();
    let stream = pieces::stream(&mut choices);
    let expected = frames(&stream);
    assert_eq!(read(&stream, &[]), expected, "in reads as long as they come");
    assert_eq!(read(&stream, &cuts), expected, "in short reads");
    connect(&stream, &cuts, &expected)
}

/// What one frame is, with its payload.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    kind: Kind,
    worker: u16,
    payload: Vec<u8>,
}

type Seen = Result<Whole, FrameError>;

/// The frames in these bytes, by what is written of them (`driver/process/frame.rs`) and nothing else.
fn frames(mut bytes: &[u8]) -> Vec<Seen> {
    let kinds = [
        Kind::Hello,
        Kind::Request,
        Kind::Note,
        Kind::Stop,
        Kind::Welcome,
        Kind::Outgoing,
        Kind::Counters,
        Kind::Fault,
        Kind::Replaced,
        Kind::Stopped,
    ];
    let mut frames = Vec::new();
    while let Some((&[a, b, c, d, number, _, high, low], rest)) = bytes.split_first_chunk::<HEADER>() {
        let length = u32::from_be_bytes([a, b, c, d]);
        let size = length as usize;
        if size > MAX_PAYLOAD {
            frames.push(Err(FrameError::TooLong { length }));
            bytes = rest.get(size..).unwrap_or_default();
            continue;
        }
        let Some((payload, rest)) = rest.split_at_checked(size) else { break };
        bytes = rest;
        let worker = u16::from_be_bytes([high, low]);
        let kind = kinds.get(usize::from(number).wrapping_sub(1));
        let whole = |&kind| Whole { kind, worker, payload: payload.to_vec() };
        frames.push(kind.map(whole).ok_or(FrameError::UnknownKind { number }));
    }
    frames
}

/// Bytes that come in reads of the lengths given; between them, where a length is 0, there is nothing for a while.
struct Pieced<'a> {
    rest: &'a [u8],
    cuts: VecDeque<u16>,
    reads: usize,
}

impl Pieced<'_> {
    /// How much comes next.
    fn next(&mut self) -> usize {
        self.reads += 1;
        let Some(cut) = self.cuts.front().copied().filter(|_| self.reads <= MAX_SHORT_READS) else { return usize::MAX };
        self.cuts.rotate_left(1);
        usize::from(cut)
    }
}

impl Read for Pieced<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.next().min(into.len());
        if most == 0 && !self.rest.is_empty() {
            return Err(
                if self.reads.is_multiple_of(2) { ErrorKind::WouldBlock } else { ErrorKind::Interrupted }.into()
            );
        }
        self.rest.read(&mut into[..most.max(1)])
    }
}

/// The frames that a reader takes out of these bytes, which it does not keep for longer than it must.
fn read(stream: &[u8], cuts: &[u16]) -> Vec<Seen> {
    let mut pieced = Pieced { rest: stream, cuts: cuts.iter().copied().collect(), reads: 0 };
    let (mut reader, mut seen) = (FrameReader::default(), Vec::new());
    loop {
        let before = heap::held();
        let filled = reader.fill(&mut pieced).expect("memory does not fail");
        kept(heap::held() - before);
        if filled == Filled::End {
            break;
        }
        while let Some(frame) = reader.take() {
            seen.push(frame.map(|frame| Whole {
                kind: frame.kind,
                worker: frame.worker,
                payload: frame.payload.to_vec(),
            }));
        }
    }
    let before = heap::held();
    drop(reader);
    kept(before - heap::held());
    seen
}

fn kept(bytes: i64) {
    assert!(bytes <= MAX_KEPT, "{bytes} bytes of frames are kept");
}

/// Sends these bytes over a socket, has done what they ask for, and reads what is answered.
fn connect(stream: &[u8], cuts: &[u16], expected: &[Seen]) -> Said {
    let (mut controller, end) = UnixStream::pair().expect("two sockets");
    controller.set_nonblocking(true).expect("a socket need not block");
    let mut connection = Connection::new(end).expect("nor the other");
    let mut pieced = Pieced { rest: stream, cuts: cuts.iter().copied().collect(), reads: 0 };
    let (mut desk, mut answers, mut reader, mut heard) = (Desk::new(), Vec::new(), FrameReader::default(), Vec::new());
    let mut more = true;
    while more || connection.waiting() > 0 {
        let most = pieced.next().min(MAX_READ).min(pieced.rest.len());
        let written = controller.write(&pieced.rest[..most]).unwrap_or(0);
        pieced.rest = &pieced.rest[written..];
        more = !pieced.rest.is_empty();
        // As the process does: at most so many of whom is not known yet, and of a controller all that there are.
        assert!(
            connection
                .hear(if most.is_multiple_of(3) { 1 } else { usize::MAX }, |frame| desk.take(frame, &mut answers))
        );
        while !more && connection.has_more() {
            assert!(connection.hear(usize::MAX, |frame| desk.take(frame, &mut answers)));
        }
        for (kind, worker, payload) in answers.drain(..) {
            connection.push(kind, worker, &payload);
        }
        assert!(connection.flush());
        listen(&mut controller, &mut reader, &mut heard);
    }
    // What is left in the reader has arrived long since.
    assert!(connection.hear(usize::MAX, |frame| desk.take(frame, &mut answers)));
    for (kind, worker, payload) in answers.drain(..) {
        connection.push(kind, worker, &payload);
    }
    connection.tell_notes_from_the_first();
    loop {
        connection.tell_notes(&desk.notes, ENOUGH);
        let waiting = connection.waiting();
        assert!(connection.flush());
        listen(&mut controller, &mut reader, &mut heard);
        if waiting == 0 {
            break;
        }
    }
    judge(&desk, &heard);
    drop((controller, connection, reader, heard, answers));
    desk.finish(expected)
}

/// What the controller is told.
fn listen(controller: &mut UnixStream, reader: &mut FrameReader, heard: &mut Vec<Whole>) {
    while reader.fill(controller).expect("the other end is there") == Filled::Some {
        while let Some(frame) = reader.take() {
            let frame = frame.expect("what we say can be read");
            heard.push(Whole { kind: frame.kind, worker: frame.worker, payload: frame.payload.to_vec() });
        }
    }
}

/// Everything that was answered arrives, in order, and then the notes as they were kept.
fn judge(desk: &Desk, heard: &[Whole]) {
    let answered = desk.answered.len();
    assert!(heard.len() >= answered, "{} of {answered} answers arrive", heard.len());
    for ((kind, worker, payload), whole) in desk.answered.iter().zip(heard) {
        assert!((whole.kind, whole.worker) == (*kind, *worker) && whole.payload == *payload, "answers are in order");
    }
    let mut kept = desk.kept.iter();
    for whole in &heard[answered..] {
        assert_eq!(whole.kind, Kind::Note);
        let told: Note = decode(&whole.payload).expect("a note");
        let (key, bytes) = kept.next().expect("nobody kept that note");
        assert_eq!(((whole.worker, told.subject), told.note.as_ref()), (*key, Some(bytes)));
        assert_eq!(encode(&told), whole.payload);
    }
    assert!(kept.next().is_none(), "a note is not told");
}

#[cfg(test)]
mod tests {
    use sfu_core::driver::process::FaultKind;

    use super::*;
    use crate::seeds;

    fn seed(name: &str) -> Said {
        let seeds = seeds::all();
        let seed = seeds.iter().find(|seed| seed.target == "control_frames" && seed.name == name);
        run(&seed.expect("a seed of that name").bytes)
    }

    #[test]
    fn the_seeds_reach_what_they_are_named_after() {
        let meeting = seed("meeting");
        assert!(meeting.faults.is_empty() && meeting.refused == 0, "{meeting:?}");
        assert_eq!(meeting.carried_out, 20);
        assert!(meeting.forwarded > 10, "sound and pictures for as long as there is a room: {meeting:?}");
        assert_eq!(seed("meeting_in_pieces"), meeting);
        assert!(seed("relays").carried_out > 10, "{:?}", seed("relays"));
        assert_eq!(seed("restarts").carried_out, 9);
        assert_eq!(seed("bot").faults, [FaultKind::Request]);
        assert_eq!(seed("notes").notes, 4);
        assert_eq!(seed("notes").faults, [FaultKind::Note]);
        assert_eq!(seed("hellos").successors, 2);
        let faults = seed("highest_number").faults;
        assert_eq!(faults, [FaultKind::Request, FaultKind::Malformed], "and then there is another hello");
        assert_eq!(seed("of_no_worker").faults, [FaultKind::Note]);
        assert_eq!(seed("stop_and_go_on").stops, 1);
        let swallowed = seed("longer_than_it_is");
        assert_eq!((swallowed.faults, swallowed.carried_out), (vec![FaultKind::Malformed], 0));
        assert!(seed("wide").faults.is_empty() && seed("wide").carried_out == 2, "a field more is none too many");
        for (name, faults) in [
            ("too_long", 1),
            ("too_long_in_pieces", 2),
            ("unknown_kinds", 3),
            ("no_kinds_of_a_controller", 2),
            ("unreadable", 2),
            ("numbered_and_unreadable", 1),
            ("deep", 1),
            ("deep_and_wide", 1),
            ("changed", 1),
        ] {
            let said = seed(name);
            assert_eq!(said.faults, vec![FaultKind::Malformed; faults], "{name}");
            assert!(said.carried_out > 0, "{name}: and then the next frame is read");
        }
    }
}
