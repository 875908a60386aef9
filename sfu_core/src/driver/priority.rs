//! The scheduling priority of a process that carries media (`setpriority(2)`).

/// Before most others: what is behind in media is heard, what is behind in anything else is not.
const NICENESS: libc::c_int = -10;

/// Raises the priority of this process where it may, which is before it gives that right up. Threads inherit it.
pub(super) fn raise_priority() {
    // SAFETY: only numbers are passed. Refused, media waits its turn beside everything else, as under whoever forbade it.
    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
