//! The transport of one connection, without socket or clock: ICE in either role (RFC 8445), DTLS in either role, the keys
//! for SRTP, and the data channels of whoever agreed to have them, on which nothing is said.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use sfu_core::peer::SrtpPair;
use sfu_core::peer::dtls::{Dtls, DtlsEvent, Identity};
use sfu_core::peer::ice::AwsHmac;
use sfu_core::peer::sctp::DataTransport;
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::session::{DataMedia, DtlsRole, LocalTransport, NegotiatedSession};

static HMAC: AwsHmac = AwsHmac;

/// Who this end is, and where.
pub(crate) struct Local<'a> {
    pub(crate) credentials: &'a LocalTransport,
    pub(crate) address: SocketAddr,
    /// Whether this end leads in ICE.
    pub(crate) leads: bool,
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
    /// What was agreed on data channels, until there is an association.
    agreed: Option<DataMedia>,
    data: Option<DataTransport>,
    transmits: VecDeque<Vec<u8>>,
}

impl Transport {
    pub(crate) fn new(
        identity: &Identity,
        own: &Local<'_>,
        session: &NegotiatedSession,
        remote: SocketAddr,
        now: Instant,
    ) -> Self {
        let theirs = &session.remote;
        Self {
            agent: agent(own, session, remote, now),
            dtls: Dtls::new(identity.clone(), theirs.dtls_role, theirs.fingerprints.clone()),
            role: theirs.dtls_role,
            local: own.address,
            remote,
            reached: false,
            dtls_version: "",
            srtp: None,
            agreed: session.data,
            data: None,
            transmits: VecDeque::new(),
        }
    }

    /// Begins ICE anew. Media goes on meanwhile, unless this end is elsewhere now: nothing leaves before the way is open.
    pub(crate) fn restart(&mut self, own: &Local<'_>, session: &NegotiatedSession, remote: SocketAddr, now: Instant) {
        self.agent = agent(own, session, remote, now);
        self.reached &= self.local == own.address;
        (self.local, self.remote) = (own.address, remote);
    }

    /// What seals, while there is a way.
    pub(crate) fn outbound(&mut self) -> Option<&mut SrtpPair> {
        self.srtp.as_mut().filter(|_| self.reached)
    }

    /// Whether handshake and way are there.
    pub(crate) fn is_connected(&self) -> bool {
        self.reached && self.srtp.is_some()
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
            let is_new =
                matches!(event, IceAgentEvent::NominatedSend { .. }) && !std::mem::replace(&mut self.reached, true);
            if is_new && self.srtp.is_none() {
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
                    let client = self.dtls.is_client();
                    self.data = self.agreed.take().map(|theirs| DataTransport::new(client, theirs, now));
                }
                DtlsEvent::WrongCertificate => eprintln!("bench_load: the certificate is not the one announced"),
                DtlsEvent::Application(bytes) => {
                    if let Some(data) = &mut self.data {
                        data.on_datagram(&bytes, now);
                    }
                }
                DtlsEvent::Closed => {}
            }
        }
        self.speak_data(now);
        while let Some(transmit) = self.agent.poll_transmit() {
            self.transmits.push_back(transmit.contents.to_vec());
        }
        self.transmits.extend(std::iter::from_fn(|| self.dtls.poll_transmit()));
    }

    /// Does what is due of the data channels.
    fn speak_data(&mut self, now: Instant) {
        let Some(data) = &mut self.data else { return };
        data.handle_timeout(now);
        while data.poll_event().is_some() {}
        while let Some(datagram) = data.poll_transmit() {
            self.dtls.send(&datagram, now);
        }
    }

    /// Whether there is something to send.
    pub(crate) fn speaks(&self) -> bool {
        !self.transmits.is_empty()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }
}

