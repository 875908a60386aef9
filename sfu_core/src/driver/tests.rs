//! A worker around a stand-in for the engine: which command comes first, what survives a stalled reader or a bug.

use std::net::UdpSocket;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::worker::Parts;
use super::*;
use crate::engine::command::{Command, Refusal, Reply};
use crate::engine::event::Event;
use crate::engine::transmit::{Datagram, Group, Sink, TransmitBatch};
use crate::ids::{RoomId, TrackId};
use crate::units::start;

const REVOKE: Command = Command::Revoke { track: TrackId::new(0, 0), subscriber: PeerId::new(0, 0) };
const ALLOW: Command = Command::Allow { track: TrackId::new(0, 0), subscriber: PeerId::new(0, 0), echo: false };

/// Notes commands, sends datagrams back, tells as many events as it is asked to, and fails when asked to.
#[derive(Default)]
pub(super) struct Stand {
    commands: Arc<Mutex<Vec<Command>>>,
    events: Vec<Event>,
    batch: TransmitBatch,
}

impl Drive for Stand {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], _now: Instant) {
        for datagram in batch {
            let start = self.batch.bytes.len();
            self.batch.bytes.extend_from_slice(datagram.bytes);
            self.batch.groups.push(Group {
                destination: datagram.source,
                source: Some(datagram.destination),
                segment_size: datagram.bytes.len(),
                range: start..self.batch.bytes.len(),
            });
        }
    }
    fn ingest_bot(&mut self, _bot: PeerId, _packet: &[u8], _now: Instant) {}
    fn tick(&mut self, now: Instant) -> Instant {
        now + Duration::from_secs(1)
    }
    fn flush(&mut self, sink: &mut dyn Sink, _now: Instant) {
        let whole = sink.transmit(&self.batch);
        assert_eq!(whole, self.batch.groups.len());
        self.batch.bytes.clear();
        self.batch.groups.clear();
    }
    fn command(&mut self, command: Command, _now: Instant) -> Result<Reply, Refusal> {
        assert!(command != Command::Snapshot, "the bug that was asked for");
        let peer = PeerId::new(0, 0);
        self.events.push(Event::PeerClosed { peer });
        self.commands.lock().expect("not poisoned").push(command);
        Ok(Reply::Done)
    }
    fn drain_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.events);
    }
}

struct Bench {
    worker: Worker<Stand>,
    submit: Submit,
    receiver: EventReceiver,
    commands: Arc<Mutex<Vec<Command>>>,
    stop: Arc<AtomicBool>,
}

/// A worker without a thread, whose turns the test takes.
fn bench(max_events: usize) -> Bench {
    bench_with(max_events, BotRegistry::default(), |_| ())
}

fn bench_with(max_events: usize, registry: BotRegistry, prepare: impl FnOnce(&mut bots::Bots)) -> Bench {
    let bell = || Arc::new(Wake::new().expect("a descriptor"));
    let relays = relays::mesh(1).expect("a descriptor").remove(0);
    let (wake, counters) = (relays.wake(), Arc::<Counters>::default());
    let (submit, commands) = lanes::lanes(Arc::clone(&wake));
    let (sender, receiver) = ring::ring(max_events, bell(), Arc::clone(&wake), Arc::clone(&counters));
    let engine = Stand::default();
    let noted = Arc::clone(&engine.commands);
    let mut bots = bots::Bots::new(registry, Arc::clone(&wake));
    prepare(&mut bots);
    let stop = Arc::<AtomicBool>::default();
    let ports = Vec::new();
    let parts = Parts { engine, ports, commands, sender, bots, relays, wake, counters, stop: Arc::clone(&stop) };
    Bench { worker: Worker::new(parts), submit, receiver, commands: noted, stop }
}

fn ask(bench: &Bench, id: u64, command: Command) {
    bench.submit.submit(Request { id, command }).expect("not busy");
}

#[test]
fn a_revocation_overtakes_a_thousand_queued_commands() {
    let mut bench = bench(16);
    for id in 0..1_000 {
        ask(&bench, id, Command::Stats);
    }
    ask(&bench, 1_000, REVOKE);
    bench.worker.turn(start());
    assert_eq!(bench.commands.lock().expect("not poisoned")[0], REVOKE);
    let mut first = None;
    bench.receiver.pop(1, |_, outgoing| first = Some(outgoing));
    assert_eq!(first, Some(Outgoing::Reply { id: 1_000, reply: Reply::Done }), "and its answer comes first");
}

