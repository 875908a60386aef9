//! The rim: worker threads around engines, and the only place that reads a clock or draws randomness.
//!
//! One worker has one engine, one UDP port and one thread; workers share nothing. Others reach a worker through the
//! queues of [`lanes`] and hear from it through [`ring`]; `worker` is the loop itself.

pub mod addresses;
mod bell;
pub mod bots;
mod coalescing;
pub mod counters;
#[cfg(any(test, feature = "python"))]
pub mod echo_call;
pub mod lanes;
mod overtaking;
mod places;
mod priority;
pub mod privileges;
pub mod process;
mod relays;
pub mod ring;
pub(crate) mod small_pages;
pub mod udp;
pub mod wake;
pub mod warning;
pub mod wire;
mod worker;

/// What `bell` and `places` are made of; `tests/interleavings` puts loom's in its place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use self::bots::{BotLink, BotRegistry};
use self::counters::{CounterValues, Counters};
use self::lanes::{Busy, Submit};
use self::priority::KernelThread;
use self::ring::{EventReceiver, MAX_EVENTS};
use self::small_pages::SmallPages;
use self::udp::{UdpOptions, UdpPort};
use self::wake::Wake;
use self::warning::Warning;
use self::wire::Outgoing;
use self::worker::Worker;
use crate::engine::command::Request;
use crate::engine::{Engine, EngineConfig};
use crate::ids::PeerId;
use crate::peer::TransportConfig;
use crate::peer::dtls::{DtlsVersions, Identity};
use crate::units::{Bitrate, Epoch, NtpTime};

/// Most workers of one process; each holds some MiB of buffers.
pub const MAX_WORKERS: u16 = 64;
/// How long workers get to end; a turn takes a millisecond, and a worker that takes longer than this hangs.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// What a downlink is taken to carry before anything is known: a camera in 720p.
const INITIAL_BITRATE: Bitrate = Bitrate::kbps(1_500);
/// Seconds from the epoch of NTP (1900) to that of Unix (1970), RFC 5905 figure 4.
const UNIX_EPOCH_IN_NTP_S: u64 = 2_208_988_800;

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverConfig {
    /// The local addresses to bind, at most one unspecified one of each family.
    pub bind: Vec<IpAddr>,
    /// The UDP port of the first worker, the next has the next; 0: any free ones.
    pub port: u16,
    /// The addresses that remotes are told; empty: what is bound, or all of this host.
    pub announce: Vec<IpAddr>,
    /// How many workers.
    pub workers: u16,
    /// Whether the n-th worker stays on the n-th processor.
    pub pin: bool,
    /// `SO_RCVBUF` in bytes.
    pub receive_buffer_bytes: usize,
    /// `SO_SNDBUF` in bytes.
    pub send_buffer_bytes: usize,
    /// Whether the kernel may cut groups and join datagrams.
    pub offload: bool,
    /// The highest version of DTLS that is spoken.
    pub max_dtls_version: DtlsVersions,
    /// Whether media that no AEAD protects is refused.
    pub aead_only: bool,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            bind: vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0_u16; 8])],
            port: 0,
            announce: Vec::new(),
            workers: 1,
            pin: false,
            // 50 ms of 500 Mbit/s, doubled by the kernel.
            receive_buffer_bytes: 4 << 20,
            send_buffer_bytes: 4 << 20,
            offload: true,
            max_dtls_version: DtlsVersions::default(),
            aead_only: false,
        }
    }
}

/// Why the driver did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(&'static str),
    /// An address cannot be bound.
    #[error("cannot bind UDP {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The kernel refused something else.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

#[derive(Debug)]
struct Handle {
    submit: Submit,
    receiver: Mutex<EventReceiver>,
    counters: Arc<Counters>,
    bots: BotRegistry,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<Thread>>,
    addresses: Vec<SocketAddr>,
}

/// The thread of a worker.
#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    kernel: KernelThread,
    /// Disconnected when the thread has ended, which a handle cannot be asked to wait for with a limit.
    ended: Receiver<Infallible>,
}

/// All workers, as those outside see them.
#[derive(Debug)]
pub struct Driver {
    workers: Vec<Handle>,
    bell: Arc<Wake>,
    warnings: Vec<Warning>,
}

