//! Waking one thread from another: an eventfd (`eventfd(2)`) that is written only when the sleeper has not been told yet.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::bell::Bell;

/// A bell: readable from [`raise`](Self::raise) until [`lower`](Self::lower).
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
    bell: Bell,
}

impl Wake {
    /// A bell that does not ring.
    ///
    /// # Errors
    /// When the kernel has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: `eventfd` takes no pointer; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, bell: Bell::new() })
    }

    /// Rings. What was pushed to a queue before is seen by whoever pops after [`lower`](Self::lower).
    pub fn raise(&self) {
        self.bell.raise(|| {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: the descriptor is open and the buffer holds the 8 bytes that eventfd wants. It can only fail when
            // the counter is at its maximum, and then the descriptor is readable anyway.
            unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        });
    }

    /// Stops ringing; look into the queues afterwards.
    pub fn lower(&self) {
        self.bell.lower(|| {
            let mut count = [0_u8; 8];
            // SAFETY: the descriptor is open and the buffer holds 8 bytes; it does not block.
            unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        });
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(wake: &Wake) -> bool {
        let mut poll = libc::pollfd { fd: wake.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, no waiting.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn a_bell_rings_from_raise_until_lower() {
        let wake = Wake::new().expect("a descriptor");
        assert!(!readable(&wake));
        wake.raise();
        wake.raise();
        assert!(readable(&wake));
        wake.lower();
        assert!(!readable(&wake));
        wake.raise();
        assert!(readable(&wake), "it rings again");
    }

    #[test]
    fn lowering_a_silent_bell_does_not_break_it() {
        let wake = Wake::new().expect("a descriptor");
        wake.lower();
        wake.raise();
        assert!(readable(&wake));
    }
}
