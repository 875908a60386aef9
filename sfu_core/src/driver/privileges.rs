//! What a process that reads strangers' bytes gives up before it has a thread: another user's rights, capabilities, the file
//! system, core dumps. Whoever breaks into it finds no file to read and no program to start with more rights.

use std::io;

use caps::CapSet;
use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus};
use serde::{Deserialize, Serialize};

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
