//! UDP as Linux does it fast: datagrams in batches (`recvmmsg`, `UDP_GRO`), groups out in one call (`sendmmsg`,
//! `UDP_SEGMENT`), each from the address it was asked at (`IP_PKTINFO`), never fragmented.

pub mod receive;
pub mod send;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use super::warning::Warning;
use socket2::{Domain, Protocol, Socket, Type};

/// How to open sockets.
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    /// What the kernel keeps for us to read, in bytes.
    pub receive_buffer: usize,
    /// What the kernel keeps for the network to take, in bytes.
    pub send_buffer: usize,
    /// Whether to let the kernel cut groups and join datagrams.
    pub offload: bool,
}

/// One bound socket.
#[derive(Debug)]
pub struct UdpPort {
    socket: Socket,
    local: SocketAddr,
    /// Whether groups leave in one piece. Off for good once the kernel refused.
    pub segmentation: bool,
    /// Datagrams the kernel has dropped for want of buffer, as it last told.
    pub kernel_drops: u32,
}

impl UdpPort {
    /// Binds; warnings say what the kernel did not grant.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr, options: UdpOptions, warnings: &mut Vec<Warning>) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        let fd = socket.as_raw_fd();
        let capped = size_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, options.receive_buffer)?;
        warnings.extend(capped.map(|(granted, wanted)| Warning::ReceiveBufferCapped { granted, wanted }));
        let capped = size_buffer(fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, options.send_buffer)?;
        warnings.extend(capped.map(|(granted, wanted)| Warning::SendBufferCapped { granted, wanted }));
        set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        if address.is_ipv4() {
            set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        } else {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        }
        // A kernel without them answers with an error, and everything works one by one.
        let joined = options.offload && set(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        let segmentation = options.offload && set(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        if options.offload && !(joined && segmentation) {
            warnings.push(Warning::NoSegmentation);
        }
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("bound to no IP address"))?;
        Ok(Self { socket, local, segmentation, kernel_drops: 0 })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether a group for `destination` from `source` may leave here.
    pub fn serves(&self, destination: SocketAddr, source: Option<IpAddr>) -> bool {
        destination.is_ipv4() == self.local.is_ipv4()
            && (self.local.ip().is_unspecified() || source.is_none_or(|source| source == self.local.ip()))
    }
}

impl AsRawFd for UdpPort {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` lives through the call and is as long as said.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `length` live through the call and fit each other.
    let result = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Asks for a buffer; what was granted and what was wanted, when that is less.
fn size_buffer(fd: RawFd, force: i32, name: i32, wanted: usize) -> io::Result<Option<(u64, u64)>> {
    let asked = i32::try_from(wanted).unwrap_or(i32::MAX / 2);
    // Forcing needs CAP_NET_ADMIN; without it net.core.rmem_max and wmem_max are the limit.
    if set(fd, libc::SOL_SOCKET, force, asked).is_err() {
        set(fd, libc::SOL_SOCKET, name, asked)?;
    }
    // The kernel doubles the figure for its own needs and tells the double.
    let granted = read(fd, libc::SOL_SOCKET, name)? as usize / 2;
    Ok((granted < wanted).then_some((granted as u64, wanted as u64)))
}

#[cfg(test)]
#[path = "udp/tests.rs"]
mod tests;
