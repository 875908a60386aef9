//! A remote made of a controlling ICE agent and a DTLS client, and the network between it and a [`Peer`], in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};

use crate::demux::{DatagramKind, UfragKey, classify};
use crate::ids::PeerId;
use crate::peer::dtls::{DtlsVersions, Identity};
use crate::peer::ice::AwsHmac;
use crate::peer::sctp::DataTransport;
use crate::peer::{Peer, PeerEvent, TransportConfig};
use crate::session::{DtlsRole, FailReason, Fingerprint, RemoteTransport};

static HMAC: AwsHmac = AwsHmac;
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate(DtlsVersions::Only12).expect("an identity"));
const STEP: Duration = Duration::from_millis(5);

#[allow(clippy::disallowed_methods)]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn creds(name: &str) -> IceCreds {
    IceCreds { ufrag: name.to_owned(), pass: format!("{name}-password-of-22-chars") }
}

pub(super) struct Bench {
    pub(super) now: Instant,
    pub(super) peer: Peer,
    pub(super) agent: IceAgent,
    pub(super) dtls: dimpl::Dtls,
    pub(super) server: SocketAddr,
    /// Under which address the server itself is sent to.
    pub(super) own: IpAddr,
    /// How the server sees an address of the remote, where that differs.
    pub(super) nat: BTreeMap<SocketAddr, SocketAddr>,
    /// Addresses of the remote that are cut off.
    pub(super) dead: BTreeSet<SocketAddr>,
    /// Which datagram of DTLS to lose, counted over both directions.
    pub(super) lose: BTreeSet<usize>,
    dtls_count: usize,
    /// Whether the remote speaks DTLS, and whether before it has nominated.
    pub(super) speaks: bool,
    pub(super) eager: bool,
    pub(super) remote: RemoteTransport,
    home: SocketAddr,
    pub(super) requests: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<PeerEvent>,
    /// What the peer sent to where the remote is not.
    pub(super) stray: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) remote_keys: Option<Vec<u8>>,
    /// The data channels of the remote.
    pub(super) data: Option<DataTransport>,
    generation: u8,
}

impl Bench {
    pub(super) fn new(server: &str, remote: &str) -> Self {
        Self::with_role(server, remote, DtlsRole::Server)
    }

    /// `role` is that of the peer under test.
    pub(super) fn with_role(server: &str, remote: &str, role: DtlsRole) -> Self {
        Self::make(server, remote, role, false)
    }

    pub(super) fn checking_named(server: &str, remote: &str) -> Self {
        Self::make(server, remote, DtlsRole::Server, true)
    }

    fn make(server: &str, remote: &str, role: DtlsRole, check_signalled: bool) -> Self {
        let now = start();
        let (server, home) = (address(server), address(remote));
        let config =
            TransportConfig { identity: IDENTITY.clone(), candidates: vec![server], check_signalled, aead_only: false };
        let local = Self::local(0);
        let peer = Peer::new(&config, local.ufrag, local.pass, 42, now);
        let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
        let fingerprint = Fingerprint { algorithm: "sha-256".to_owned(), value: certificate.fingerprint() };
        let rto = Duration::from_millis(50);
        let dtls_config = dimpl::Config::builder().flight_start_rto(rto).flight_retries(9).build().expect("a config");
        let mut dtls = dimpl::Dtls::new_12(Arc::new(dtls_config), certificate, now);
        dtls.set_active(role == DtlsRole::Server);
        let theirs = creds("remote0");
        let remote = RemoteTransport {
            ufrag: theirs.ufrag.clone(),
            pwd: theirs.pass.clone(),
            fingerprints: vec![fingerprint],
            dtls_role: role,
            candidates: vec![],
        };
        let mut agent = IceAgent::with_hmac(theirs, &HMAC);
        agent.set_controlling(true);
        agent.add_local_candidate(Candidate::host(home, Protocol::Udp).expect("a candidate"));
        agent.set_remote_credentials(Self::local(0));
        agent.add_remote_candidate(Candidate::host(server, Protocol::Udp).expect("a candidate"));
        agent.handle_timeout(now);
        Self {
            now,
            peer,
            agent,
            dtls,
            server,
            own: server.ip(),
            nat: BTreeMap::new(),
            dead: BTreeSet::new(),
            lose: BTreeSet::new(),
            dtls_count: 0,
            speaks: true,
            eager: false,
            remote,
            home,
            requests: vec![],
            events: vec![],
            stray: vec![],
            remote_keys: None,
            data: None,
            generation: 0,
        }
    }

    fn local(generation: u8) -> IceCreds {
        let ufrag = UfragKey::new([1; 16]).ufrag(PeerId::new(3, 1), generation);
        IceCreds { ufrag, pass: format!("local-password-{generation}-of-32-characters") }
    }

    pub(super) fn connect(&mut self) {
        self.peer.connect(&self.remote.clone(), None, self.now);
    }

    /// A remote that is connected when this returns.
    pub(super) fn connected(server: &str, remote: &str) -> Self {
        let mut bench = Self::new(server, remote);
        bench.connect();
        bench.run(Duration::from_secs(1));
        assert!(bench.is_connected());
        bench.events.clear();
        bench
    }

