//! A media process in a thread, and controllers that speak to it over its socket.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde::Serialize;

use super::frame::{HEADER, MAX_PAYLOAD};
use super::notes::{Note, Subject};
use super::*;
use crate::driver::tests::Stand;
use crate::driver::wire::{Outgoing, decode};
use crate::engine::command::{Command, Refusal, Reply, Request};
use crate::engine::event::Snapshot;
use crate::ids::{ParticipantId, PeerId, RoomId};
use crate::units::start;

/// Catches hangs only.
const HANG: Duration = Duration::from_secs(20);

/// A media process in a thread.
struct Lab {
    path: PathBuf,
    thread: Option<JoinHandle<io::Result<Ended>>>,
}

impl Lab {
    fn new(orphan_limit: Duration) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pysfu-{}-{}.sock", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).expect("a socket");
        let options = ProcessOptions { orphan_limit, privileges: Privileges::Keep, watchdog: Watchdog::default() };
        Self { path, thread: Some(std::thread::spawn(move || run(listener, options))) }
    }

    fn controller(&self) -> Controller {
        let stream = UnixStream::connect(&self.path).expect("it listens");
        stream.set_read_timeout(Some(HANG)).expect("a socket takes a limit");
        Controller { stream }
    }

    /// One that is in control.
    fn in_control(&self) -> (Controller, Welcome) {
        let mut controller = self.controller();
        controller.hello(PROTOCOL, &config());
        let welcome = controller.until(Kind::Welcome);
        (controller, decode(&welcome).expect("a welcome"))
    }

    fn ended(mut self) -> Ended {
        let thread = self.thread.take().expect("only once");
        thread.join().expect("no panic").expect("no error")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let (mut controller, _) = self.in_control();
            controller.send(Kind::Stop, 0, &[]);
        }
        let _gone_already = std::fs::remove_file(&self.path).is_err();
    }
}

fn config() -> DriverConfig {
    DriverConfig { bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..DriverConfig::default() }
}

struct Controller {
    stream: UnixStream,
}

impl Controller {
    fn send(&mut self, kind: Kind, worker: u16, payload: &[u8]) {
        let mut writer = frame::FrameWriter::default();
        writer.push(kind, worker, payload);
        writer.flush(&mut self.stream).expect("it reads");
    }

    fn hello(&mut self, protocol: u32, config: &DriverConfig) {
        let hello = Hello {
            protocol,
            end_other_version: false,
            reclaims: false,
            orphan_limit_ms: None,
            config: config.clone(),
        };
        self.send(Kind::Hello, 0, &encode(&hello));
    }

    fn request(&mut self, id: u64, command: Command) {
        self.send(Kind::Request, 0, &encode(&Request { id, command }));
    }

    fn note(&mut self, room: RoomId, note: Option<Vec<u8>>) {
        self.send(Kind::Note, 0, &encode(&Note { subject: Subject::Room { room }, note }));
    }

    /// The payload of the next frame of that kind.
    fn until(&mut self, kind: Kind) -> Vec<u8> {
        loop {
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header).expect("a frame");
            let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).expect("all of it");
            if header[4] == kind as u8 {
                return payload;
            }
        }
    }

    /// The answer to the next request that is answered.
    fn answer(&mut self) -> (u64, Result<Reply, Refusal>) {
        loop {
            match decode(&self.until(Kind::Outgoing)).expect("what a worker says") {
                Outgoing::Reply { id, reply } => return (id, Ok(reply)),
                Outgoing::Refused { id, refusal } => return (id, Err(refusal)),
                _ => {}
            }
        }
    }

    fn room(&mut self, id: u64) -> RoomId {
        self.request(id, Command::CreateRoom);
        match self.answer() {
            (answered, Ok(Reply::Room { room })) if answered == id => room,
            other => panic!("no room: {other:?}"),
        }
    }

    fn snapshot(&mut self, id: u64) -> Snapshot {
        self.request(id, Command::Snapshot);
        match self.answer() {
            (answered, Ok(Reply::Snapshot { snapshot })) if answered == id => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    fn fault(&mut self) -> Fault {
        decode(&self.until(Kind::Fault)).expect("a fault")
    }

    /// Whether the other end closed it.
    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok()
    }
}

