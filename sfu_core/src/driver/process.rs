//! The media process: an engine that is controlled over a Unix socket, and outlives who controls it.
//!
//! One controller at a time. It says [`Hello`] with the configuration; the first one starts the engine, later ones find what
//! runs, with the notes that were left about it. The thread of this loop is no worker's: a controller that is slow, stalled or
//! gone costs no packet anything. While nobody reads, the workers' rings fill, and overflow as they do in process: whoever
//! comes takes a snapshot.

pub mod connection;
pub mod frame;
mod health;
mod messages;
pub mod notes;
pub mod orders;
pub mod panics;
mod realtime;
pub mod watchdog;

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use socket2::SockRef;

use self::connection::Connection;
use self::frame::{Frame, Kind};
use self::health::Health;
pub use self::messages::{Fault, FaultKind, Hello, PROTOCOL, Welcome};
use self::notes::Notes;
use self::orders::{Order, Orders, ends_other_version, fault, read_hello};
use self::realtime::RealTime;
use self::watchdog::Watchdog;
use super::lanes::MAX_OUTSTANDING;
use super::priority::{begin_in_real_time, wait_in_turn};
use super::privileges::{Dropped, User, drop_privileges};
use super::ring::MAX_EVENTS;
use super::wire::encode;
use super::{CLOSE_PATIENCE, Driver, DriverConfig};

/// Most connections that have not said who they are.
pub const MAX_STRANGERS: usize = 4;
/// Bytes that wait for a controller, above which nothing more is taken out of the workers' rings: what a socket holds.
const ENOUGH_WAITING: usize = 256 << 10;
/// Most replaced controllers that have not read yet that they are.
const MAX_REPLACED: usize = 4;
/// Most bytes that wait for a controller that does not read and sends what is answered with faults: beyond it is hung up.
const MAX_UNREAD: usize = 16 << 20;
/// Most turns in which a controller that has been replaced is still heard: a socket holds far less than one turn reads.
const MAX_LAST_TURNS: usize = 4;
/// Most messages of each worker that are taken out in one turn.
const MAX_DRAIN: usize = 256;
/// Connections that the kernel keeps until they are looked at.
const BACKLOG: libc::c_int = 8;
/// How often the controller and the supervisor hear that this goes round: a few times within what it takes to call it stalled.
const COUNTERS_EVERY: Duration = Duration::from_millis(250);

/// How the process runs.
#[derive(Debug)]
pub struct ProcessOptions {
    /// How long the engine goes on with nobody in control, until a controller says otherwise. Calls go on meanwhile; after that
    /// they end, because nobody could end them otherwise.
    pub orphan_limit: Duration,
    /// What is given up once the ports are bound.
    pub privileges: Privileges,
    /// Whoever ends this process when it no longer goes round, besides a controller.
    pub watchdog: Watchdog,
}

/// What a process keeps of the rights that it was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// All; for tests, whose process does more than this.
    Keep,
    /// None but those of a user: the given one, or whoever started it.
    Drop(Option<User>),
}

/// The engine, once it runs.
struct Running {
    driver: Driver,
    /// Ends before the driver does.
    real_time: Option<RealTime>,
    config: DriverConfig,
    dropped: Dropped,
    instance: u64,
    health: Health,
}

/// The loop's state.
struct Process {
    options: ProcessOptions,
    listener: UnixListener,
    running: Option<Running>,
    notes: Notes,
    controller: Option<Connection>,
    /// Those before, until they have read so, the oldest first. Nothing they say counts any more.
    replaced: Vec<Connection>,
    strangers: Vec<Connection>,
    orders: Orders,
    /// Since when nobody is in control.
    alone_since: Option<Instant>,
    looked: Instant,
    stop: bool,
}

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A controller wished it, or none has ever come.
    Stopped,
    /// Nobody was in control for too long after somebody had been.
    Orphaned,
    /// A worker failed or hangs, and no other one carries a call: whoever starts the process anew has all of them again.
    WorkerLost,
}