impl Driver {
    /// Binds the ports and starts the workers.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(config: &DriverConfig) -> Result<Self, StartError> {
        Self::start_with(config, Engine::new, || Ok(()))
    }

    /// The same, with something done once all ports are bound and before there is any thread: giving up rights.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start_after(config: &DriverConfig, bound: impl FnOnce() -> io::Result<()>) -> Result<Self, StartError> {
        Self::start_with(config, Engine::new, bound)
    }

    fn start_with<E: Drive>(
        config: &DriverConfig,
        make: impl Fn(EngineConfig, Instant) -> E,
        bound: impl FnOnce() -> io::Result<()>,
    ) -> Result<Self, StartError> {
        if config.workers == 0 || config.workers > MAX_WORKERS || config.bind.is_empty() {
            return Err(StartError::Config("there must be 1 to 64 workers and an address to bind"));
        }
        let identity = Identity::generate(config.max_dtls_version).map_err(io::Error::other)?;
        let bell = Arc::new(Wake::new()?);
        let mut warnings = Vec::new();
        let mut driver = Self { workers: Vec::new(), bell, warnings: Vec::new() };
        let ports =
            (0..config.workers).map(|index| bind(config, index, &mut warnings)).collect::<Result<Vec<_>, _>>()?;
        bound()?;
        let _mostly_empty = SmallPages::begin();
        let rings = relays::mesh(config.workers.into())?;
        for (index, parts) in (0..).zip(ports.into_iter().zip(rings)) {
            driver.workers.push(start_worker(config, index, parts, &driver.bell, &identity, &make)?);
        }
        warnings.sort_unstable();
        warnings.dedup();
        driver.warnings = warnings;
        Ok(driver)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Hands a request to a worker. Revocations overtake everything else.
    ///
    /// # Errors
    /// [`Busy`], when too many answers have not been read, or there is no such worker.
    pub fn submit(&self, worker: usize, request: Request) -> Result<(), Busy> {
        self.workers.get(worker).ok_or(Busy)?.submit.submit(request)
    }

    /// Takes out up to `most` replies and events of each worker.
    pub fn drain(&self, most: usize, mut take: impl FnMut(usize, Outgoing)) {
        self.bell.lower();
        let mut more = false;
        for (index, worker) in self.workers.iter().enumerate() {
            let mut receiver = worker.receiver.lock().unwrap_or_else(PoisonError::into_inner);
            more |= receiver.pop(most, |class, outgoing| {
                worker.submit.answered(class);
                take(index, outgoing);
            });
        }
        if more {
            self.bell.raise();
        }
    }

    /// Rings while there is something to drain.
    pub fn bell(&self) -> &Wake {
        &self.bell
    }

    /// The ring of a bot, from the reply that it was made until it is removed.
    pub fn bot(&self, worker: usize, peer: PeerId) -> Option<Arc<BotLink>> {
        self.workers.get(worker)?.bots.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned()
    }

    /// The figures of every worker's rim.
    pub fn counters(&self) -> Vec<CounterValues> {
        self.workers.iter().map(|worker| worker.counters.values()).collect()
    }

    /// The addresses that remotes are told, worker by worker.
    pub fn addresses(&self) -> Vec<Vec<SocketAddr>> {
        self.workers.iter().map(|worker| worker.addresses.clone()).collect()
    }

    /// The threads of those workers that have not been closed.
    fn threads(&self) -> Vec<KernelThread> {
        let of = |worker: &Handle| {
            let thread = worker.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.as_ref().map(|thread| thread.kernel)
        };
        self.workers.iter().filter_map(of).collect()
    }

    /// What the system did not grant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Ends all workers and waits for them, all together for `patience`. Commands that were not carried out are refused.
    /// Returns the workers that did not end: they hang, and are left behind.
    #[allow(clippy::disallowed_methods)]
    pub fn close(&self, patience: Duration) -> Vec<usize> {
        let deadline = Instant::now() + patience;
        for worker in &self.workers {
            worker.stop.store(true, Ordering::Release);
            worker.wake.raise();
        }
        let mut left_behind = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            let thread = worker.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Thread { handle, ended, .. }) = thread else { continue };
            let rest = deadline.saturating_duration_since(Instant::now());
            match ended.recv_timeout(rest) {
                Err(RecvTimeoutError::Timeout) => left_behind.push(index),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ended_by_panic = handle.join().is_err();
                }
            }
        }
        left_behind
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.close(CLOSE_PATIENCE);
    }
}

use self::worker::Drive;

