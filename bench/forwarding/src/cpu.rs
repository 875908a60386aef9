//! How much CPU this thread has used, in spans: what lies outside of a span costs nothing.

/// Spans timed to learn what timing costs.
const CALIBRATION_SPANS: u64 = 20_000;

/// Adds up the CPU time of spans.
#[derive(Debug)]
pub(crate) struct SpanClock {
    overhead_ns: u64,
    started_ns: u64,
    total_ns: u64,
    spans: u64,
}

impl SpanClock {
    /// A clock that knows its own cost.
    pub(crate) fn calibrated() -> Self {
        let mut clock = Self { overhead_ns: 0, started_ns: 0, total_ns: 0, spans: 0 };
        for _ in 0..CALIBRATION_SPANS {
            clock.start();
            clock.stop();
        }
        Self { overhead_ns: clock.total_ns / CALIBRATION_SPANS, started_ns: 0, total_ns: 0, spans: 0 }
    }

    pub(crate) fn start(&mut self) {
        self.started_ns = thread_cpu_ns();
    }

    pub(crate) fn stop(&mut self) {
        self.total_ns += thread_cpu_ns() - self.started_ns;
        self.spans += 1;
    }

    /// The time of all spans since the last call, without the cost of timing them.
    pub(crate) fn take_ns(&mut self) -> u64 {
        let timed = self.total_ns.saturating_sub(self.spans * self.overhead_ns);
        (self.total_ns, self.spans) = (0, 0);
        timed
    }
}

/// CPU time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux has a clock per thread");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
