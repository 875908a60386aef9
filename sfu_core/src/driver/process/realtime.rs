//! Workers run before everybody else, as long as they leave the others enough.
//!
//! A thread that is scheduled in turn waits up to a tick, 4 ms, behind whoever runs where it wakes, however nice that one is
//! (Linux 6.18, lazy preemption); one of real time waits for nobody. But then nobody else has its processor while it wants it:
//! not even those who could take a right away, or end it. So a worker is of real time only while it takes a moderate part of a
//! processor, and this thread, which comes before all of them, looks to that.

use std::convert::Infallible;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::driver::priority::{HIGHEST_LEVEL, KernelThread, Scheduling};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The level of the thread that looks.
const GUARD: Scheduling = Scheduling::RealTime(HIGHEST_LEVEL);
const WORKER: Scheduling = Scheduling::RealTime(HIGHEST_LEVEL - 1);
/// The most of a processor that one worker takes from everybody else.
const MOST_OF_ONE: f64 = 0.75;
/// The most of all processors that all workers take together.
const MOST_OF_ALL: f64 = 0.5;
/// How long a worker that took too much stays in turn after it has come down to half of what it may.
const CALM_FOR: Duration = Duration::from_secs(10);

/// Looks as long as it lives.
#[derive(Debug)]
pub(super) struct RealTime {
    lives: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl RealTime {
    /// Puts workers before everybody else where that is allowed. They live at least as long as what is returned.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn begin(workers: Vec<KernelThread>) -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = allowance(workers.len(), processors);
        let (lives, ended) = mpsc::channel::<Infallible>();
        let thread = std::thread::Builder::new().name("sfu-guard".to_owned()).spawn(move || {
            let may = KernelThread::current().schedule(GUARD) && workers.iter().all(|worker| worker.schedule(WORKER));
            let mut guarded: Vec<_> = workers.into_iter().map(|worker| (worker, Standing::default())).collect();
            let mut looked = now();
            while may && ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let step = now().duration_since(looked);
                looked += step;
                for (worker, standing) in &mut guarded {
                    if let Some(scheduling) = standing.look(worker.ran_for(), step, most) {
                        let _ended_by_now = worker.schedule(scheduling);
                    }
                }
            }
            // Half of them may be of real time where not all may.
            for (worker, _) in &guarded {
                let _ended_by_now = worker.schedule(Scheduling::Fair);
            }
        })?;
        Ok(Self { lives: Some(lives), thread: Some(thread) })
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        drop(self.lives.take());
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

/// The share of one processor that each worker may take from everybody else.
fn allowance(workers: usize, processors: usize) -> f64 {
    (MOST_OF_ALL * processors as f64 / workers.max(1) as f64).min(MOST_OF_ONE)
}

/// What is known of a worker.
#[derive(Debug, Default)]
struct Standing {
    ran_for: Duration,
    /// How long it has been calm, if it runs in turn.
    in_turn: Option<Duration>,
}

impl Standing {
    /// Takes in how long it has run by now, `step` after the last look; says how it is to be scheduled from now on, if otherwise.
    fn look(&mut self, ran_for: Duration, step: Duration, most: f64) -> Option<Scheduling> {
        let used = ran_for.saturating_sub(std::mem::replace(&mut self.ran_for, ran_for));
        let share = used.as_secs_f64() / step.as_secs_f64().max(f64::MIN_POSITIVE);
        match self.in_turn {
            None if share > most => {
                self.in_turn = Some(Duration::ZERO);
                Some(Scheduling::Fair)
            }
            None => None,
            Some(calm) => {
                let calm = if share > most / 2.0 { Duration::ZERO } else { calm + step };
                self.in_turn = (calm < CALM_FOR).then_some(calm);
                self.in_turn.is_none().then_some(WORKER)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What is decided of a worker that runs for so many of each 250 ms, look by look.
    fn looks(ran_ms: impl IntoIterator<Item = u64>) -> Vec<Option<Scheduling>> {
        let (mut standing, mut ran_for) = (Standing::default(), Duration::ZERO);
        let look = |ran| {
            ran_for += Duration::from_millis(ran);
            standing.look(ran_for, LOOK_EVERY, 0.5)
        };
        ran_ms.into_iter().map(look).collect()
    }

    #[test]
    fn all_workers_leave_others_half_of_the_processors_and_one_a_quarter_of_its_own() {
        assert_eq!((allowance(1, 1), allowance(2, 2), allowance(4, 2)), (0.5, 0.5, 0.25));
        assert_eq!((allowance(1, 2), allowance(1, 64)), (0.75, 0.75));
    }

    #[test]
    fn a_worker_that_takes_too_much_is_scheduled_in_turn_at_the_next_look() {
        assert_eq!(looks([125, 125, 126, 250]), [None, None, Some(Scheduling::Fair), None]);
    }

    #[test]
    fn it_comes_first_again_once_it_has_taken_half_of_that_for_ten_seconds_on_end() {
        let calm = std::iter::repeat_n(62, 39);
        let decided = looks([250].into_iter().chain(calm.clone()).chain([63]).chain(calm).chain([62]));
        assert_eq!(decided.iter().flatten().collect::<Vec<_>>(), [&Scheduling::Fair, &WORKER]);
        assert_eq!((decided[0], decided[80]), (Some(Scheduling::Fair), Some(WORKER)));
    }

    #[test]
    fn a_thread_that_spins_is_scheduled_in_turn_and_one_that_rests_comes_first_where_that_is_allowed() {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let threads: Vec<_> = [true, false]
            .into_iter()
            .map(|spins| {
                let (tell, stop) = (tell.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    tell.send((spins, KernelThread::current())).expect("it is waited for");
                    while !stop.load(Ordering::Relaxed) {
                        if !spins {
                            std::thread::park();
                        }
                    }
                })
            })
            .collect();
        let mut known = [told.recv().expect("one"), told.recv().expect("the other")];
        known.sort_by_key(|(spins, _)| *spins);
        let [(_, rests), (_, spins)] = known;
        let may = rests.schedule(WORKER);
        assert!(rests.schedule(Scheduling::Fair));
        let guard = RealTime::begin(vec![spins, rests]).expect("a thread");
        // Both are scheduled before the guard looks for the first time.
        while may && rests.policy() != libc::SCHED_RR {
            std::thread::yield_now();
        }
        while spins.policy() != libc::SCHED_OTHER {
            std::thread::yield_now();
        }
        assert_eq!(rests.policy(), if may { libc::SCHED_RR } else { libc::SCHED_OTHER });
        drop(guard);
        assert_eq!(rests.policy(), libc::SCHED_OTHER, "nobody looks any more");
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.thread().unpark();
            thread.join().expect("it does nothing that could fail");
        }
    }
}
