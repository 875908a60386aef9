//! The compiled module `pysfu._core`: conversions between Python and the driver, and no decisions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::driver::bots::BotLink;
use crate::driver::echo_call::{EchoCaller, EchoOutcome};
use crate::driver::privileges::User;
use crate::driver::process::frame::Kind;
use crate::driver::process::watchdog::Watchdog;
use crate::driver::process::{self, Ended, Privileges, ProcessOptions};
use crate::driver::small_pages::SmallPages;
use crate::driver::wire::{decode, encode};
use crate::driver::{CLOSE_PATIENCE, Driver, DriverConfig, StartError, lanes};
use crate::engine::command::Request;
use crate::ids::{PeerId, Ssrc};
use crate::sdp;
use crate::session::NegotiatedSession;

/// The memory of all Rust in this module. Hundreds of small rooms touch little of much memory: in pages of 4 KiB the processor
/// cannot keep their addresses, and looks up each anew. This allocator asks the kernel for huge pages, and keeps what is of
/// one size together. `bench/forwarding` measures with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most messages of one worker per call of `drain`, so that the event loop comes round.
const MAX_DRAIN: usize = 1_024;

fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The workers.
#[pyclass(frozen, module = "pysfu._core")]
struct Core {
    driver: Driver,
}

#[pymethods]
impl Core {
    #[new]
    fn new(py: Python<'_>, config: &[u8]) -> PyResult<Self> {
        let config: DriverConfig = decode(config).map_err(invalid)?;
        let driver = py.detach(|| Driver::start(&config)).map_err(|error| match error {
            StartError::Config(_) => invalid(error),
            StartError::Bind { .. } | StartError::System(_) => PyOSError::new_err(error.to_string()),
        })?;
        Ok(Self { driver })
    }

    /// Hands a request to a worker; False when too many wait for an answer.
    fn submit(&self, worker: usize, request: &[u8]) -> PyResult<bool> {
        let request: Request = decode(request).map_err(invalid)?;
        Ok(self.driver.submit(worker, request).is_ok())
    }

    /// Takes out replies and events, each with its worker.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<(usize, Bound<'py, PyBytes>)> {
        let drained = py.detach(|| {
            let mut drained = Vec::new();
            self.driver.drain(MAX_DRAIN, |worker, outgoing| drained.push((worker, encode(&outgoing))));
            drained
        });
        drained.into_iter().map(|(worker, bytes)| (worker, PyBytes::new(py, &bytes))).collect()
    }

    /// The ring of a bot.
    fn bot(&self, worker: usize, peer: u64) -> PyResult<BotRing> {
        let peer = PeerId::new(peer as u32, (peer >> 32) as u32);
        let link = self.driver.bot(worker, peer).ok_or_else(|| PyRuntimeError::new_err("there is no such bot"))?;
        Ok(BotRing { link })
    }

    /// Every worker's counters.
    fn counters<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &encode(&self.driver.counters()))
    }

    /// Ends the workers and waits for them a while; returns those that hang and were left behind.
    fn close(&self, py: Python<'_>) -> Vec<usize> {
        py.detach(|| self.driver.close(CLOSE_PATIENCE))
    }

    /// Readable while there is something to drain.
    #[getter]
    fn event_fd(&self) -> i32 {
        self.driver.bell().as_raw_fd()
    }

    /// How many workers there are.
    #[getter]
    fn workers(&self) -> usize {
        self.driver.workers()
    }

    /// The addresses that remotes are told, as `host:port`, worker by worker.
    #[getter]
    fn addresses(&self) -> Vec<Vec<String>> {
        let text = |worker: Vec<std::net::SocketAddr>| worker.iter().map(ToString::to_string).collect();
        self.driver.addresses().into_iter().map(text).collect()
    }

    /// What the system did not grant.
    #[getter]
    fn warnings<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &encode(&self.driver.warnings()))
    }
}

/// The two packet rings of a bot.
#[pyclass(frozen, module = "pysfu._core")]
struct BotRing {
    link: Arc<BotLink>,
}

#[pymethods]
impl BotRing {
    /// Sends a clear RTP packet into the engine; False when it is too large.
    fn send(&self, packet: &[u8]) -> bool {
        self.link.send(packet)
    }

    /// Takes out the clear RTP packets that came.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let packets = py.detach(|| self.link.drain());
        packets.iter().map(|packet| PyBytes::new(py, packet)).collect()
    }

    /// Drops what waits of one sender.
    fn discard(&self, py: Python<'_>, ssrc: u32) {
        py.detach(|| self.link.discard(Ssrc(ssrc)));
    }

    /// Readable while there are packets.
    #[getter]
    fn fd(&self) -> i32 {
        self.link.bell().as_raw_fd()
    }
}

/// The end that makes a test call.
#[pyclass(frozen, module = "pysfu._core", name = "EchoCaller")]
struct PyEchoCaller {
    caller: EchoCaller,
}

#[pymethods]
impl PyEchoCaller {
    #[new]
    fn new(max_dtls_version: &[u8]) -> PyResult<Self> {
        Ok(Self { caller: EchoCaller::new(decode(max_dtls_version).map_err(invalid)?)? })
    }

    /// What the offer must say of this end.
    #[getter]
    fn local<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &encode(self.caller.local()))
    }

    /// Calls an address, `host:port`, which answered with `session`; blocks for at most `limit_s`.
    fn call<'py>(&self, py: Python<'py>, target: &str, session: &[u8], limit_s: f64) -> PyResult<Bound<'py, PyBytes>> {
        let target: SocketAddr = target.parse().map_err(invalid)?;
        let session: NegotiatedSession = decode(session).map_err(invalid)?;
        let limit = Duration::try_from_secs_f64(limit_s).map_err(invalid)?;
        let outcome = py.detach(|| self.caller.call(target, &session, limit));
        Ok(PyBytes::new(py, &encode(&outcome)))
    }
}

