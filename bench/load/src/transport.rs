//! The transport of one connection, without socket or clock: ICE in either role (RFC 8445), DTLS in either role, and the
//! keys for SRTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use sfu_core::peer::SrtpPair;
use sfu_core::peer::dtls::{Dtls, DtlsEvent, Identity};
use sfu_core::peer::ice::AwsHmac;
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::session::{DtlsRole, LocalTransport, RemoteTransport};

static HMAC: AwsHmac = AwsHmac;

/// Who this end is.
pub(crate) struct Local<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) credentials: &'a LocalTransport,
    pub(crate) address: SocketAddr,
    /// Whether this end made the offer: it then leads in ICE.
    pub(crate) offered: bool,
}

/// One connection's way, handshake and keys.
pub(crate) struct Transport {
    agent: IceAgent,
    dtls: Dtls,
    role: DtlsRole,
    local: SocketAddr,
    pub(crate) remote: SocketAddr,
    reached: bool,
    pub(crate) dtls_version: &'static str,
    /// Once the handshake is over.
    pub(crate) srtp: Option<SrtpPair>,
    transmits: VecDeque<Vec<u8>>,
}

impl Transport {
    pub(crate) fn new(own: &Local<'_>, theirs: &RemoteTransport, remote: SocketAddr, now: Instant) -> Self {
        let creds = IceCreds { ufrag: own.credentials.ufrag.clone(), pass: own.credentials.pwd.clone() };
        let mut agent = IceAgent::with_hmac(creds, &HMAC);
        agent.set_controlling(own.offered);
        agent.set_remote_credentials(IceCreds { ufrag: theirs.ufrag.clone(), pass: theirs.pwd.clone() });
        for (address, is_ours) in [(own.address, true), (remote, false)] {
            match Candidate::host(address, Protocol::Udp) {
                Ok(candidate) if is_ours => drop(agent.add_local_candidate(candidate)),
                Ok(candidate) => agent.add_remote_candidate(candidate),
                Err(error) => eprintln!("bench_load: {address}: {error}"),
            }
        }
        agent.handle_timeout(now);
        Self {
            agent,
            dtls: Dtls::new(own.identity.clone(), theirs.dtls_role, theirs.fingerprints.clone()),
            role: theirs.dtls_role,
            local: own.address,
            remote,
            reached: false,
            dtls_version: "",
            srtp: None,
            transmits: VecDeque::new(),
        }
    }

    pub(crate) fn on_stun(&mut self, datagram: &[u8], source: SocketAddr, now: Instant) {
        let Ok(message) = StunMessage::parse(datagram) else { return };
        let destination = self.local;
        self.agent.handle_packet(now, StunPacket { proto: Protocol::Udp, source, destination, message });
        self.handle_timeout(now);
    }

    pub(crate) fn on_dtls(&mut self, datagram: &[u8], now: Instant) {
        self.dtls.on_datagram(datagram, now);
        while self.dtls.advance(now) {}
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            if matches!(event, IceAgentEvent::NominatedSend { .. }) && !std::mem::replace(&mut self.reached, true) {
                self.dtls.start(now);
            }
        }
        self.dtls.handle_timeout(now);
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected { profile, keys, version } => {
                    let keys = SrtpProfile::try_from(profile).ok().and_then(|profile| SrtpKeys::new(profile, &keys));
                    self.srtp = keys.map(|keys| SrtpPair::new(&keys, self.role));
                    self.dtls_version = version;
                }
                DtlsEvent::WrongCertificate => eprintln!("bench_load: the certificate is not the one announced"),
                DtlsEvent::Application(_) | DtlsEvent::Closed => {}
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            self.transmits.push_back(transmit.contents.to_vec());
        }
        self.transmits.extend(std::iter::from_fn(|| self.dtls.poll_transmit()));
    }

    /// Whether there is something to send.
    pub(crate) fn speaks(&self) -> bool {
        !self.transmits.is_empty()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }
}