#[test]
fn nothing_held_back_from_a_bot_is_handed_over_after_a_revocation_is_answered() {
    let (registry, bot) = (BotRegistry::default(), PeerId::new(1, 0));
    let mut bench = bench_with(16, Arc::clone(&registry), |bots| {
        bots.insert(bot, RoomId::new(0, 0)).expect("a descriptor");
        bots.deliver(bot, &[0x80; 12]);
    });
    ask(&bench, 1, REVOKE);
    bench.worker.turn(start());
    let link = registry.lock().expect("not poisoned").get(&bot).cloned().expect("registered");
    assert!(link.drain().is_empty());
}

#[test]
fn a_revocation_works_while_nobody_reads() {
    let mut bench = bench(4);
    for id in 0..5_000 {
        ask(&bench, id, REVOKE);
        bench.worker.turn(start());
    }
    assert_eq!(bench.commands.lock().expect("not poisoned").len(), 5_000);
    let mut replies = 0;
    bench.receiver.pop(usize::MAX, |class, _| replies += usize::from(class == ring::Class::Revocation));
    assert_eq!(replies, 5_000, "no answer is lost");
}

#[test]
fn a_queue_full_of_commands_refuses_commands_but_no_revocation() {
    let bench = bench(4);
    for id in 0..lanes::MAX_COMMANDS as u64 {
        ask(&bench, id, Command::Stats);
    }
    assert_eq!(bench.submit.submit(Request { id: 0, command: Command::Stats }), Err(Busy));
    ask(&bench, 1, REVOKE);
}

#[test]
fn a_grant_that_its_revocation_overtook_is_never_carried_out() {
    let mut bench = bench(16);
    ask(&bench, 1, ALLOW);
    ask(&bench, 2, REVOKE);
    bench.worker.turn(start());
    bench.worker.turn(start());
    assert_eq!(*bench.commands.lock().expect("not poisoned"), [REVOKE]);
    let mut replies = Vec::new();
    bench.receiver.pop(9, |_, outgoing| replies.push(outgoing));
    assert!(replies.contains(&Outgoing::Reply { id: 1, reply: Reply::Done }), "it counts as done and undone");
}

#[test]
fn a_grant_asked_after_a_revocation_is_carried_out_after_it() {
    let mut bench = bench(16);
    ask(&bench, 1, REVOKE);
    ask(&bench, 2, ALLOW);
    bench.worker.turn(start());
    assert_eq!(*bench.commands.lock().expect("not poisoned"), [REVOKE, ALLOW]);
}

#[test]
fn a_turn_carries_out_a_bounded_number_of_commands() {
    let mut bench = bench(16);
    for id in 0..100 {
        ask(&bench, id, Command::Stats);
    }
    assert_eq!(bench.worker.turn(start()), None, "the rest is due at once");
    assert!(bench.commands.lock().expect("not poisoned").len() < 100);
}

fn config() -> DriverConfig {
    DriverConfig { bind: vec![IpAddr::from([127, 0, 0, 1])], workers: 2, ..DriverConfig::default() }
}

/// Waits for the bell, then drains; fails after ten seconds.
fn drain(driver: &Driver) -> Vec<(usize, Outgoing)> {
    let mut poll =
        libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(driver.bell()), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 10_000) }, 1, "the bell rings");
    let mut drained = Vec::new();
    driver.drain(usize::MAX, |worker, outgoing| drained.push((worker, outgoing)));
    drained
}

#[test]
fn a_datagram_passes_through_the_engine_and_back() {
    let driver = Driver::start_with(&config(), |_, _| Stand::default(), || Ok(())).expect("it starts");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    for addresses in driver.addresses() {
        socket.send_to(b"hello", addresses[0]).expect("sent");
        let mut bytes = [0; 16];
        let (length, source) = socket.recv_from(&mut bytes).expect("an answer");
        assert_eq!((&bytes[..length], source), (&b"hello"[..], addresses[0]));
    }
    // The answer to a command says that the turn is over in which the datagram left.
    for worker in 0..driver.workers() {
        driver.submit(worker, Request { id: 1, command: Command::CreateRoom }).expect("not busy");
        while !drain(&driver).iter().any(|(from, told)| *from == worker && matches!(told, Outgoing::Reply { .. })) {}
    }
    for counters in driver.counters() {
        let forwarded = counters.forward_s.counts.iter().sum::<u64>();
        assert_eq!((counters.datagrams_in, counters.datagrams_out, forwarded), (1, 1, 1));
        assert!(counters.forward_s.sum < 10.0);
    }
}

#[test]
fn a_bug_ends_one_worker_and_is_told_while_the_other_goes_on() {
    let driver = Driver::start_with(&config(), |_, _| Stand::default(), || Ok(())).expect("it starts");
    driver.submit(0, Request { id: 1, command: Command::Snapshot }).expect("not busy");
    let told = drain(&driver);
    assert!(matches!(&told[..], [(0, Outgoing::WorkerFailed { reason })] if reason.contains("asked for")));
    driver.submit(0, Request { id: 2, command: Command::CreateRoom }).expect("not busy");
    assert_eq!(drain(&driver), [(0, Outgoing::Refused { id: 2, refusal: Refusal::Unavailable })]);
    driver.submit(1, Request { id: 3, command: Command::CreateRoom }).expect("not busy");
    assert!(drain(&driver).contains(&(1, Outgoing::Reply { id: 3, reply: Reply::Done })));
}