/// Answers an offer: the answer, the negotiated session and where each track was placed.
#[pyfunction]
fn answer<'py>(py: Python<'py>, offer: &str, plan: &[u8]) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let plan: sdp::AnswerPlan = decode(plan).map_err(invalid)?;
    let answered = py.detach(|| sdp::answer(offer, &plan)).map_err(invalid)?;
    let bytes = encode(&answered);
    Ok((answered.sdp, PyBytes::new(py, &bytes)))
}

/// Makes an offer: its text, and what `accept` needs.
#[pyfunction]
fn offer<'py>(py: Python<'py>, plan: &[u8]) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let plan: sdp::OfferPlan = decode(plan).map_err(invalid)?;
    let offered = py.detach(|| sdp::offer(&plan)).map_err(invalid)?;
    Ok((offered.sdp, PyBytes::new(py, &encode(&offered.pending))))
}

/// Takes the answer to an offer: the negotiated session.
#[pyfunction]
fn accept<'py>(py: Python<'py>, pending: &[u8], answer: &str) -> PyResult<Bound<'py, PyBytes>> {
    let pending: sdp::PendingOffer = decode(pending).map_err(invalid)?;
    let session = py.detach(|| sdp::accept(&pending, answer)).map_err(invalid)?;
    Ok(PyBytes::new(py, &encode(&session)))
}

/// Runs the media process on a listening Unix socket, given by its descriptor; blocks until it ends, and says why it did. Whoever
/// listens at `watchdog` is told all the while that it goes round.
#[pyfunction]
fn serve_media(
    py: Python<'_>,
    fd: i32,
    orphan_limit_s: f64,
    user: Option<(u32, u32)>,
    watchdog: Option<OsString>,
) -> PyResult<&'static str> {
    let orphan_limit = Duration::try_from_secs_f64(orphan_limit_s).map_err(invalid)?;
    let user = user.map(|(uid, gid)| User { uid, gid });
    let watchdog = watchdog.map_or_else(|| Ok(Watchdog::default()), |address| Watchdog::at(&address))?;
    let options = ProcessOptions { orphan_limit, privileges: Privileges::Drop(user), watchdog };
    process::panics::write_as_lines();
    // SAFETY: whoever starts this process hands the descriptor over to it, and to nobody else.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(match py.detach(|| process::run(listener, options))? {
        Ended::Stopped => "stopped",
        Ended::Orphaned => "orphaned",
        Ended::WorkerLost => "worker_lost",
    })
}

/// The kinds of frames of the control socket: their numbers by name.
#[pyfunction]
fn frame_kinds() -> BTreeMap<String, u8> {
    Kind::ALL.into_iter().map(|kind| (format!("{kind:?}").to_lowercase(), kind as u8)).collect()
}

/// Whether a request takes a right away, for which each worker has a lane of its own.
#[pyfunction]
fn is_revocation(request: &[u8]) -> PyResult<bool> {
    Ok(decode::<Request>(request).map_err(invalid)?.command.is_revocation())
}

/// Reads and writes one message: for the test that both languages mean the same.
#[pyfunction]
fn round_trip<'py>(py: Python<'py>, kind: &str, message: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = match kind {
        "request" => encode(&decode::<Request>(message).map_err(invalid)?),
        "outgoing" => encode(&decode::<crate::driver::wire::Outgoing>(message).map_err(invalid)?),
        "answer_plan" => encode(&decode::<sdp::AnswerPlan>(message).map_err(invalid)?),
        "offer_plan" => encode(&decode::<sdp::OfferPlan>(message).map_err(invalid)?),
        "echo_outcome" => encode(&decode::<EchoOutcome>(message).map_err(invalid)?),
        "hello" => encode(&decode::<process::Hello>(message).map_err(invalid)?),
        "welcome" => encode(&decode::<process::Welcome>(message).map_err(invalid)?),
        "fault" => encode(&decode::<process::Fault>(message).map_err(invalid)?),
        "note" => encode(&decode::<process::notes::Note>(message).map_err(invalid)?),
        "config" => encode(&decode::<DriverConfig>(message).map_err(invalid)?),
        _ => return Err(invalid("no such kind of message")),
    };
    Ok(PyBytes::new(py, &bytes))
}

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Here the allocator takes its first memory: as little of it is used as of what the engine makes at its start.
    let _mostly_empty = SmallPages::begin();
    module.add_class::<BotRing>()?;
    module.add_class::<Core>()?;
    module.add_class::<PyEchoCaller>()?;
    module.add_function(wrap_pyfunction!(accept, module)?)?;
    module.add_function(wrap_pyfunction!(answer, module)?)?;
    module.add_function(wrap_pyfunction!(frame_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(is_revocation, module)?)?;
    module.add_function(wrap_pyfunction!(offer, module)?)?;
    module.add_function(wrap_pyfunction!(round_trip, module)?)?;
    module.add_function(wrap_pyfunction!(serve_media, module)?)?;
    // What whoever controls a media process must know of it.
    module.add("MAX_COMMANDS", lanes::MAX_COMMANDS)?;
    module.add("MAX_PAYLOAD", process::frame::MAX_PAYLOAD)?;
    module.add("MAX_REVOCATIONS", lanes::MAX_REVOCATIONS)?;
    module.add("PROTOCOL", process::PROTOCOL)
}
