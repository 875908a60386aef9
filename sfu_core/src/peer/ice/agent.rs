//! One set of ICE credentials with the agent of the `is` crate that answers and checks with them (RFC 8445).

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use is::{Candidate, IceAgent, IceCreds, Protocol};

use super::{AwsHmac, MAX_LOCAL_CANDIDATES};

/// Most addresses under which the remote may claim to see us. The agent keeps each; there is one per announced address.
const MAX_MAPPED: usize = 2 * MAX_LOCAL_CANDIDATES;
/// Always ours is the greater: a role conflict never makes us controlling (RFC 8445 §7.3.1.1).
pub(super) const TIE_BREAKER: u64 = u64::MAX;

static HMAC: AwsHmac = AwsHmac;

/// One set of credentials with its agent.
pub(super) struct Agent {
    pub(super) agent: IceAgent,
    pub(super) local: IceCreds,
    pub(super) mapped: ArrayVec<SocketAddr, MAX_MAPPED>,
    pub(super) remotes: usize,
}

impl Agent {
    pub(super) fn new(local: IceCreds, candidates: &[SocketAddr], now: Instant) -> Self {
        let mut agent = IceAgent::with_hmac(local.clone(), &HMAC);
        agent.set_control_tie_breaker(TIE_BREAKER);
        for address in candidates {
            if let Ok(candidate) = Candidate::host(*address, Protocol::Udp) {
                agent.add_local_candidate(candidate);
            }
        }
        agent.handle_timeout(now);
        Self { agent, local, mapped: ArrayVec::new(), remotes: 0 }
    }

    /// Has the agent check `address` by itself.
    pub(super) fn add_remote(&mut self, address: SocketAddr) {
        if let Ok(candidate) = Candidate::host(address, Protocol::Udp) {
            self.agent.add_remote_candidate(candidate);
            self.remotes += 1;
        }
    }
}

/// The agent before a restart.
pub(super) struct Former {
    pub(super) agent: Agent,
    /// When it ends; `None` as long as the remote has used nothing but its credentials.
    pub(super) until: Option<Instant>,
}
