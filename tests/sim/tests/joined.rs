//! What real handshakes leave behind, and what a peer takes that has been through one: ICE, DTLS, SRTP and SCTP, with str0m at
//! the other end. A process of its own, because the memory of the whole process is counted: the C library's allocator serves
//! aws-lc as well as Rust.

use std::alloc::System;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use sfu_core::engine::event::Event;
use sim::browser::Section;
use sim::heap::{self, Counting};
use sim::keyed::{Sends, Wishes};
use sim::media::VideoCodec;
use sim::meeting::Meeting;
use sim::server::Meter;
use sim::world::{Path, RemoteId};

const MS: Duration = Duration::from_millis(1);
/// Who is there at the same time.
const AT_ONCE: usize = 20;
/// Rounds in which that many join and leave; the first let every table reach its size.
const WARM_UP: usize = 3;
const ROUNDS: usize = 53;
/// What Rust code may hold more after so many more have left.
const KEPT: i64 = 8 << 10;
/// What the C library may count more: it keeps freed blocks for each thread and size, and counts them as used.
const KEPT_BY_C: i64 = 32 << 10;
/// What a joined peer may take that neither sends nor receives media.
const JOINED: Range<i64> = 32 << 10..64 << 10;
/// What of it is ICE, DTLS and SCTP: one with given keys does not take it. `bench/README.md` tells it.
const HANDSHAKES: Range<i64> = 20 << 10..48 << 10;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

/// Bytes that are allocated in the whole process, as the C library counts them.
fn allocated() -> i64 {
    // SAFETY: `mallinfo2` takes nothing and returns figures.
    unsafe { libc::mallinfo2() }.uordblks as i64
}

/// Adds up what the process allocates and does not free while the engine works, aws-lc's keys and contexts too.
#[derive(Default)]
struct Grown {
    since: i64,
    bytes: Rc<Cell<i64>>,
}

impl Meter for Grown {
    fn enter(&mut self) {
        self.since = allocated();
    }

    fn leave(&mut self) {
        self.bytes.set(self.bytes.get() + allocated() - self.since);
    }
}

/// That many browsers join, each with a data channel and sections for two others, and say something.
fn join(meeting: &mut Meeting) -> Vec<RemoteId> {
    let sections = [
        Section::SendVideo,
        Section::SendAudio,
        Section::ReceiveVideo,
        Section::ReceiveAudio,
        Section::ReceiveVideo,
        Section::ReceiveAudio,
        Section::Channel("chat"),
    ];
    let ids: Vec<RemoteId> = (0..AT_ONCE).map(|_| meeting.join_browser(&sections, Path::round_trip(20 * MS))).collect();
    meeting.run_until_connected();
    meeting.run_for(500 * MS);
    let now = meeting.now();
    for &id in &ids {
        assert!(meeting.world.browser(id).send_message("chat", false, b"hello", now), "the channel is open");
    }
    meeting.run_for(200 * MS);
    ids
}

/// They join and leave; what they said was heard.
fn round(meeting: &mut Meeting) {
    let ids = join(meeting);
    let heard = meeting.world.server.events.iter().filter(|event| matches!(event, Event::DataReceived { .. }));
    assert_eq!(heard.count(), AT_ONCE);
    for id in ids {
        meeting.leave(id);
    }
    meeting.run_for(200 * MS);
    meeting.world.server.events = Vec::new();
    meeting.world.network.forget_the_gone();
}

#[test]
fn after_a_thousand_handshakes_the_memory_is_back_and_each_peer_took_little() {
    heap::count(true);
    let mut meeting = Meeting::new(1);
    (0..WARM_UP).for_each(|_| round(&mut meeting));
    let (held, whole) = (heap::held(), allocated());
    (WARM_UP..ROUNDS).for_each(|_| round(&mut meeting));
    let (kept, kept_by_c) = (heap::held() - held, allocated() - whole);
    let stats = meeting.stats();
    assert_eq!((stats.peers, stats.edges, stats.panics, stats.unauthorized_forwards), (0, 0, 0, 0));
    let ids = join(&mut meeting);
    let joined = taken_by(&mut meeting, &ids);
    let wishes = |wishes| Wishes {
        sends: vec![Sends::Video(VideoCodec::Vp8, &[]), Sends::Audio],
        receives_audio: 2,
        receives_video: 2,
        ..wishes
    };
    let ids: Vec<RemoteId> = (0..AT_ONCE).map(|_| meeting.join_keyed(wishes, Path::round_trip(20 * MS))).collect();
    meeting.run_for(500 * MS);
    let keyed = taken_by(&mut meeting, &ids);
    println!(
        "kept {kept} bytes of Rust, {kept_by_c} of all; a joined peer takes {joined}, one with given keys {keyed}"
    );
    let left = (ROUNDS - WARM_UP) * AT_ONCE;
    assert!(kept <= KEPT, "{kept} bytes are held more after {left} left");
    assert!(kept_by_c <= KEPT_BY_C, "{kept_by_c} bytes are allocated more after {left} left");
    assert!(JOINED.contains(&joined), "{joined} bytes for a joined peer");
    assert!(
        HANDSHAKES.contains(&(joined - keyed)),
        "{joined} bytes for a joined peer, {keyed} for one with given keys"
    );
}

/// Bytes that each of these took: what the process frees when the engine removes them.
fn taken_by(meeting: &mut Meeting, ids: &[RemoteId]) -> i64 {
    let grown = Rc::new(Cell::new(0));
    meeting.world.server.meter = Some(Box::new(Grown { since: 0, bytes: Rc::clone(&grown) }));
    for &id in ids {
        meeting.leave(id);
    }
    meeting.world.server.meter = None;
    -grown.get() / ids.len() as i64
}