#[test]
fn a_successor_finds_the_rooms_and_the_notes_on_them() {
    let lab = Lab::new(HANG);
    let (mut first, welcome) = lab.in_control();
    assert!(!welcome.resumed && welcome.as_configured && welcome.notes == 0);
    let (kept, ended) = (first.room(welcome.first_request), first.room(welcome.first_request + 1));
    first.note(kept, Some(b"a meeting".to_vec()));
    first.note(ended, Some(b"another".to_vec()));
    first.note(ended, None);
    first.request(welcome.first_request + 2, Command::RemoveRoom { room: ended });
    assert_eq!(first.answer().1, Ok(Reply::Done));
    drop(first);

    let (mut second, again) = lab.in_control();
    assert!(again.resumed && again.as_configured);
    assert_eq!((again.instance, again.notes), (welcome.instance, 1));
    let note: Note = decode(&second.until(Kind::Note)).expect("a note");
    assert_eq!((note.subject, note.note), (Subject::Room { room: kept }, Some(b"a meeting".to_vec())));
    assert_eq!(second.snapshot(again.first_request).rooms, [kept]);
}

#[test]
fn an_engine_that_runs_is_not_changed_by_another_configuration() {
    let lab = Lab::new(HANG);
    let (first, welcome) = lab.in_control();
    drop(first);
    let mut second = lab.controller();
    second.hello(PROTOCOL, &DriverConfig { workers: 2, ..config() });
    let again: Welcome = decode(&second.until(Kind::Welcome)).expect("a welcome");
    assert!(again.resumed && !again.as_configured);
    assert_eq!(again.addresses, welcome.addresses);
}

/// A request of nothing that there is.
#[derive(Serialize)]
struct Odd<'a> {
    id: u64,
    command: &'a str,
}

#[test]
fn what_cannot_be_read_is_refused_and_the_process_lives_on() {
    let lab = Lab::new(HANG);
    let (mut controller, welcome) = lab.in_control();
    let mut number = welcome.first_request;
    let mut request = || {
        number += 1;
        number
    };
    // Malformed, with a number and without.
    let numbered = request();
    controller.send(Kind::Request, 0, &encode(&Odd { id: numbered, command: "dance" }));
    let fault = controller.fault();
    assert_eq!((fault.kind, fault.request), (FaultKind::Malformed, Some(numbered)));
    assert!(!fault.text.contains("dance"), "it quotes nothing: {}", fault.text);
    controller.send(Kind::Request, 0, &[0xc1; 40]);
    assert_eq!(controller.fault().request, None);
    // Of a worker that there is not, of a kind that a controller does not send, of none, too long.
    let numbered = request();
    controller.send(Kind::Request, 9, &encode(&Request { id: numbered, command: Command::CreateRoom }));
    let fault = controller.fault();
    assert_eq!((fault.kind, fault.request), (FaultKind::Request, Some(numbered)));
    controller.send(Kind::Welcome, 0, &[]);
    assert_eq!(controller.fault().kind, FaultKind::Malformed);
    controller.stream.write_all(&[0, 0, 0, 0, 200, 0, 0, 0]).expect("it reads");
    assert_eq!(controller.fault().kind, FaultKind::Malformed);
    controller.send(Kind::Request, 0, &vec![0; MAX_PAYLOAD + 1]);
    assert!(controller.fault().text.contains("longer"), "too long");
    controller.note(RoomId::new(0, 0), Some(vec![0; notes::MAX_NOTE_BYTES + 1]));
    assert_eq!(controller.fault().kind, FaultKind::Note);
    // And then as ever.
    let room = controller.room(request());
    assert_eq!(controller.snapshot(request()).rooms, [room]);
}