#[test]
fn closing_refuses_what_was_not_carried_out_and_ends_the_threads() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    struct Last(Stand);
    impl Drop for Last {
        fn drop(&mut self) {
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
    }
    impl Drive for Last {
        fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
            self.0.ingest(batch, now);
        }
        fn ingest_bot(&mut self, _bot: PeerId, _packet: &[u8], _now: Instant) {}
        fn tick(&mut self, now: Instant) -> Instant {
            self.0.tick(now)
        }
        fn flush(&mut self, _sink: &mut dyn Sink, _now: Instant) {}
        fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
            self.0.command(command, now)
        }
        fn drain_events(&mut self, _into: &mut Vec<Event>) {}
    }
    let driver = Driver::start_with(&config(), |_, _| Last(Stand::default()), || Ok(())).expect("it starts");
    assert!(driver.close(CLOSE_PATIENCE).is_empty());
    assert_eq!(ENDED.load(Ordering::SeqCst), 2);
    let room = RoomId::new(0, 0);
    assert_eq!(driver.submit(0, Request { id: 1, command: Command::RemoveRoom { room } }), Ok(()), "and then silence");
}

#[test]
fn a_worker_that_hangs_is_left_behind_when_the_driver_closes() {
    struct Hangs(Stand, Arc<Mutex<Receiver<Infallible>>>, mpsc::Sender<()>);
    impl Drive for Hangs {
        fn ingest(&mut self, _batch: &mut [Datagram<'_>], _now: Instant) {}
        fn ingest_bot(&mut self, _bot: PeerId, _packet: &[u8], _now: Instant) {}
        fn tick(&mut self, now: Instant) -> Instant {
            self.0.tick(now)
        }
        fn flush(&mut self, _sink: &mut dyn Sink, _now: Instant) {}
        fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
            if command == Command::CreateRoom {
                self.2.send(()).expect("the test waits");
                let _until_released = self.1.lock().expect("not poisoned").recv();
            }
            self.0.command(command, now)
        }
        fn drain_events(&mut self, _into: &mut Vec<Event>) {}
    }
    let (release, held) = mpsc::channel::<Infallible>();
    let (reached, hanging) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let driver =
        Driver::start_with(&config(), |_, _| Hangs(Stand::default(), Arc::clone(&held), reached.clone()), || Ok(()))
            .expect("it starts");
    driver.submit(0, Request { id: 1, command: Command::CreateRoom }).expect("not busy");
    hanging.recv().expect("the worker hangs");
    assert_eq!(driver.close(Duration::from_millis(50)), [0], "only the one that hangs");
    assert!(driver.close(CLOSE_PATIENCE).is_empty(), "nobody waits for it twice");
    drop(release);
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let none = DriverConfig { workers: 0, ..config() };
    assert!(matches!(Driver::start(&none), Err(StartError::Config(_))));
    let beyond = DriverConfig { port: u16::MAX, ..config() };
    assert!(Driver::start(&beyond).is_err());
}

/// The processors on which the calling thread may run.
fn processors() -> Vec<usize> {
    // SAFETY: `cpu_set_t` is an array of numbers; the call writes within it, and the macro reads within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set), 0);
        (0..libc::CPU_SETSIZE as usize).filter(|processor| libc::CPU_ISSET(*processor, &set)).collect()
    }
}

/// Where a worker ran that was to stay on `processor`, and the warnings that it gave.
fn pinned_to(processor: usize) -> (Vec<usize>, Vec<Warning>) {
    let Bench { mut worker, mut receiver, stop, .. } = bench(16);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let ran = std::thread::spawn(move || {
        worker.run(Some(processor));
        processors()
    });
    let ran = ran.join().expect("no panic");
    let mut warnings = Vec::new();
    receiver.pop(usize::MAX, |_, outgoing| {
        if let Outgoing::Warned { warning } = outgoing {
            warnings.push(warning);
        }
    });
    (ran, warnings)
}

#[test]
fn a_worker_stays_on_its_processor_and_says_so_when_there_is_none_of_that_number() {
    let all = processors();
    for &processor in &all {
        assert_eq!(pinned_to(processor), (vec![processor], vec![]));
    }
    for missing in [libc::CPU_SETSIZE as usize - 1, libc::CPU_SETSIZE as usize] {
        let told = Warning::NotPinned { processor: missing as u64 };
        assert_eq!(pinned_to(missing), (all.clone(), vec![told]));
    }
}
