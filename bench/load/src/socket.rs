//! One socket for all participants: each has an IP address of its own, and the port is the same. Datagrams come in batches
//! with the kernel's own time of arrival, so that how late we look at them does not count.

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use sfu_core::driver::udp::send::SendArena;
use sfu_core::driver::udp::{UdpOptions, UdpPort};
use sfu_core::engine::transmit::{Group, TransmitBatch};

/// Buffers per call.
const BUFFERS: usize = 64;
/// A datagram that is not joined with others.
const SINGLE_BYTES: usize = 2_048;
/// What the kernel joins at most.
const JOINED_BYTES: usize = 65_535;
/// Room for address, time and segment size, each with its header.
const CONTROL_BYTES: usize = 128;
/// What the kernel keeps for us, in bytes: a second of the largest load, so that nothing is lost here.
const SOCKET_BYTES: usize = 32 << 20;

/// A datagram that arrived.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) from: SocketAddr,
    /// At which of our addresses.
    pub(crate) to: Ipv4Addr,
    /// Nanoseconds since 1970, by the kernel.
    pub(crate) at_ns: u64,
    pub(crate) bytes: &'a mut [u8],
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// The socket, with buffers that are used again and again.
pub(crate) struct Socket {
    port: UdpPort,
    buffer_bytes: usize,
    bytes: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
    arena: SendArena,
    batch: TransmitBatch,
    /// Datagrams that the kernel did not take.
    pub(crate) refused: u64,
}

impl Socket {
    /// Binds `port` at all addresses; with `offload` the kernel may join what comes in.
    pub(crate) fn bind(port: u16, offload: bool) -> io::Result<Self> {
        let options = UdpOptions { receive_buffer: SOCKET_BYTES, send_buffer: SOCKET_BYTES, offload };
        let mut warnings = Vec::new();
        let port = UdpPort::bind((Ipv4Addr::UNSPECIFIED, port).into(), options, &mut warnings)?;
        for warning in warnings {
            eprintln!("bench_load: {warning:?}");
        }
        let on = 1_i32;
        let len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: `on` lives through the call and is as long as said.
        let set = unsafe {
            libc::setsockopt(port.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), len)
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        let buffer_bytes = if offload { JOINED_BYTES } else { SINGLE_BYTES };
        Ok(Self {
            port,
            buffer_bytes,
            bytes: vec![0; BUFFERS * buffer_bytes],
            // SAFETY: these are C structs of numbers and pointers, for which zero is a value.
            headers: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            vectors: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            names: (0..BUFFERS).map(|_| unsafe { zeroed() }).collect(),
            controls: vec![Control([0; CONTROL_BYTES]); BUFFERS],
            arena: SendArena::default(),
            batch: TransmitBatch::default(),
            refused: 0,
        })
    }

    /// Takes what one call brings; says whether there may be more.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrived<'_>)) -> io::Result<bool> {
        self.prepare();
        // SAFETY: every header points to buffers of ours with their true lengths.
        let count = unsafe {
            libc::recvmmsg(
                self.port.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BUFFERS as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            let again = matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused);
            return if again || error.kind() == io::ErrorKind::WouldBlock { Ok(again) } else { Err(error) };
        };
        for (index, buffer) in self.bytes.chunks_exact_mut(self.buffer_bytes).take(count).enumerate() {
            let header = &self.headers[index];
            let len = (header.msg_len as usize).min(self.buffer_bytes);
            // SAFETY: the kernel has filled the control buffer and said how much of it.
            let beside = unsafe { read_control(&header.msg_hdr) };
            let name = &self.names[index];
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            let from = SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into();
            for bytes in buffer[..len].chunks_mut(beside.segment.unwrap_or(len).max(1)) {
                take(Arrived { from, to: beside.to, at_ns: beside.at_ns, bytes });
            }
        }
        Ok(count == BUFFERS)
    }

    fn prepare(&mut self) {
        for (index, header) in self.headers.iter_mut().enumerate() {
            let buffer = self.bytes[index * self.buffer_bytes..].as_mut_ptr();
            self.vectors[index] = libc::iovec { iov_base: buffer.cast(), iov_len: self.buffer_bytes };
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut self.names[index]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut self.vectors[index];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
            header.msg_hdr.msg_flags = 0;
        }
    }

    /// Queues a datagram from one of our addresses, or from whichever the kernel takes.
    pub(crate) fn push(&mut self, to: SocketAddr, from: Option<Ipv4Addr>, datagram: &[u8]) {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(datagram);
        let range = start..self.batch.bytes.len();
        let segment_size = datagram.len();
        self.batch.groups.push(Group { destination: to, source: from.map(IpAddr::V4), segment_size, range });
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) {
        let sent = self.arena.send(&mut self.port, &self.batch, 0..self.batch.groups.len());
        self.refused += sent.unreachable + (self.batch.groups.len() - sent.groups) as u64;
        self.batch.bytes.clear();
        self.batch.groups.clear();
    }

    /// The queue itself, for who groups datagrams.
    pub(crate) fn batch(&mut self) -> &mut TransmitBatch {
        &mut self.batch
    }
}

/// What the kernel says beside the bytes.
#[derive(Debug)]
struct Beside {
    to: Ipv4Addr,
    at_ns: u64,
    segment: Option<usize>,
}

/// # Safety
/// `header` was filled by the kernel and its control buffer still lives.
unsafe fn read_control(header: &libc::msghdr) -> Beside {
    let mut beside = Beside { to: Ipv4Addr::UNSPECIFIED, at_ns: 0, segment: None };
    // SAFETY: the macros walk only within the length that the kernel has set; values are read unaligned.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(entry) = next.as_ref() {
            let value = libc::CMSG_DATA(next);
            match (entry.cmsg_level, entry.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let found = value.cast::<libc::in_pktinfo>().read_unaligned();
                    beside.to = Ipv4Addr::from(u32::from_be(found.ipi_addr.s_addr));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = value.cast::<libc::timespec>().read_unaligned();
                    beside.at_ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    beside.segment = usize::try_from(value.cast::<i32>().read_unaligned()).ok();
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    beside
}