/// Runs until a controller ends it, or none has come for too long.
///
/// # Errors
/// When the kernel refuses what no server can do without.
#[allow(clippy::disallowed_methods)]
pub fn run(listener: UnixListener, options: ProcessOptions) -> io::Result<Ended> {
    listener.set_nonblocking(true)?;
    // Whoever connects from here on learns from the kernel which process this is, rather than who has made the socket.
    SockRef::from(&listener).listen(BACKLOG)?;
    let mut process = Process::new(listener, options, Instant::now());
    loop {
        process.wait(Instant::now())?;
        if let Some(ended) = process.turn(Instant::now()) {
            return Ok(ended);
        }
    }
}

impl Process {
    fn new(listener: UnixListener, options: ProcessOptions, now: Instant) -> Self {
        Self {
            options,
            listener,
            running: None,
            notes: Notes::default(),
            controller: None,
            replaced: Vec::new(),
            strangers: Vec::new(),
            orders: Orders::default(),
            alone_since: Some(now),
            looked: now,
            stop: false,
        }
    }

    /// Sleeps until something can be done.
    fn wait(&self, now: Instant) -> io::Result<()> {
        let mut fds = vec![libc::pollfd { fd: self.listener.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        fds.extend(self.controller.iter().chain(&self.strangers).map(Connection::watched));
        fds.extend(self.replaced.iter().map(|before| libc::pollfd { events: libc::POLLOUT, ..before.watched() }));
        let listens = self.controller.as_ref().is_none_or(|controller| controller.waiting() < ENOUGH_WAITING);
        if let Some(running) = self.running.as_ref().filter(|_| listens) {
            fds.push(libc::pollfd { fd: running.driver.bell().as_raw_fd(), events: libc::POLLIN, revents: 0 });
        }
        let rest = COUNTERS_EVERY.saturating_sub(now.saturating_duration_since(self.looked));
        let millis = rest.as_millis().max(1) as libc::c_int;
        // SAFETY: the array is as long as said.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
        let error = io::Error::last_os_error();
        if ready < 0 && error.kind() != io::ErrorKind::Interrupted { Err(error) } else { Ok(()) }
    }

    fn turn(&mut self, now: Instant) -> Option<Ended> {
        self.accept();
        self.hear_strangers();
        self.hear_controller();
        self.tell_notes();
        self.drain();
        let is_worker_lost = self.look(now);
        self.replaced.retain_mut(|before| before.flush() && before.waiting() > 0);
        if self.controller.as_mut().is_some_and(|controller| !controller.flush()) {
            self.part();
        }
        if self.stop {
            return Some(self.end(Ended::Stopped));
        }
        if is_worker_lost {
            return Some(self.end(Ended::WorkerLost));
        }
        if self.controller.is_some() {
            self.alone_since = None;
            return None;
        }
        let alone = now.saturating_duration_since(*self.alone_since.get_or_insert(now));
        // Where nobody has ever come, nothing ends.
        let ended = if self.running.is_some() { Ended::Orphaned } else { Ended::Stopped };
        (alone >= self.options.orphan_limit).then(|| self.end(ended))
    }

    fn end(&mut self, ended: Ended) -> Ended {
        // One that is lost has had its time, and those beside it carry nothing.
        let patience = if ended == Ended::WorkerLost { Duration::ZERO } else { CLOSE_PATIENCE };
        let hanging = self.running.take().map_or_else(Vec::new, |running| {
            drop(running.real_time);
            running.driver.close(patience)
        });
        if let Some(controller) = &mut self.controller {
            controller.push(Kind::Stopped, 0, &encode(&hanging));
            controller.flush();
        }
        ended
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.strangers.len() >= MAX_STRANGERS {
                self.strangers.remove(0);
            }
            self.strangers.extend(Connection::new(stream));
        }
    }

    /// Waits for the first word of those who have come.
    fn hear_strangers(&mut self) {
        let mut index = 0;
        while index < self.strangers.len() {
            let mut hello = None;
            let mut ends = false;
            let alive = self.strangers[index].hear(1, |frame| {
                ends = frame.as_ref().is_ok_and(ends_other_version);
                hello = Some(read_hello(frame));
            });
            self.stop |= ends;
            match hello {
                Some(hello) => {
                    let stranger = self.strangers.remove(index);
                    self.welcome(stranger, hello);
                }
                None if alive => index += 1,
                None => drop(self.strangers.remove(index)),
            }
        }
    }

    /// Puts a stranger in control, or tells it why not.
    fn welcome(&mut self, mut stranger: Connection, hello: Result<Hello, Fault>) {
        let allowed = hello.and_then(|hello| self.may_control(&hello).map(|()| hello));
        let started = allowed.and_then(|hello| self.start(&hello.config).map(|resumed| (resumed, hello)));
        let (resumed, hello) = match started {
            Ok(started) => started,
            Err(fault) => {
                stranger.push(Kind::Fault, 0, &encode(&fault));
                stranger.flush();
                if self.stop {
                    // Hung up last: whoever waits for that finds the ports free.
                    self.strangers.push(stranger);
                }
                return;
            }
        };
        if let Some(mut before) = self.part() {
            // It may have read nothing for long. Hung up on before it knows, it would come back and take control.
            before.push(Kind::Replaced, 0, &[]);
            if self.replaced.len() >= MAX_REPLACED {
                self.replaced.remove(0);
            }
            self.replaced.push(before);
        }
        let Some(running) = &self.running else { return };
        // What waits is older than the snapshot that is taken next. Told first, it would make that late, and whatever a worker
        // carries that is late with it ends.
        running.driver.drain(MAX_OUTSTANDING + MAX_EVENTS, |_, _| {});
        let text = |worker: Vec<std::net::SocketAddr>| worker.iter().map(ToString::to_string).collect();
        let welcome = Welcome {
            resumed,
            as_configured: running.config == hello.config,
            instance: running.instance,
            first_request: self.orders.begin_anew(),
            addresses: running.driver.addresses().into_iter().map(text).collect(),
            warnings: running.driver.warnings().to_vec(),
            dropped: running.dropped,
            counters: running.driver.counters(),
            notes: self.notes.count() as u64,
        };
        stranger.push(Kind::Welcome, 0, &encode(&welcome));
        stranger.tell_notes_from_the_first();
        if let Some(limit) = hello.orphan_limit_ms {
            self.options.orphan_limit = Duration::from_millis(limit);
        }
        self.controller = Some(stranger);
    }

    /// Whether the latest one is to be in control, as it is unless it only comes back.
    fn may_control(&self, hello: &Hello) -> Result<(), Fault> {
        if hello.reclaims && self.controller.is_some() {
            return Err(fault(FaultKind::Replaced, "another process has taken control of the media process", None));
        }
        Ok(())
    }

    /// Starts the engine unless it runs; says whether it did.
    #[allow(clippy::disallowed_methods)]
    fn start(&mut self, config: &DriverConfig) -> Result<bool, Fault> {
        if self.running.is_some() {
            return Ok(true);
        }
        let (mut dropped, privileges) = (Dropped::default(), self.options.privileges);
        let started = Driver::start_after(config, || {
            if let Privileges::Drop(user) = privileges {
                begin_in_real_time();
                dropped = drop_privileges(user)?;
            }
            Ok(())
        });
        let started = started.map_err(|error| fault(FaultKind::Start, error, None)).and_then(|driver| {
            // A process that keeps its rights does more than this, and what else it does would never have its turn.
            let real_time = (privileges != Privileges::Keep).then(|| RealTime::begin(driver.threads())).transpose();
            Ok((driver, real_time.map_err(|error| fault(FaultKind::Start, error, None))?))
        });
        if privileges != Privileges::Keep {
            wait_in_turn();
        }
        let (driver, real_time) = started?;
        let mut instance = [0; 8];
        aws_lc_rs::rand::fill(&mut instance).map_err(|error| fault(FaultKind::Start, error, None))?;
        let (config, instance) = (config.clone(), u64::from_be_bytes(instance));
        self.running = Some(Running { driver, real_time, config, dropped, instance, health: Health::default() });
        Ok(false)
    }

    /// Ends with a controller. What it has sent is carried out first: there may be a right among it that it took away before it
    /// died.
    fn part(&mut self) -> Option<Connection> {
        for _ in 0..MAX_LAST_TURNS {
            match &self.controller {
                Some(controller) if controller.has_more() => self.hear_controller(),
                _ => break,
            }
        }
        self.controller.take()
    }

    fn hear_controller(&mut self) {
        let Some(mut controller) = self.controller.take() else { return };
        let mut faults = Vec::new();
        let alive = controller.hear(usize::MAX, |frame| {
            let worker = frame.as_ref().map_or(0, |frame| frame.worker);
            faults.extend(self.take(frame).err().map(|fault| (worker, fault)));
        });
        let faulty = !faults.is_empty();
        for (worker, fault) in faults {
            controller.push(Kind::Fault, worker, &encode(&fault));
        }
        // Nobody who reads leaves so much.
        let hears = !faulty || controller.waiting() <= MAX_UNREAD;
        self.controller = (alive && hears).then_some(controller);
    }

    /// Carries out what a controller sent.
    fn take(&mut self, frame: Result<Frame<'_>, frame::FrameError>) -> Result<(), Fault> {
        let Some(running) = &self.running else { return Ok(()) };
        match self.orders.read(frame, running.config.workers)? {
            Order::Submit { worker, request } => {
                let id = request.id;
                let busy = |error| fault(FaultKind::Request, error, Some(id));
                running.driver.submit(usize::from(worker), request).map_err(busy)
            }
            Order::Keep { worker, note } => {
                self.notes.apply(worker, note).map_err(|error| fault(FaultKind::Note, error, None))
            }
            Order::Stop => {
                self.stop = true;
                Ok(())
            }
        }
    }

    fn tell_notes(&mut self) {
        let Some(controller) = &mut self.controller else { return };
        controller.tell_notes(&self.notes, ENOUGH_WAITING);
    }

    /// Hands on what the workers say. To nobody where there is nobody: a snapshot tells a successor more than what is old.
    fn drain(&mut self) {
        let Some(running) = &self.running else { return };
        let orders = &self.orders;
        match &mut self.controller {
            Some(controller) if controller.waiting() >= ENOUGH_WAITING => {}
            Some(controller) => running.driver.drain(MAX_DRAIN, |worker, outgoing| {
                if !orders.is_older(&outgoing) {
                    controller.push(Kind::Outgoing, worker as u16, &encode(&outgoing));
                }
            }),
            None => running.driver.drain(MAX_DRAIN, |_, _| {}),
        }
    }

    /// Tells, now and then, that this goes round; says whether a worker is lost and nothing is lost with the others.
    fn look(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.looked) < COUNTERS_EVERY {
            return false;
        }
        self.looked = now;
        self.options.watchdog.pat();
        let Some(running) = &mut self.running else { return false };
        let counters = running.driver.counters();
        let lost = running.health.look(&counters, now);
        if let Some(controller) = self.controller.as_mut().filter(|controller| controller.waiting() < ENOUGH_WAITING) {
            controller.push(Kind::Counters, 0, &encode(&counters));
        }
        !lost.is_empty() && !self.notes.workers_with_peers().any(|worker| !lost.contains(&worker))
    }
}

#[cfg(test)]
#[path = "process/tests.rs"]
mod tests;