/// Binds the addresses of one worker to one port number.
fn bind(config: &DriverConfig, index: u16, warnings: &mut Vec<Warning>) -> Result<Vec<UdpPort>, StartError> {
    let options = UdpOptions {
        receive_buffer: config.receive_buffer_bytes,
        send_buffer: config.send_buffer_bytes,
        offload: config.offload,
    };
    let mut number = match config.port {
        0 => 0,
        first => first.checked_add(index).ok_or(StartError::Config("the ports of the workers go beyond 65535"))?,
    };
    let mut ports: Vec<UdpPort> = Vec::new();
    for &ip in &config.bind {
        let address = SocketAddr::new(ip, number);
        match UdpPort::bind(address, options, warnings) {
            Ok(port) => {
                number = port.local().port();
                ports.push(port);
            }
            // A host without IPv6 (or IPv4) is normal as long as the other family works.
            Err(error) if config.bind.len() > 1 && ip.is_unspecified() && is_family_missing(&error) => {
                warnings.push(Warning::FamilyMissing { ip_version: if ip.is_ipv4() { 4 } else { 6 } });
            }
            Err(error) => return Err(StartError::Bind { address, error }),
        }
    }
    if ports.is_empty() {
        return Err(StartError::Config("none of the addresses can be bound"));
    }
    Ok(ports)
}

fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// What remotes are told.
fn candidates(config: &DriverConfig, ports: &[UdpPort]) -> io::Result<Vec<SocketAddr>> {
    let number = ports[0].local().port();
    let bound = |v4: bool| ports.iter().any(|port| port.local().is_ipv4() == v4);
    let mut addresses: Vec<IpAddr> = config.announce.clone();
    if addresses.is_empty() {
        addresses.extend(ports.iter().map(|port| port.local().ip()).filter(|ip| !ip.is_unspecified()));
    }
    if addresses.is_empty() {
        addresses = addresses::of_this_host()?;
    }
    Ok(addresses.into_iter().filter(|ip| bound(ip.is_ipv4())).map(|ip| SocketAddr::new(ip, number)).collect())
}

/// The only place where an engine gets its clock and its randomness.
#[allow(clippy::disallowed_methods)]
fn engine_config(
    config: &DriverConfig,
    identity: &Identity,
    candidates: Vec<SocketAddr>,
) -> io::Result<(EngineConfig, Instant)> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("no randomness"))?;
    let now = Instant::now();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = Epoch { instant: now, ntp: NtpTime(UNIX_EPOCH_IN_NTP_S << 32).plus(unix) };
    let (identity, aead_only) = (identity.clone(), config.aead_only);
    let transport = TransportConfig { identity, candidates, check_signalled: false, aead_only };
    Ok((EngineConfig { transport, epoch, seed, initial_bitrate: INITIAL_BITRATE }, now))
}

fn start_worker<E: Drive>(
    config: &DriverConfig,
    index: u16,
    (ports, relays): (Vec<UdpPort>, relays::Relays),
    bell: &Arc<Wake>,
    identity: &Identity,
    make: &impl Fn(EngineConfig, Instant) -> E,
) -> Result<Handle, StartError> {
    let addresses = candidates(config, &ports)?;
    let (engine_config, now) = engine_config(config, identity, addresses.clone())?;
    let engine = make(engine_config, now);
    let wake = relays.wake();
    let counters = Arc::new(Counters::default());
    let bots = BotRegistry::default();
    let stop = Arc::new(AtomicBool::new(false));
    let (submit, commands) = lanes::lanes(Arc::clone(&wake));
    let (sender, receiver) = ring::ring(MAX_EVENTS, Arc::clone(bell), Arc::clone(&wake), Arc::clone(&counters));
    let mut worker = Worker::new(worker::Parts {
        engine,
        ports,
        commands,
        sender,
        bots: bots::Bots::new(Arc::clone(&bots), Arc::clone(&wake)),
        relays,
        wake: Arc::clone(&wake),
        counters: Arc::clone(&counters),
        stop: Arc::clone(&stop),
    });
    let pin = config.pin.then_some(usize::from(index));
    let (alive, ended) = mpsc::channel();
    let (introduce, introduced) = mpsc::channel();
    let handle = std::thread::Builder::new().name(format!("sfu-{index}")).spawn(move || {
        let _nobody_listens = introduce.send(KernelThread::current());
        worker.run(pin);
        drop(worker);
        drop(alive);
    })?;
    let kernel = introduced.recv().map_err(io::Error::other)?;
    let thread = Thread { handle, kernel, ended };
    let receiver = Mutex::new(receiver);
    Ok(Handle { submit, receiver, counters, bots, wake, stop, thread: Mutex::new(Some(thread)), addresses })
}
