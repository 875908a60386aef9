//! Our end of each connection: an address and ICE credentials of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sfu_core::peer::dtls::Identity;
use sfu_core::session::{Fingerprint, LocalTransport};

use crate::clock::wall_ns;
use crate::settings::Settings;

/// SSRCs of one connection: two for each section.
const SSRCS: u32 = 64;
/// Where our SSRCs begin.
const FIRST_SSRC: u32 = 0x0100_0000;

/// Our end of one connection.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) local: LocalTransport,
    pub(super) address: Ipv4Addr,
}

impl End {
    /// The same end, which media may reach elsewhere from now on.
    pub(super) fn at(&self, address: Ipv4Addr) -> Self {
        let elsewhere = |candidate: &SocketAddr| SocketAddr::new(IpAddr::V4(address), candidate.port());
        let candidates = self.local.candidates.iter().map(elsewhere).collect();
        Self { local: LocalTransport { candidates, ..self.local.clone() }, address }
    }

    /// The same end with other credentials: ICE begins anew (RFC 8445 §2.4).
    pub(super) fn renewed(&self) -> Self {
        let (ufrag, pwd) = (format!("{}+", self.local.ufrag), format!("{}+", self.local.pwd));
        Self { local: LocalTransport { ufrag, pwd, ..self.local.clone() }, address: self.address }
    }
}

/// Gives each connection its address and credentials.
#[derive(Debug)]
pub(super) struct Ends {
    addresses: Ipv4Addr,
    port: u16,
    fingerprint: Fingerprint,
    given: u32,
    secret: u128,
}

impl Ends {
    pub(super) fn new(settings: &Settings, identity: &Identity) -> Self {
        let (addresses, port) = (settings.addresses, settings.port);
        Self { addresses, port, fingerprint: identity.fingerprint(), given: 0, secret: u128::from(wall_ns()) }
    }

    pub(super) fn next(&mut self) -> End {
        self.given += 1;
        let address = Ipv4Addr::from_bits(self.addresses.to_bits() + self.given);
        let local = LocalTransport {
            ufrag: format!("{:08x}", self.given),
            // Nobody attacks a load.
            pwd: format!("{:032x}", self.secret.wrapping_mul(u128::from(2 * self.given + 1))),
            fingerprint: self.fingerprint.clone(),
            candidates: vec![SocketAddr::new(IpAddr::V4(address), self.port)],
            ssrc_base: FIRST_SSRC + self.given * SSRCS,
        };
        End { local, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> End {
        let local = LocalTransport {
            ufrag: "ufrag".to_owned(),
            pwd: "pwd".to_owned(),
            fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![7; 32] },
            candidates: vec![SocketAddr::from(([10, 0, 0, 1], 4_000))],
            ssrc_base: 64,
        };
        End { local, address: Ipv4Addr::new(10, 0, 0, 1) }
    }

    #[test]
    fn who_moves_keeps_credentials_port_and_ssrcs() {
        let (before, moved) = (end(), end().at(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(moved.local.candidates, [SocketAddr::from(([10, 0, 0, 2], 4_000))]);
        assert_eq!((moved.local.ufrag, moved.local.ssrc_base), (before.local.ufrag, 64));
    }

    #[test]
    fn who_renews_credentials_stays_where_they_are() {
        let (before, renewed) = (end(), end().renewed());
        assert!(renewed.local.ufrag != before.local.ufrag && renewed.local.pwd != before.local.pwd);
        assert_eq!((renewed.address, renewed.local.candidates), (before.address, before.local.candidates));
    }
}
