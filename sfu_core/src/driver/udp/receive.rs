//! Receiving: up to a batch of buffers per call, each of which the kernel may fill with several datagrams of one sender.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use arrayvec::ArrayVec;

use super::UdpPort;
use crate::engine::transmit::Datagram;

/// Buffers per call: 32 hold a millisecond of a full worker, and fit the second-level cache when datagrams are single.
pub(super) const BUFFERS: usize = 32;
/// The largest a UDP payload can be, joined or not.
const BUFFER_BYTES: usize = 65_535;
/// Room for packet info, segment size and drop count, each with its header.
const CONTROL_BYTES: usize = 128;
/// Most datagrams handed to the engine at once.
pub const MAX_BATCH: usize = 64;

/// What one call brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Buffers that held something cut off.
    pub truncated: u64,
    /// Whether all buffers were used, so that there may be more.
    pub full: bool,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// The buffers, used again and again.
pub struct ReceiveArena {
    bytes: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<Control>,
}

// SAFETY: the pointers in `headers` and `vectors` point into the arena's own heap memory, are set before every call and
// are used by nobody else.
unsafe impl Send for ReceiveArena {}

impl Default for ReceiveArena {
    fn default() -> Self {
        Self {
            bytes: vec![0; BUFFERS * BUFFER_BYTES],
            // SAFETY: these are C structs of numbers and pointers, for which zero is a value.
            headers: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            vectors: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            names: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            controls: vec![Control([0; CONTROL_BYTES]); BUFFERS],
        }
    }
}

/// What the kernel says beside the bytes.
#[derive(Debug, Default)]
struct Beside {
    destination: Option<IpAddr>,
    segment: Option<usize>,
    drops: Option<u32>,
}

impl ReceiveArena {
    /// Receives once and hands over the datagrams in batches of at most [`MAX_BATCH`].
    ///
    /// # Errors
    /// When the socket is broken; having nothing to read is no error.
    pub fn receive(&mut self, port: &mut UdpPort, mut ingest: impl FnMut(&mut [Datagram<'_>])) -> io::Result<Received> {
        self.prepare();
        // SAFETY: every header points to buffers of this arena with their true lengths.
        let count = unsafe {
            libc::recvmmsg(port.as_raw_fd(), self.headers.as_mut_ptr(), BUFFERS as u32, 0, std::ptr::null_mut())
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Received::default()),
                // An earlier datagram of ours met a closed port; the error is read, the socket is well.
                io::ErrorKind::ConnectionRefused => Ok(Received { full: true, ..Received::default() }),
                _ => Err(error),
            };
        }
        let count = count as usize;
        let mut received = Received { full: count == BUFFERS, ..Received::default() };
        let mut batch: ArrayVec<Datagram<'_>, MAX_BATCH> = ArrayVec::new();
        for (index, buffer) in self.bytes.chunks_exact_mut(BUFFER_BYTES).take(count).enumerate() {
            let header = &self.headers[index];
            let length = (header.msg_len as usize).min(BUFFER_BYTES);
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                received.truncated += 1;
                continue;
            }
            // SAFETY: the kernel has filled the control buffer and said how much of it.
            let beside = unsafe { read_control(&header.msg_hdr) };
            if let Some(drops) = beside.drops {
                port.kernel_drops = drops;
            }
            let Some(source) = socket_address(&self.names[index]) else { continue };
            let destination = beside.destination.unwrap_or_else(|| port.local().ip());
            let segment = beside.segment.unwrap_or(length).max(1);
            for bytes in buffer[..length].chunks_mut(segment) {
                received.datagrams += 1;
                received.bytes += bytes.len() as u64;
                batch.push(Datagram { source, destination, bytes });
                if batch.is_full() {
                    ingest(&mut batch);
                    batch.clear();
                }
            }
        }
        if !batch.is_empty() {
            ingest(&mut batch);
        }
        Ok(received)
    }

    fn prepare(&mut self) {
        for (index, header) in self.headers.iter_mut().enumerate() {
            self.vectors[index] =
                libc::iovec { iov_base: self.bytes[index * BUFFER_BYTES..].as_mut_ptr().cast(), iov_len: BUFFER_BYTES };
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut self.names[index]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut self.vectors[index];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
            header.msg_hdr.msg_flags = 0;
        }
    }
}

/// # Safety
/// `header` was filled by the kernel and its control buffer still lives.
unsafe fn read_control(header: &libc::msghdr) -> Beside {
    let mut beside = Beside::default();
    // SAFETY: the macros walk only within the length that the kernel has set; values are read unaligned.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(entry) = next.as_ref() {
            let value = libc::CMSG_DATA(next);
            match (entry.cmsg_level, entry.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let found = value.cast::<libc::in_pktinfo>().read_unaligned();
                    beside.destination = Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(found.ipi_addr.s_addr))));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let found = value.cast::<libc::in6_pktinfo>().read_unaligned();
                    beside.destination = Some(IpAddr::V6(Ipv6Addr::from(found.ipi6_addr.s6_addr)));
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = value.cast::<i32>().read_unaligned();
                    beside.segment = usize::try_from(size).ok();
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => beside.drops = Some(value.cast::<u32>().read_unaligned()),
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    beside
}

/// The address in a buffer as large as the largest of both families.
fn socket_address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET6 => {
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(name.sin6_addr.s6_addr)), u16::from_be(name.sin6_port)))
        }
        libc::AF_INET => {
            let mut v4 = MaybeUninit::<libc::sockaddr_in>::zeroed();
            // SAFETY: `sockaddr_in` is shorter than `sockaddr_in6`, and any bytes are a value of it.
            let v4 = unsafe {
                std::ptr::copy_nonoverlapping((&raw const *name).cast::<u8>(), v4.as_mut_ptr().cast(), 16);
                v4.assume_init()
            };
            let address = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(address), u16::from_be(v4.sin_port)))
        }
        _ => None,
    }
}
