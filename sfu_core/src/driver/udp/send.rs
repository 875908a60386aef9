//! Sending: groups of equal datagrams, many groups and destinations per call, in order. A group the kernel will not cut
//! is cut here.

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use super::UdpPort;
use crate::engine::transmit::{Group, TransmitBatch};

/// Messages per call; `UIO_MAXIOV` would allow 1 024, but more than this does not get cheaper.
const MESSAGES: usize = 64;
/// Datagrams the kernel cuts one message into (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;
/// Bytes of one message: the largest UDP payload over IPv4.
const MAX_MESSAGE_BYTES: usize = 65_507;
/// Room for packet info and segment size, each with its header.
const CONTROL_BYTES: usize = 64;

/// What became of a run of groups.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Groups that left whole, from the first on.
    pub groups: usize,
    /// Datagrams the kernel took.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Calls made.
    pub calls: u64,
    /// Datagrams refused for their destination. They count as left: the network would have lost them.
    pub unreachable: u64,
    /// Whether the kernel took no more.
    pub full: bool,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Where sending has come to: a group and a byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    group: usize,
    offset: usize,
}

/// Headers for the kernel, used again and again.
pub struct SendArena {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<Control>,
    /// Where each message ends.
    ends: Vec<Position>,
}

// SAFETY: the pointers in `headers` and `vectors` are set before every call, to the arena's own heap memory and to the
// batch that is borrowed for the call.
unsafe impl Send for SendArena {}

impl Default for SendArena {
    fn default() -> Self {
        Self {
            // SAFETY: these are C structs of numbers and pointers, for which zero is a value.
            headers: (0..MESSAGES).map(|_| unsafe { zeroed() }).collect(),
            vectors: (0..MESSAGES).map(|_| unsafe { zeroed() }).collect(),
            names: (0..MESSAGES).map(|_| unsafe { zeroed() }).collect(),
            controls: vec![Control([0; CONTROL_BYTES]); MESSAGES],
            ends: Vec::with_capacity(MESSAGES),
        }
    }
}

impl SendArena {
    /// Sends `batch.groups[run]`, all of which `port` serves.
    pub fn send(&mut self, port: &mut UdpPort, batch: &TransmitBatch, run: std::ops::Range<usize>) -> Sent {
        let mut sent = Sent::default();
        let mut at = Position { group: run.start, offset: 0 };
        // A group that the kernel would not cut, to be sent singly before it is known whose fault that was.
        let mut single = None;
        while at.group < run.end {
            let cut = port.segmentation && single != Some(at.group);
            self.prepare(batch, at, run.end, cut);
            sent.calls += 1;
            // SAFETY: as many headers as said are prepared, and what they point to lives through the call.
            let taken = unsafe {
                libc::sendmmsg(port.as_raw_fd(), self.headers.as_mut_ptr(), self.ends.len() as u32, libc::MSG_DONTWAIT)
            };
            if taken > 0 {
                if single == Some(at.group) {
                    // Alone it went: the kernel or the device cannot cut.
                    port.segmentation = false;
                    single = None;
                }
                at = self.advance(batch, at, taken as usize, &mut sent);
                continue;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::ENOBUFS) => {
                    sent.full = true;
                    break;
                }
                Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE) if cut && self.first_is_cut(batch, at) => {
                    single = Some(at.group);
                }
                // Too large for the way, even alone: the group is lost, and cutting was not at fault.
                _ if single == Some(at.group) => {
                    let group = &batch.groups[at.group];
                    sent.unreachable += (group.range.len() - at.offset).div_ceil(group.segment_size.max(1)) as u64;
                    at = Position { group: at.group + 1, offset: 0 };
                    single = None;
                }
                // No route, a packet filter, too large for the way: this destination's fault.
                _ => {
                    let segment = batch.groups[at.group].segment_size.max(1);
                    sent.unreachable += self.vectors[0].iov_len.div_ceil(segment) as u64;
                    at = self.ends[0];
                }
            }
        }
        sent.groups = at.group - run.start;
        sent
    }

    /// Fills headers from `at` on. Without `cut` every datagram is a message.
    fn prepare(&mut self, batch: &TransmitBatch, mut at: Position, end: usize, cut: bool) {
        self.ends.clear();
        while at.group < end && self.ends.len() < MESSAGES {
            let group = &batch.groups[at.group];
            let index = self.ends.len();
            let segment = group.segment_size.max(1);
            let most = if cut { (MAX_MESSAGE_BYTES / segment).clamp(1, MAX_SEGMENTS) * segment } else { segment };
            let rest = &batch.bytes[group.range.clone()][at.offset..];
            let message = &rest[..rest.len().min(most)];
            self.vectors[index] = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
            let name_length = write_name(&mut self.names[index], group.destination);
            let control = &mut self.controls[index];
            let control_length = write_control(control, group.source, (message.len() > segment).then_some(segment));
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = name_length;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = if control_length == 0 { std::ptr::null_mut() } else { control.0.as_mut_ptr().cast() };
            header.msg_controllen = control_length as _;
            header.msg_flags = 0;
            at = step(group, at, message.len());
            self.ends.push(at);
        }
    }

    fn advance(&self, batch: &TransmitBatch, from: Position, messages: usize, sent: &mut Sent) -> Position {
        let mut start = from;
        for (end, vector) in self.ends.iter().zip(&self.vectors).take(messages) {
            let segment = batch.groups[start.group].segment_size.max(1);
            sent.datagrams += vector.iov_len.div_ceil(segment) as u64;
            sent.bytes += vector.iov_len as u64;
            start = *end;
        }
        start
    }

    fn first_is_cut(&self, batch: &TransmitBatch, at: Position) -> bool {
        self.vectors[0].iov_len > batch.groups[at.group].segment_size
    }
}