fn agent(own: &Local<'_>, session: &NegotiatedSession, remote: SocketAddr, now: Instant) -> IceAgent {
    let creds = IceCreds { ufrag: own.credentials.ufrag.clone(), pass: own.credentials.pwd.clone() };
    let mut agent = IceAgent::with_hmac(creds, &HMAC);
    agent.set_controlling(own.leads);
    let theirs = &session.remote;
    agent.set_remote_credentials(IceCreds { ufrag: theirs.ufrag.clone(), pass: theirs.pwd.clone() });
    for (address, is_ours) in [(own.address, true), (remote, false)] {
        match Candidate::host(address, Protocol::Udp) {
            Ok(candidate) if is_ours => drop(agent.add_local_candidate(candidate)),
            Ok(candidate) => agent.add_remote_candidate(candidate),
            Err(error) => eprintln!("bench_load: {address}: {error}"),
        }
    }
    agent.handle_timeout(now);
    agent
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sfu_core::demux::{DatagramKind, classify};
    use sfu_core::ids::Mid;
    use sfu_core::peer::dtls::DtlsVersions;
    use sfu_core::rtp::ext::ExtensionMap;
    use sfu_core::session::{CongestionFeedback, RemoteTransport};

    use super::*;
    use crate::clock::Clock;

    const STEP: Duration = Duration::from_millis(5);

    /// Two ends that lie side by side.
    struct Pair {
        ends: [Transport; 2],
        identities: [Identity; 2],
        now: Instant,
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4_000))
    }

    fn credentials(identity: &Identity, ufrag: &str) -> LocalTransport {
        LocalTransport {
            ufrag: ufrag.to_owned(),
            pwd: format!("{ufrag}-and-more-than-22-characters"),
            fingerprint: identity.fingerprint(),
            candidates: Vec::new(),
            ssrc_base: 0,
        }
    }

    /// What one end knows of the other one.
    fn session(other: &LocalTransport, dtls_role: DtlsRole) -> NegotiatedSession {
        NegotiatedSession {
            remote: RemoteTransport {
                ufrag: other.ufrag.clone(),
                pwd: other.pwd.clone(),
                fingerprints: vec![other.fingerprint.clone()],
                dtls_role,
                candidates: Vec::new(),
            },
            extensions: ExtensionMap::default(),
            feedback: CongestionFeedback::None,
            reduced_size: false,
            receive: Vec::new(),
            send: Vec::new(),
            data: Some(DataMedia { mid: Mid::new("0").expect("a mid"), sctp_port: 5_000, max_message_size: 65_536 }),
        }
    }

    impl Pair {
        fn new() -> Self {
            let identities = [(); 2].map(|()| Identity::generate(DtlsVersions::Only12).expect("an identity"));
            let now = Clock::start().now().instant;
            let credentials = [0, 1].map(|at| credentials(&identities[at], &format!("end-{at}")));
            let ends = [0, 1].map(|at| {
                let own = Local { credentials: &credentials[at], address: address(at as u8), leads: at == 0 };
                let role = [DtlsRole::Client, DtlsRole::Server][at];
                Transport::new(&identities[at], &own, &session(&credentials[1 - at], role), address(1 - at as u8), now)
            });
            Self { ends, identities, now }
        }

        /// Begins anew with other credentials, the first end at that address.
        fn restart(&mut self, first: SocketAddr) {
            let credentials = [0, 1].map(|at| credentials(&self.identities[at], &format!("again-{at}")));
            let addresses = [first, address(1)];
            for (at, end) in self.ends.iter_mut().enumerate() {
                let own = Local { credentials: &credentials[at], address: addresses[at], leads: at == 0 };
                let known = session(&credentials[1 - at], DtlsRole::Client);
                end.restart(&own, &known, addresses[1 - at], self.now);
            }
        }

        /// Lets half a second pass, in which what one end sends reaches the other one.
        fn meet(&mut self) {
            for _ in 0..100 {
                self.now += STEP;
                for at in [0, 1] {
                    self.ends[at].handle_timeout(self.now);
                    let from = self.ends[at].local;
                    while let Some(datagram) = self.ends[at].poll_transmit() {
                        let other = &mut self.ends[1 - at];
                        match classify(&datagram) {
                            DatagramKind::Stun => other.on_stun(&datagram, from, self.now),
                            DatagramKind::Dtls => other.on_dtls(&datagram, self.now),
                            kind => panic!("{kind:?} before there is anything to send"),
                        }
                    }
                }
            }
        }

        fn connected(&self) -> [bool; 2] {
            [0, 1].map(|at| self.ends[at].is_connected())
        }
    }

    #[test]
    fn two_ends_agree_on_keys_and_data() {
        let mut pair = Pair::new();
        assert_eq!(pair.connected(), [false; 2]);
        pair.meet();
        assert_eq!(pair.connected(), [true; 2]);
        assert!(pair.ends.iter().all(|end| end.data.is_some()));
    }

    #[test]
    fn who_begins_anew_where_it_was_goes_on_sending() {
        let mut pair = Pair::new();
        pair.meet();
        pair.restart(address(0));
        assert!(pair.ends[0].outbound().is_some());
        pair.meet();
        assert_eq!(pair.connected(), [true; 2]);
    }

    #[test]
    fn who_is_elsewhere_sends_nothing_before_there_is_a_way_and_keeps_its_keys() {
        let mut pair = Pair::new();
        pair.meet();
        pair.restart(address(7));
        assert!(pair.ends[0].outbound().is_none() && pair.ends[0].srtp.is_some());
        pair.meet();
        assert_eq!(pair.connected(), [true; 2]);
    }
}