    /// Both ends take new ICE credentials.
    pub(super) fn restart(&mut self) {
        self.generation += 1;
        let local = Self::local(self.generation);
        self.peer.restart_ice(local.ufrag.clone(), local.pass.clone(), self.now);
        let theirs = creds(&format!("remote{}", self.generation));
        self.remote.ufrag = theirs.ufrag.clone();
        self.remote.pwd = theirs.pass.clone();
        self.agent.ice_restart(theirs, true);
        self.agent.set_remote_credentials(local);
        self.agent.add_remote_candidate(Candidate::host(self.server, Protocol::Udp).expect("a candidate"));
    }

    /// A request as the remote would send next, authenticated and never seen before.
    pub(super) fn request(&self, use_candidate: bool) -> Vec<u8> {
        let local = Self::local(self.generation);
        let username = format!("{}:{}", local.ufrag, self.remote.ufrag);
        let transaction = is::stun::TransId::new();
        let request = StunMessage::binding_request(&username, transaction, true, 1, 1, use_candidate);
        let mut bytes = vec![0; 600];
        let len = request.to_bytes(Some(local.pass.as_bytes()), &mut bytes, AwsHmac::sign).expect("STUN");
        bytes.truncate(len);
        bytes
    }

    pub(super) fn is_connected(&self) -> bool {
        self.events.iter().any(|event| matches!(event, PeerEvent::Connected { .. }))
    }

    pub(super) fn failures(&self) -> Vec<FailReason> {
        let failed = self.events.iter().filter_map(|event| match event {
            PeerEvent::Failed(reason) => Some(*reason),
            _ => None,
        });
        failed.collect()
    }

    pub(super) fn media(&self) -> Option<SocketAddr> {
        self.peer.media_address().map(|(address, _)| address)
    }

    /// The remote leaves `home` for `new`.
    pub(super) fn move_to(&mut self, new: &str) {
        let new = address(new);
        self.agent.add_local_candidate(Candidate::host(new, Protocol::Udp).expect("a candidate"));
        self.agent.invalidate_candidate(&Candidate::host(self.home, Protocol::Udp).expect("a candidate"));
        self.dead.insert(self.home);
        self.home = new;
    }

    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.step();
            self.now += STEP;
        }
    }

    pub(super) fn step(&mut self) {
        self.agent.handle_timeout(self.now);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { source, .. } = event {
                self.home = source;
                self.eager = true;
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            self.deliver(transmit.source, &transmit.contents);
        }
        if self.speaks && self.eager {
            // A remote that gives up is the matter of some tests.
            self.speaks = self.dtls.handle_timeout(self.now).is_ok();
            self.send_data();
            self.drain_dtls();
        }
        if self.peer.poll_timeout().is_some_and(|due| due <= self.now) {
            self.peer.handle_timeout(self.now);
        }
        self.drain_peer();
    }

    fn send_data(&mut self) {
        let Some(data) = &mut self.data else { return };
        if data.poll_timeout().is_some_and(|due| due <= self.now) {
            data.handle_timeout(self.now);
        }
        while let Some(bytes) = self.data.as_mut().and_then(DataTransport::poll_transmit) {
            self.dtls.send_application_data(&bytes).expect("an open association");
            self.drain_dtls();
        }
    }

    fn deliver(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.dead.contains(&from) {
            return;
        }
        let seen = self.nat.get(&from).copied().unwrap_or(from);
        if bytes.starts_with(&[0, 1]) {
            self.requests.push((seen, bytes.to_vec()));
        }
        match classify(bytes) {
            DatagramKind::Stun => self.peer.on_stun(seen, self.own, bytes, self.now),
            _ if self.loses() => {}
            _ => self.peer.on_dtls(seen, bytes, self.now),
        }
        while self.peer.advance_handshake(self.now) {}
        self.drain_peer();
    }

    fn loses(&mut self) -> bool {
        self.dtls_count += 1;
        self.lose.contains(&(self.dtls_count - 1))
    }

    pub(super) fn drain_peer(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
        let mut bytes = Vec::new();
        while let Some((to, _)) = self.peer.poll_transmit(&mut bytes) {
            let own = self.agent.local_candidates().map(|candidate| candidate.addr());
            let own = own.into_iter().find(|own| self.nat.get(own).unwrap_or(own) == &to);
            match own.filter(|own| !self.dead.contains(own)) {
                Some(own) => self.receive(own, &bytes),
                None => self.stray.push((to, bytes.clone())),
            }
        }
    }

    fn receive(&mut self, to: SocketAddr, bytes: &[u8]) {
        if classify(bytes) == DatagramKind::Stun {
            let message = StunMessage::parse(bytes).expect("STUN");
            let packet = StunPacket { proto: Protocol::Udp, source: self.server, destination: to, message };
            self.agent.handle_packet(self.now, packet);
        } else if !self.loses() {
            let _ = self.dtls.handle_timeout(self.now).and_then(|()| self.dtls.handle_packet(bytes));
            self.drain_dtls();
        }
    }

    fn drain_dtls(&mut self) {
        let mut packets = vec![];
        let mut buffer = [0; 2048];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(packet) => packets.push(packet.to_vec()),
                dimpl::Output::KeyingMaterial(keys, _) => self.remote_keys = Some(keys.to_vec()),
                dimpl::Output::Timeout(_) => break,
                dimpl::Output::ApplicationData(bytes) => {
                    self.data.as_mut().expect("data was agreed on").on_datagram(bytes, self.now);
                }
                _ => {}
            }
        }
        for packet in packets {
            self.deliver(self.home, &packet);
        }
    }
}