fn step(group: &Group, at: Position, bytes: usize) -> Position {
    let offset = at.offset.saturating_add(bytes);
    if offset >= group.range.len() { Position { group: at.group + 1, offset: 0 } } else { Position { offset, ..at } }
}

fn write_name(name: &mut libc::sockaddr_in6, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V6(v6) => {
            *name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
        SocketAddr::V4(v4) => {
            let short = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_in` is shorter than `sockaddr_in6` and needs no stricter alignment.
            unsafe { (&raw mut *name).cast::<libc::sockaddr_in>().write(short) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
    }
}

/// Writes control messages and says how many bytes they take.
fn write_control(control: &mut Control, source: Option<IpAddr>, segment: Option<usize>) -> usize {
    let mut used = 0;
    match source {
        Some(IpAddr::V4(v4)) => {
            let from = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(v4).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            used += put(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, from);
        }
        Some(IpAddr::V6(v6)) => {
            let from = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: v6.octets() }, ipi6_ifindex: 0 };
            used += put(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, from);
        }
        None => {}
    }
    if let Some(segment) = segment {
        used += put(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, segment as u16);
    }
    used
}

fn put<T>(control: &mut Control, at: usize, level: i32, kind: i32, value: T) -> usize {
    let length = size_of::<T>() as u32;
    // SAFETY: these only compute lengths.
    let (space, whole) = unsafe { (libc::CMSG_SPACE(length) as usize, libc::CMSG_LEN(length)) };
    assert!(at + space <= CONTROL_BYTES, "packet info and segment size fit the control buffer");
    // SAFETY: header and value lie within the buffer, which is aligned for the header, as is every multiple of CMSG_SPACE.
    #[allow(clippy::cast_ptr_alignment)]
    unsafe {
        let entry = control.0.as_mut_ptr().add(at).cast::<libc::cmsghdr>();
        entry.write(libc::cmsghdr { cmsg_len: whole as _, cmsg_level: level, cmsg_type: kind });
        libc::CMSG_DATA(entry).cast::<T>().write_unaligned(value);
    }
    space
}
