//! Which of this host's addresses remotes can be told when nobody configured any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{io, ptr};

/// Most addresses told; more only slow connecting (a host of many containers has dozens).
const MAX_ADDRESSES: usize = 16;

/// The addresses of all interfaces that are up, except link-local ones; the loopback ones only when there are no others.
///
/// # Errors
/// When the kernel does not tell.
pub fn of_this_host() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `getifaddrs` writes the head of a list that we free below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut outside, mut loopback) = (Vec::new(), Vec::new());
    let mut next = first;
    // SAFETY: the list is valid until freed; each entry's address may be null or of another family.
    while let Some(interface) = unsafe { next.as_ref() } {
        next = interface.ifa_next;
        let up = interface.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
        // SAFETY: an entry's address points to a socket address of the family that it says, or is null.
        match unsafe { address_of(interface.ifa_addr) } {
            Some(address) if up && address.is_loopback() => loopback.push(address),
            Some(address) if up && is_tellable(address) => outside.push(address),
            _ => {}
        }
    }
    // SAFETY: `first` came from `getifaddrs` and is freed once.
    unsafe { libc::freeifaddrs(first) };
    let mut addresses = if outside.is_empty() { loopback } else { outside };
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

fn is_tellable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// # Safety
/// `address` is null or points to a socket address as large as its family says.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = ptr::read_unaligned(address.cast::<libc::sockaddr_in>());
                Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
            }
            libc::AF_INET6 => {
                let v6 = ptr::read_unaligned(address.cast::<libc::sockaddr_in6>());
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_an_address_to_tell() {
        let addresses = of_this_host().expect("the kernel tells");
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| !address.is_unspecified()));
    }
}