#[test]
fn whoever_speaks_another_version_is_told_so_and_starts_nothing() {
    let lab = Lab::new(HANG);
    let mut other = lab.controller();
    other.hello(PROTOCOL + 1, &config());
    let fault = other.fault();
    assert_eq!(fault.kind, FaultKind::Protocol);
    assert!(fault.text.contains("restart"), "{}", fault.text);
    assert!(other.is_closed());
    let mut rude = lab.controller();
    rude.send(Kind::Stop, 0, &[]);
    assert_eq!(rude.fault().kind, FaultKind::Malformed);
    let (_controller, welcome) = lab.in_control();
    assert!(!welcome.resumed, "nothing ran before");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_and_a_better_one_taken() {
    let lab = Lab::new(HANG);
    let mut controller = lab.controller();
    controller.hello(PROTOCOL, &DriverConfig { workers: 0, ..config() });
    let fault = controller.fault();
    assert_eq!(fault.kind, FaultKind::Start);
    assert!(fault.text.contains("workers"), "{}", fault.text);
    assert!(!lab.in_control().1.resumed);
}

#[test]
fn the_latest_controller_is_the_one_and_gets_no_answers_of_those_before() {
    let lab = Lab::new(HANG);
    let (mut first, welcome) = lab.in_control();
    for id in 0..200 {
        first.request(welcome.first_request + id, Command::CreateRoom);
    }
    first.until(Kind::Outgoing);
    let (mut second, again) = lab.in_control();
    first.until(Kind::Replaced);
    assert!(first.is_closed());
    assert!(again.first_request > welcome.first_request);
    assert!(!second.snapshot(again.first_request).rooms.is_empty(), "the first answer is that to its own request");
}

#[test]
fn a_controller_that_does_not_read_keeps_no_revocation_waiting() {
    let lab = Lab::new(HANG);
    let (mut first, welcome) = lab.in_control();
    let room = first.room(welcome.first_request);
    // Far more answers than a socket holds, none of which is read.
    for id in 1..2_000 {
        first.request(welcome.first_request + id, Command::CreatePeer { room, participant: ParticipantId(id) });
    }
    first.request(welcome.first_request + 2_000, Command::RemoveRoom { room });
    let (mut second, again) = lab.in_control();
    let snapshot = second.snapshot(again.first_request);
    assert!(snapshot.rooms.is_empty() && snapshot.peers.is_empty(), "the room has ended");
    // When it reads at last, it learns that it is no longer in control.
    first.until(Kind::Replaced);
    assert!(first.is_closed());
}

#[test]
fn whoever_comes_back_takes_control_from_nobody() {
    let lab = Lab::new(HANG);
    let (mut first, _) = lab.in_control();
    let again =
        Hello { protocol: PROTOCOL, end_other_version: false, reclaims: true, orphan_limit_ms: None, config: config() };
    let mut second = lab.controller();
    second.send(Kind::Hello, 0, &encode(&again));
    assert_eq!(second.fault().kind, FaultKind::Replaced);
    assert!(second.is_closed());
    first.until(Kind::Counters);
    drop(first);
    loop {
        // Until the process has seen that nobody is in control any more.
        let mut third = lab.controller();
        third.send(Kind::Hello, 0, &encode(&again));
        let mut header = [0; HEADER];
        third.stream.read_exact(&mut header).expect("a frame");
        if header[4] == Kind::Welcome as u8 {
            return;
        }
    }
}

#[test]
fn of_too_many_controllers_that_never_read_the_first_is_hung_up() {
    let lab = Lab::new(HANG);
    let mut silent = Vec::new();
    for _ in 0..MAX_REPLACED + 2 {
        let (mut controller, welcome) = lab.in_control();
        let room = controller.room(welcome.first_request);
        for id in 1..2_000 {
            let participant = ParticipantId(id);
            controller.request(welcome.first_request + id, Command::CreatePeer { room, participant });
        }
        silent.push(controller);
    }
    let (_last, _) = lab.in_control();
    let mut header = Vec::new();
    silent[0].stream.read_to_end(&mut header).expect("closed after what it had been sent");
    silent.last_mut().expect("one").until(Kind::Replaced);
}

#[test]
fn a_controller_that_sends_nonsense_and_reads_nothing_is_hung_up() {
    let lab = Lab::new(HANG);
    let (mut rude, _) = lab.in_control();
    // Frames of no kind, each a few bytes, and answered with many more.
    let nonsense = vec![0; 64 << 10];
    let mut sent = 0;
    while rude.stream.write_all(&nonsense).is_ok() {
        sent += nonsense.len();
        assert!(sent < 64 << 20, "the answers wait somewhere");
    }
    drop(rude);
    assert!(lab.in_control().1.resumed, "and the engine runs on");
}

/// All that the hello of a later version need have in common with this one.
#[derive(Serialize)]
struct Later {
    protocol: u32,
    end_other_version: bool,
}

#[test]
fn whoever_speaks_another_version_may_end_it_and_whoever_speaks_this_one_does_not() {
    let lab = Lab::new(HANG);
    let mut same = lab.controller();
    let hello =
        Hello { protocol: PROTOCOL, end_other_version: true, reclaims: false, orphan_limit_ms: None, config: config() };
    same.send(Kind::Hello, 0, &encode(&hello));
    same.until(Kind::Welcome);
    let mut newer = lab.controller();
    newer.send(Kind::Hello, 0, &encode(&Later { protocol: PROTOCOL + 1, end_other_version: true }));
    assert_eq!(newer.fault().kind, FaultKind::Protocol);
    assert!(newer.is_closed());
    assert_eq!(lab.ended(), Ended::Stopped);
}

#[test]
fn a_process_ends_when_told_and_when_nobody_comes() {
    let lab = Lab::new(HANG);
    let (mut controller, _) = lab.in_control();
    controller.send(Kind::Stop, 0, &[]);
    assert!(controller.is_closed());
    assert_eq!(lab.ended(), Ended::Stopped);
    assert_eq!(Lab::new(Duration::from_millis(1)).ended(), Ended::Stopped, "nothing has ended with it");
}

#[test]
fn calls_go_on_alone_for_as_long_as_the_last_controller_wished() {
    let lab = Lab::new(HANG);
    let mut controller = lab.controller();
    let (end_other_version, reclaims) = (false, false);
    let orphan_limit_ms = Some(1);
    let hello = Hello { protocol: PROTOCOL, end_other_version, reclaims, orphan_limit_ms, config: config() };
    controller.send(Kind::Hello, 0, &encode(&hello));
    controller.until(Kind::Welcome);
    drop(controller);
    assert_eq!(lab.ended(), Ended::Orphaned);
}

/// A process whose turns the test takes; its two workers drive stand-ins for the engine.
fn with_stand_ins(name: &str) -> Process {
    let path = std::env::temp_dir().join(format!("pysfu-{}-{name}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    std::fs::remove_file(&path).expect("nobody comes");
    listener.set_nonblocking(true).expect("a socket can");
    let config = DriverConfig { workers: 2, ..config() };
    let driver = Driver::start_with(&config, |_, _| Stand::default(), || Ok(())).expect("it starts");
    let options = ProcessOptions { orphan_limit: HANG, privileges: Privileges::Keep, watchdog: Watchdog::default() };
    let health = Health::default();
    let running = Running { driver, real_time: None, config, dropped: Dropped::default(), instance: 1, health };
    Process { running: Some(running), ..Process::new(listener, options, start()) }
}

/// One whose first worker has failed.
fn with_a_failed_worker() -> Process {
    let process = with_stand_ins("failed");
    let driver = &process.running.as_ref().expect("it runs").driver;
    driver.submit(0, Request { id: 1, command: Command::Snapshot }).expect("not busy");
    let mut told = 0;
    while told == 0 {
        let mut bell = libc::pollfd { fd: driver.bell().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        assert_eq!(unsafe { libc::poll(&raw mut bell, 1, HANG.as_millis() as libc::c_int) }, 1, "it tells");
        driver.drain(1, |_, outgoing| told += usize::from(matches!(outgoing, Outgoing::WorkerFailed { .. })));
    }
    process
}

#[test]
fn a_successor_is_not_told_what_happened_before_it_came() {
    let mut process = with_stand_ins("older");
    let driver = &process.running.as_ref().expect("it runs").driver;
    for id in 1..=1_000 {
        driver.submit(0, Request { id, command: Command::Stats }).expect("not busy");
    }
    let rested_after = |count: u64| {
        let counted = driver.counters().remove(0);
        (counted.commands == count).then_some(counted.turns)
    };
    // What was carried out in one turn has been said in the next.
    let turns = loop {
        if let Some(turns) = rested_after(1_000) {
            break turns;
        }
        std::thread::yield_now();
    };
    while rested_after(1_000) == Some(turns) {
        std::thread::yield_now();
    }
    let (near, far) = UnixStream::pair().expect("sockets");
    let hello =
        Hello { protocol: PROTOCOL, end_other_version: false, reclaims: true, orphan_limit_ms: None, config: config() };
    process.welcome(Connection::new(far).expect("a socket can"), Ok(hello));
    process.turn(process.looked);
    process.controller = None;
    let (mut reader, mut said) = (frame::FrameReader::default(), Vec::new());
    while reader.fill(&mut &near).expect("it was sent") != frame::Filled::End {
        while let Some(frame) = reader.take() {
            said.push(frame.expect("a frame").kind);
        }
    }
    assert_eq!(said, [Kind::Welcome]);
}

#[test]
fn a_process_with_a_failed_worker_ends_as_soon_as_no_other_one_carries_a_call() {
    let mut process = with_a_failed_worker();
    let mut note = |worker, note: Option<Vec<u8>>| {
        let subject = Subject::Peer { peer: PeerId::new(1, 0) };
        process.notes.apply(worker, Note { subject, note }).expect("it is kept");
        let now = process.looked + COUNTERS_EVERY;
        process.turn(now)
    };
    assert_eq!(note(1, Some(b"a call".to_vec())), None, "it goes on for that");
    assert_eq!(note(0, Some(b"a call that has ended".to_vec())), None);
    assert_eq!(note(1, None), Some(Ended::WorkerLost));
}

#[test]
fn bots_are_not_made_over_the_socket() {
    let lab = Lab::new(HANG);
    let (mut controller, welcome) = lab.in_control();
    let room = controller.room(welcome.first_request);
    let (participant, session) = (ParticipantId(1), Box::new(crate::driver::wire::tests::session()));
    let id = welcome.first_request + 1;
    controller.request(id, Command::CreateBot { room, participant, session });
    assert_eq!(controller.fault().request, Some(id));
    assert!(controller.snapshot(id + 1).peers.is_empty());
}
