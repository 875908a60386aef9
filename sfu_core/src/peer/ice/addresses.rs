//! The addresses one remote has spoken from (RFC 8445 §7.3.1.3), each with what it has proved. All are from requests that
//! passed the integrity check, and still few and slow to grow: a request can be sent on by somebody else.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::demux::MAX_ADDRESSES_PER_PEER;

/// Most new addresses in [`NEW_ADDRESS_SPAN`] (`reliability.md` F5).
pub const MAX_NEW_ADDRESSES: usize = 4;
/// See [`MAX_NEW_ADDRESSES`].
pub const NEW_ADDRESS_SPAN: Duration = Duration::from_secs(10);
/// How long an address without media may be silent; twice the longest pause between the checks of a browser (15 s).
const ADDRESS_LIFETIME: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Address {
    remote: SocketAddr,
    /// Which of our addresses it spoke to; unspecified when the socket could not tell.
    local: IpAddr,
    heard: Instant,
    proved: bool,
}

/// What a request from an address changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    pub(super) new: bool,
    pub(super) evicted: Option<SocketAddr>,
}

/// The addresses of one remote.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: ArrayVec<Address, MAX_ADDRESSES_PER_PEER>,
    added: ArrayVec<Instant, MAX_NEW_ADDRESSES>,
}

impl Addresses {
    fn find(&self, remote: SocketAddr) -> Option<&Address> {
        self.list.iter().find(|address| address.remote == remote)
    }

    pub(super) fn contains(&self, remote: SocketAddr) -> bool {
        self.find(remote).is_some()
    }

    pub(super) fn is_proved(&self, remote: SocketAddr) -> bool {
        self.find(remote).is_some_and(|address| address.proved)
    }

    /// From where to send to `remote`; `None` when that is left to the kernel.
    pub(super) fn local_of(&self, remote: SocketAddr) -> Option<IpAddr> {
        self.find(remote).map(|address| address.local).filter(|local| !local.is_unspecified())
    }

    /// The address that spoke last, and to which of ours.
    pub(super) fn heard_last(&self) -> Option<(SocketAddr, Option<IpAddr>)> {
        let last = self.list.iter().max_by_key(|address| address.heard)?;
        Some((last.remote, self.local_of(last.remote)))
    }

    /// Whether one more address may be noted now.
    pub(super) fn may_add(&self, now: Instant) -> bool {
        let recent = |added: &&Instant| now.saturating_duration_since(**added) < NEW_ADDRESS_SPAN;
        self.added.iter().filter(recent).count() < MAX_NEW_ADDRESSES
    }

    /// Notes an authenticated request. When there are too many addresses, one without proof gives way, else the one
    /// longest silent, but never `media`.
    pub(super) fn heard(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
        media: Option<SocketAddr>,
        now: Instant,
    ) -> Noted {
        if let Some(address) = self.list.iter_mut().find(|address| address.remote == remote) {
            address.heard = now;
            address.local = local;
            return Noted { new: false, evicted: None };
        }
        let evicted = if self.list.is_full() { self.evict(media) } else { None };
        if self.added.is_full() {
            self.added.remove(0);
        }
        self.added.push(now);
        // There is room: the list was not full, or one has given way.
        let _ = self.list.try_push(Address { remote, local, heard: now, proved: false });
        Noted { new: true, evicted }
    }

    fn evict(&mut self, media: Option<SocketAddr>) -> Option<SocketAddr> {
        let others = self.list.iter().filter(|address| Some(address.remote) != media);
        let last = others.min_by_key(|address| (address.proved, address.heard)).map(|address| address.remote)?;
        self.remove(last);
        Some(last)
    }

    /// Notes that our check was answered; `true` the first time.
    pub(super) fn proved(&mut self, remote: SocketAddr, now: Instant) -> bool {
        let Some(address) = self.list.iter_mut().find(|address| address.remote == remote) else { return false };
        address.heard = now;
        !std::mem::replace(&mut address.proved, true)
    }

    pub(super) fn remove(&mut self, remote: SocketAddr) {
        self.list.retain(|address| address.remote != remote);
    }

    /// Takes out what was silent for too long, except `media`.
    pub(super) fn prune(
        &mut self,
        media: Option<SocketAddr>,
        now: Instant,
    ) -> ArrayVec<SocketAddr, MAX_ADDRESSES_PER_PEER> {
        let mut stale = ArrayVec::new();
        self.list.retain(|address| {
            let silent = now.saturating_duration_since(address.heard) >= ADDRESS_LIFETIME;
            let keep = !silent || Some(address.remote) == media;
            if !keep {
                stale.push(address.remote);
            }
            keep
        });
        stale
    }
}

/// Whether a named address may be checked: one that belongs to a host, and not to ours or to all.
pub(super) fn is_checkable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    address.port() != 0 && !special && !matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.is_link_local())
}
