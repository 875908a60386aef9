//! How the scheduler of the kernel treats what carries media (`sched(7)`, `sched_setattr(2)`, `setrlimit(2)`).

use std::time::Duration;

/// Before most others: what is behind in media is heard, what is behind in anything else is not.
const NICENESS: libc::c_int = -10;
/// What a thread asks the scheduler for at a time, in nanoseconds: the least there is, a few turns of a worker. Whoever asks for less
/// than the one that runs need not wait until that one has had all of its own, 3 ms (Linux 6.12, EEVDF).
const SLICE_NS: u64 = 100_000;
/// The highest level that a thread of this process may take, of 99: the lowest two are enough to come before all that have none.
pub(super) const HIGHEST_LEVEL: u32 = 2;
/// How long a thread may go on in real time without waiting for anything, in microseconds, before the kernel ends the process
/// (`RLIMIT_RTTIME`). It is the last resort, and four times what it takes to be seen otherwise.
const REAL_TIME_LIMIT_US: libc::rlim_t = 1_000_000;

/// When a thread runs that could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduling {
    /// In turn with everybody else, by niceness and slice (`SCHED_OTHER`).
    Fair,
    /// At once, whoever else runs there that is of no such level or a lower one (`SCHED_RR`).
    RealTime(u32),
}

/// A thread, as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelThread {
    id: libc::pid_t,
    clock: libc::clockid_t,
}

impl KernelThread {
    /// The one that calls.
    pub(super) fn current() -> Self {
        let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: a thread may always ask for itself; the number that is written to lives through the call. A refusal leaves the
        // clock of whoever reads it, who uses little.
        let id = unsafe {
            let _refused = libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock);
            libc::gettid()
        };
        Self { id, clock }
    }

    /// Has it scheduled so; says whether the kernel does.
    pub(super) fn schedule(self, scheduling: Scheduling) -> bool {
        let (policy, level) = match scheduling {
            Scheduling::Fair => (libc::SCHED_OTHER, 0),
            Scheduling::RealTime(level) => (libc::SCHED_RR, level),
        };
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: policy as u32,
            sched_flags: 0,
            // All is said in one call; the niceness is the one that the thread has by now, whoever gave it.
            // SAFETY: only numbers are passed.
            sched_nice: unsafe { libc::getpriority(libc::PRIO_PROCESS, self.id.unsigned_abs()) },
            sched_priority: level,
            sched_runtime: if scheduling == Scheduling::Fair { SLICE_NS } else { 0 },
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the structure lives through the call and says how large it is; the flags are 0.
        unsafe { libc::syscall(libc::SYS_sched_setattr, self.id, &raw const attributes, 0) == 0 }
    }

    /// How long it has run since it began; nothing for one that has ended.
    pub(super) fn ran_for(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: what is written to lives through the call.
        let _ended = unsafe { libc::clock_gettime(self.clock, &raw mut time) };
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
    }

    /// How it is scheduled (`SCHED_OTHER`, `SCHED_RR`).
    #[cfg(test)]
    pub(super) fn policy(self) -> libc::c_int {
        // SAFETY: only a number is passed.
        unsafe { libc::sched_getscheduler(self.id) }
    }
}

/// Has this thread wake when it asked to. The kernel lets others sleep 50 µs longer, unless they are of real time; a rest under load
/// would be another one then.
pub(super) fn sleep_precisely() {
    // SAFETY: only numbers are passed; 0 would mean the usual.
    let _always_granted = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Has this thread, and those that it starts, come before all others where that is allowed, which is before the right to it is given
/// up. Refused, media waits its turn beside everything else, as under whoever forbade it.
pub(super) fn begin_in_real_time() {
    // SAFETY: only numbers are passed.
    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    // Who may not raise the first cannot come back to real time, once he has waited in turn.
    let limits = [(libc::RLIMIT_RTPRIO, HIGHEST_LEVEL.into()), (libc::RLIMIT_RTTIME, REAL_TIME_LIMIT_US)];
    for (resource, most) in limits {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the structure lives through the call.
        let _refused = unsafe { libc::setrlimit(resource, &raw const limit) };
    }
    let _refused = KernelThread::current().schedule(Scheduling::RealTime(HIGHEST_LEVEL));
}

/// Has this thread, but none that it has started, wait in turn.
pub(super) fn wait_in_turn() {
    let _refused = KernelThread::current().schedule(Scheduling::Fair);
}
