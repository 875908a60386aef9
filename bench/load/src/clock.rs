//! The clocks: the monotonic one for protocols and pacing, the wall clock for stamps, because the kernel stamps datagrams
//! with it. Nothing else in this crate reads a clock or sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For ICE and DTLS.
    pub(crate) instant: Instant,
    /// Since the program began.
    pub(crate) since_start_ns: u64,
}

/// When the program began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    #[allow(clippy::disallowed_methods)]
    pub(crate) fn now(&self) -> Now {
        let instant = Instant::now();
        Now { instant, since_start_ns: instant.duration_since(self.started).as_nanos() as u64 }
    }

    /// Sleeps until so long after the start; not at all when that is over.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn sleep_until(&self, since_start_ns: u64) {
        let left = since_start_ns.saturating_sub(self.now().since_start_ns);
        if left > 0 {
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// Nanoseconds since 1970: what stamps say.
#[allow(clippy::disallowed_methods)]
pub(crate) fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Puts this thread before all that is measured, as a network that other machines are at the ends of would be: what the
/// server's threads do must not delay what is sent to it. Takes a right that only root has; without it a warning says so.
pub(crate) fn go_first() {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter lives through the call; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) } != 0 {
        eprintln!("bench_load: no priority: {}", std::io::Error::last_os_error());
    }
    sleep_exactly();
}

/// Lets sleeps of this thread end when they should: by default the kernel adds up to 50 µs.
pub(crate) fn sleep_exactly() {
    // SAFETY: this call takes a number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}
