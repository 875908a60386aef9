//! Telling systemd that this process goes round (`sd_notify(3)`, `WATCHDOG=1`): where it does not, systemd ends it and starts
//! another. Nobody else can: the server has not started it, and has no right to end it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who is told, if anyone.
#[derive(Debug, Default)]
pub struct Watchdog(Option<UnixDatagram>);

impl Watchdog {
    /// Opens the way to who is told, while files can be opened.
    ///
    /// # Errors
    /// Nobody listens at that address (`NOTIFY_SOCKET`): a path, or a name after `@`.
    pub fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(socket)))
    }

    /// Says that the process goes round. Whoever does not take it in time decides what that means.
    pub(super) fn pat(&self) {
        if let Some(socket) = &self.0 {
            let _is_told = socket.send(b"WATCHDOG=1").is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(address: &SocketAddr, name: &OsStr) {
        let listening = UnixDatagram::bind_addr(address).expect("bound");
        let watchdog = Watchdog::at(name).expect("somebody listens");
        watchdog.pat();
        let mut said = [0; 32];
        let length = listening.recv(&mut said).expect("told");
        assert_eq!(&said[..length], b"WATCHDOG=1");
        drop(listening);
        watchdog.pat();
        assert!(Watchdog::at(name).is_err(), "nobody listens any more");
    }

    #[test]
    fn who_listens_at_a_path_or_under_a_name_hears_that_it_goes_round() {
        let name = format!("pysfu-watchdog-{}", std::process::id());
        hears(&SocketAddr::from_abstract_name(&name).expect("short"), OsStr::new(&format!("@{name}")));
        let path = std::env::temp_dir().join(name);
        hears(&SocketAddr::from_pathname(&path).expect("short"), path.as_os_str());
        std::fs::remove_file(path).expect("it was bound there");
    }

    #[test]
    fn a_process_that_nobody_watches_tells_nobody() {
        Watchdog::default().pat();
    }
}
