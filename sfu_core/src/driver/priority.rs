//! How the scheduler of the kernel treats a process that carries media (`setpriority(2)`, `sched_setattr(2)`).

/// Before most others: what is behind in media is heard, what is behind in anything else is not.
const NICENESS: libc::c_int = -10;
/// What a thread asks the scheduler for at a time, in nanoseconds: the least there is, a few turns of a worker. Whoever asks for less
/// than the one that runs need not wait until that one has had all of its own, 3 ms (Linux 6.12, EEVDF).
const SLICE_NS: u64 = 100_000;

/// Raises the priority of this process where it may, which is before it gives that right up. Threads inherit it. Refused, media
/// waits its turn beside everything else, as under whoever forbade it.
pub(super) fn raise_priority() {
    let mut scheduling = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: only numbers are passed, and a structure that lives through the call and says how large it is. Flags are 0.
    unsafe {
        let _refused = libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        // Both are said in one call; the niceness is the one that this process has by now, whoever gave it.
        scheduling.sched_nice = libc::getpriority(libc::PRIO_PROCESS, 0);
        let _refused = libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0);
    }
}
