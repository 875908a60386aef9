//! How much one turn may cost, so that nobody can make the engine work or remember out of proportion. What is counted does not
//! depend on the machine: datagrams, events, calls to the allocator, bytes. Beside it stands the processor time of this thread
//! in each call of the engine, which is what "no step over 10 ms" means; it does not grow with what else the machine does, and
//! where the compiler has put checks and counters into the code, ten times as much is allowed.

use std::time::Duration;

use crate::bounds::{self as turn, Limits};
use crate::heap;

/// Datagrams that leave in one turn: what all datagrams of a batch may ask for again as far as the pacer lets it go, reports to
/// six, and messages.
const MAX_SENT: usize = 512;
/// Events of one turn: as many messages as one batch may bring, and what happens to six.
const MAX_EVENTS: usize = 128;
/// Calls to the allocator in one turn, with those of what stands around the engine here.
const MAX_CALLS: u64 = 8_192;
/// Bytes that six participants may take beyond what they have when everything is wired: rings, queues and histories, each of
/// which has a cap, and what the remotes here keep.
const MAX_GROWN: i64 = 4 << 20;
/// Bytes that an engine without rooms may keep of what there was: lists and tables that stay as long as they were.
const MAX_KEPT: i64 = 256 << 10;
/// One call of the engine. A release build is held to the figure itself; `run.sh` and debug builds check and count at every
/// branch.
const MAX_STEP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 10 });

const LIMITS: Limits = Limits { sent: MAX_SENT, events: MAX_EVENTS, calls: MAX_CALLS, grown: MAX_GROWN };

/// What stood when the run began, and what the turn before had done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    empty: i64,
    turn: turn::Bounds,
    /// The longest call so far.
    pub(super) longest: Duration,
}

impl Bounds {
    /// There is an engine, and nothing in it.
    pub(super) fn begin() -> Self {
        Self { empty: heap::held(), turn: turn::Bounds::begin(LIMITS), longest: Duration::ZERO }
    }

    /// Everything is wired: from here on it is counted.
    pub(super) fn wired(&mut self) {
        self.turn = turn::Bounds::begin(LIMITS);
    }

    /// One call of the engine.
    pub(super) fn step<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let before = processor_time();
        let done = call();
        let span = processor_time().saturating_sub(before);
        self.longest = self.longest.max(span);
        assert!(span <= MAX_STEP, "one call took {span:?}");
        done
    }

    /// After one turn.
    pub(super) fn check(&mut self, sent: usize, events: usize) {
        self.turn.check(sent, events);
    }

    /// The rooms are gone, and all that stands here is the engine.
    pub(super) fn check_kept(&self) {
        let kept = heap::held() - self.empty;
        assert!(kept <= MAX_KEPT, "{kept} bytes are kept of rooms that are gone");
    }
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours and whole; the clock exists on every Linux.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "the clock of a thread can be read");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
