//! What a process that reads strangers' bytes gives up before it has a thread: another user's rights, capabilities, the file
//! system, core dumps; and the one thing that it takes first. Whoever breaks into it finds no file to read and no program to start with more rights.

use std::io;

use caps::CapSet;
use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus};
use serde::{Deserialize, Serialize};

/// How the process comes before others: what is behind in media is heard, what is behind in anything else is not.
const NICENESS: libc::c_int = -10;
/// What a thread asks the scheduler for at a time, in nanoseconds: the least there is, a few turns of a worker. Whoever asks for less
/// than the one that runs need not wait until that one has had all of its own, 3 ms (Linux 6.12, EEVDF).
const SLICE_NS: u64 = 100_000;

/// Whose rights are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// `setuid(2)`
    pub uid: u32,
    /// `setgid(2)`
    pub gid: u32,
}

/// What was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Whether the user was changed.
    pub user: bool,
    /// Whether no file can be opened any more, and no process outside be looked into (Landlock, Linux 5.13).
    pub files: bool,
}

/// Puts this process before others where it may, which is before it gives that right up. Threads inherit it. Refused, media waits
/// its turn beside everything else, as under whoever forbade it.
pub fn come_first() {
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

/// Gives up everything that can be. To be called while the process has one thread: most of it is each thread's own, and new
/// threads inherit it.
///
/// # Errors
/// What the kernel did not do although it must; nothing should run then. A kernel without Landlock is no error.
pub fn drop_privileges(user: Option<User>) -> io::Result<Dropped> {
    if let Some(User { uid, gid }) = user {
        // SAFETY: no pointer but that of an empty list is passed; each result is looked at before the next call.
        checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        checked(unsafe { libc::setgid(gid) })?;
        checked(unsafe { libc::setuid(uid) })?;
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        // Whoever has none may not even be allowed to ask for that, as under systemd's filter of calls.
        if !caps::read(None, set).map_err(io::Error::other)?.is_empty() {
            caps::clear(None, set).map_err(io::Error::other)?;
        }
    }
    let (no_core, mut core) = (libc::rlimit { rlim_cur: 0, rlim_max: 0 }, libc::rlimit { rlim_cur: 1, rlim_max: 1 });
    // SAFETY: the limits live through the calls; `prctl` takes numbers only.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut core) })?;
    if core.rlim_max != 0 {
        checked(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) })?;
    }
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(Dropped { user: user.is_some(), files: close_files().map_err(io::Error::other)? })
}

/// Forbids to open any file. Those that are open stay open.
fn close_files() -> Result<bool, landlock::RulesetError> {
    let everything = AccessFs::from_all(ABI::V5);
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(everything)?.create()?;
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
