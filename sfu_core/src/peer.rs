//! One participant's transport: ICE finds the way, DTLS agrees on keys, SRTP carries media and SCTP data (RFC 8834, RFC
//! 8827, RFC 8831). The engine brings datagrams and time, and takes datagrams and events.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use is::IceCreds;

use self::dtls::{Dtls, DtlsEvent, Identity};
use self::ice::{Ice, IceEvent};
use self::sctp::{DataEvent, DataTransport};
use self::srtp::{SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile};
use crate::session::{DataMedia, DtlsRole, FailReason, RemoteTransport};

pub mod dtls;
pub mod ice;
pub mod sctp;
pub mod srtp;

/// How long ICE and DTLS may take together, counted from the description of the remote; a browser gives up ICE after 15 s
/// without an answer, and a person reloads the page sooner.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// How long the remote may stay away after consent expired; long enough for a lift, a tunnel or a restarted router.
pub const MAX_ABSENCE: Duration = Duration::from_secs(120);

/// Most things to tell that wait; the engine takes them after every call, which makes a few.
const MAX_EVENTS: usize = 128;

/// What all peers have in common.
#[derive(Clone)]
pub struct TransportConfig {
    /// Our certificate and the settings of DTLS.
    pub identity: Identity,
    /// The addresses that remotes are told, of both families, inside and outside at once.
    pub candidates: Vec<SocketAddr>,
    /// Whether to check addresses that a remote only names. Needed only when this host is itself behind a firewall that
    /// has to be opened from inside; else it would make us knock at whatever address a stranger writes down.
    pub check_signalled: bool,
    /// Whether media is protected by an AEAD or not at all. Else `AES128_CM_HMAC_SHA1_80` is taken from who knows nothing
    /// better: some encoders, and with DTLS 1.3 whoever names it first.
    pub aead_only: bool,
}

/// The keys of both directions, in the order written: a flush fetches only those of its own, see `prefetch.rs`.
#[repr(C)]
pub struct SrtpPair {
    /// Seals what we send.
    pub outbound: SrtpOutbound,
    /// Opens what the remote sends.
    pub inbound: SrtpInbound,
    /// How.
    pub profile: SrtpProfile,
}

impl SrtpPair {
    /// The pair for us, who have `role` in DTLS.
    pub fn new(keys: &SrtpKeys, role: DtlsRole) -> Self {
        let (ours, theirs) = match role {
            DtlsRole::Client => (&keys.client, &keys.server),
            DtlsRole::Server => (&keys.server, &keys.client),
        };
        Self {
            inbound: SrtpInbound::new(keys.profile, &theirs.key, &theirs.salt),
            outbound: SrtpOutbound::new(keys.profile, &ours.key, &ours.salt),
            profile: keys.profile,
        }
    }
}

/// What happened to a peer.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerEvent {
    /// It sent its first authenticated request from here: what else comes from here is its own (`Demux::insert`).
    AddressAuthenticated(SocketAddr),
    /// It answered our own check here: the address is nobody else's (`Demux::confirm`).
    AddressValidated(SocketAddr),
    /// Nothing more is expected from here (`Demux::remove_of`).
    AddressLost(SocketAddr),
    /// It repeated a request of its own that was heard from another address: it, or somebody who has it.
    StunReplayed,
    /// ICE is done, and nothing has been connected yet: media would have somewhere to go.
    WayFound,
    /// DTLS is done: there are keys for media.
    KeysAgreed,
    /// ICE and DTLS are done: media can flow.
    Connected {
        /// How SRTP is protected.
        profile: SrtpProfile,
        /// `1.2` or `1.3`
        dtls_version: &'static str,
    },
    /// It has not answered for a while.
    Disconnected,
    /// It answers again.
    Reconnected,
    /// It cannot come back without a new negotiation.
    Failed(FailReason),
    /// It said goodbye.
    Closed,
    /// Something came on a data channel.
    Data(DataEvent),
    /// Media goes to another address now: what was learned about the path is void.
    PathChanged,
}

/// One participant's transport.
pub struct Peer {
    identity: Option<Identity>,
    aead_only: bool,
    ice: Option<Ice>,
    dtls: Option<Dtls>,
    /// Keys for media, as soon as the remote has shown the right certificate.
    pub srtp: Option<SrtpPair>,
    /// Data channels, when negotiated and connected.
    pub data: Option<DataTransport>,
    data_media: Option<DataMedia>,
    /// The address of a peer that was given its keys.
    fixed: Option<SocketAddr>,
    dtls_version: &'static str,
    announced: bool,
    failed: bool,
    deadline: Option<Instant>,
    events: VecDeque<PeerEvent>,
    now: Instant,
}

impl Peer {
    /// A peer that answers to these ICE credentials. What it draws comes from `seed`.
    pub fn new(config: &TransportConfig, local_ufrag: String, local_pwd: String, seed: u64, now: Instant) -> Self {
        let local = IceCreds { ufrag: local_ufrag, pass: local_pwd };
        let ice = Ice::new(local, &config.candidates, config.check_signalled, seed, now);
        let identity = Some(config.identity.clone());
        Self { identity, aead_only: config.aead_only, ice: Some(ice), ..Self::bare(now) }
    }

    fn bare(now: Instant) -> Self {
        Self {
            identity: None,
            aead_only: false,
            ice: None,
            dtls: None,
            srtp: None,
            data: None,
            data_media: None,
            fixed: None,
            dtls_version: "1.2",
            announced: false,
            failed: false,
            deadline: None,
            events: VecDeque::new(),
            now,
        }
    }

    /// A peer connected from the start, for simulations: `keys` as if from a handshake in which we had `role`, and one
    /// address for life. Neither ICE nor DTLS take place.
    #[cfg(any(test, feature = "simulation"))]
    pub fn with_keys(remote: SocketAddr, keys: &SrtpKeys, role: DtlsRole, now: Instant) -> Self {
        let connected = PeerEvent::Connected { profile: keys.profile, dtls_version: "1.2" };
        Self {
            srtp: Some(SrtpPair::new(keys, role)),
            fixed: Some(remote),
            announced: true,
            events: VecDeque::from([
                PeerEvent::AddressAuthenticated(remote),
                PeerEvent::AddressValidated(remote),
                connected,
            ]),
            ..Self::bare(now)
        }
    }

    /// Learns who the remote is; from here on it has [`CONNECT_DEADLINE`]. After [`Peer::restart_ice`] again, with the new
    /// credentials: DTLS and SRTP go on as they are.
    pub fn connect(&mut self, remote: &RemoteTransport, data: Option<DataMedia>, now: Instant) {
        self.now = now;
        self.data_media = data.or(self.data_media);
        if let Some(ice) = &mut self.ice {
            ice.set_remote(remote, now);
        }
        if self.dtls.is_none() {
            let identity = self.identity.take();
            self.dtls = identity.map(|own| Dtls::new(own, remote.dtls_role, remote.fingerprints.clone()));
        }
        // The remote may have been heard before its description came.
        let heard = self.ice.as_ref().is_some_and(|ice| ice.handshake_address().is_some());
        if let Some(dtls) = self.dtls.as_mut().filter(|_| heard) {
            dtls.start(now);
        }
        self.failed = false;
        self.deadline = (!self.announced || self.media_address().is_none()).then(|| now + CONNECT_DEADLINE);
        self.open_data(now);
        self.pump(now);
    }

    /// Changes our ICE credentials. Media goes on to where it goes until the new ones have proved an address.
    pub fn restart_ice(&mut self, ufrag: String, pwd: String, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.restart(IceCreds { ufrag, pass: pwd }, now);
        }
        self.pump(now);
    }

    /// Takes in a STUN message that came to `destination`, one of our addresses.
    pub fn on_stun(&mut self, source: SocketAddr, destination: IpAddr, datagram: &[u8], now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.on_stun(source, destination, datagram, now);
        }
        self.pump(now);
    }

    /// Whether the STUN message `answer` answers a check of ours.
    pub fn asked(&self, answer: &[u8]) -> bool {
        self.ice.as_ref().is_some_and(|ice| ice.asked(answer))
    }

    /// Takes in a DTLS datagram. Handshakes only queue up, for [`Peer::advance_handshake`].
    pub fn on_dtls(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let may_send_dtls = self.ice.as_ref().is_some_and(|ice| ice.may_send_dtls(source));
        if let Some(dtls) = self.dtls.as_mut().filter(|_| may_send_dtls) {
            dtls.on_datagram(datagram, now);
            self.pump(now);
        }
    }

    /// Whether a DTLS handshake is under way: the remote has an address and no keys yet.
    pub fn is_joining(&self) -> bool {
        !self.announced && !self.failed && self.ice.as_ref().is_some_and(|ice| ice.handshake_address().is_some())
    }

    /// How many handshake datagrams wait.
    pub fn pending_handshake(&self) -> usize {
        self.dtls.as_ref().map_or(0, Dtls::pending)
    }

    /// Works off one handshake datagram, which may cost a signature; `false` when there was none.
    pub fn advance_handshake(&mut self, now: Instant) -> bool {
        let advanced = self.dtls.as_mut().is_some_and(|dtls| dtls.advance(now));
        if advanced {
            self.pump(now);
        }
        advanced
    }

    /// Says goodbye; what is still to be sent follows from [`Peer::poll_transmit`].
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.pump(now);
    }

    /// Where media goes now, and from which of our addresses; `None`: nowhere, the remote does not consent.
    pub fn media_address(&self) -> Option<(SocketAddr, Option<IpAddr>)> {
        self.fixed.map(|remote| (remote, None)).or_else(|| self.ice.as_ref()?.media())
    }

    /// Round-trip time of our last answered check where media goes.
    pub fn round_trip(&self) -> Option<Duration> {
        self.ice.as_ref()?.round_trip()
    }

    /// How many handshakes came to nothing.
    pub fn failed_handshakes(&self) -> u32 {
        self.dtls.as_ref().map_or(0, Dtls::failed_attempts)
    }

    /// Puts the next datagram other than media into `out` and says where it goes, and from which of our addresses.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<(SocketAddr, Option<IpAddr>)> {
        out.clear();
        let ice = self.ice.as_mut()?;
        if let Some((to, from, bytes)) = ice.poll_transmit() {
            out.extend_from_slice(&bytes);
            return Some((to, from));
        }
        let address = ice.handshake_address()?;
        let dtls = self.dtls.as_mut()?;
        let record = dtls.poll_transmit().or_else(|| {
            // One message at a time, so that SCTP sees what the path takes and not what the queue takes.
            let payload = self.data.as_mut()?.poll_transmit()?;
            dtls.send(&payload, self.now);
            dtls.poll_transmit()
        })?;
        out.extend_from_slice(&record);
        Some(address)
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front().or_else(|| self.data.as_mut()?.poll_event().map(PeerEvent::Data))
    }

    /// When to call [`Peer::handle_timeout`]; [`Peer::advance_handshake`] is for whoever shares out the work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ice = self.ice.as_ref().and_then(Ice::poll_timeout);
        let dtls = self.dtls.as_ref().and_then(Dtls::poll_timeout);
        let data = self.data.as_ref().and_then(DataTransport::poll_timeout);
        [ice, dtls, data, self.deadline].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(now);
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        if let Some(data) = &mut self.data
            && data.poll_timeout().is_some_and(|due| due <= now)
        {
            data.handle_timeout(now);
        }
        self.pump(now);
        if self.deadline.take_if(|deadline| *deadline <= now).is_some() {
            let reason = self.overdue();
            self.fail(reason);
        }
    }

    fn overdue(&self) -> FailReason {
        if self.media_address().is_some() { FailReason::Dtls } else { FailReason::Ice }
    }

    fn fail(&mut self, reason: FailReason) {
        if !std::mem::replace(&mut self.failed, true) {
            self.events.push_back(PeerEvent::Failed(reason));
        }
    }

    /// Passes on what ICE and DTLS have to say.
    fn pump(&mut self, now: Instant) {
        self.now = now;
        while let Some(event) = self.ice.as_mut().and_then(Ice::poll_event) {
            self.on_ice(event, now);
        }
        while let Some(event) = self.dtls.as_mut().and_then(Dtls::poll_event) {
            self.on_dtls_event(event, now);
        }
        self.events.truncate(MAX_EVENTS);
    }

    fn on_ice(&mut self, event: IceEvent, now: Instant) {
        match event {
            IceEvent::Heard(address) => {
                self.events.push_back(PeerEvent::AddressAuthenticated(address));
                if let Some(dtls) = &mut self.dtls {
                    dtls.start(now);
                }
            }
            IceEvent::Proved(address) => self.events.push_back(PeerEvent::AddressValidated(address)),
            IceEvent::Lost(address) => self.events.push_back(PeerEvent::AddressLost(address)),
            IceEvent::Moved => self.events.push_back(PeerEvent::PathChanged),
            IceEvent::Quiet if self.announced => self.events.push_back(PeerEvent::Disconnected),
            IceEvent::Back if self.announced => self.events.push_back(PeerEvent::Reconnected),
            IceEvent::Quiet | IceEvent::Back => {}
            IceEvent::Expired => {
                if self.announced {
                    self.deadline = Some(now + MAX_ABSENCE);
                }
            }
            IceEvent::Found if self.announced => {
                self.deadline = None;
                self.events.extend([PeerEvent::PathChanged, PeerEvent::Reconnected]);
            }
            IceEvent::Found => {
                self.events.push_back(PeerEvent::WayFound);
                self.announce();
            }
            IceEvent::Replayed => self.events.push_back(PeerEvent::StunReplayed),
        }
    }

    fn on_dtls_event(&mut self, event: DtlsEvent, now: Instant) {
        match event {
            DtlsEvent::Connected { profile, keys, version } => {
                let Ok(profile) = SrtpProfile::try_from(profile) else { return };
                if self.aead_only && !profile.is_aead() {
                    return self.fail(FailReason::Dtls);
                }
                let Some(keys) = SrtpKeys::new(profile, &keys) else { return };
                self.srtp = Some(SrtpPair::new(&keys, self.role()));
                self.dtls_version = version;
                self.events.push_back(PeerEvent::KeysAgreed);
                self.open_data(now);
                self.announce();
            }
            DtlsEvent::WrongCertificate => self.fail(FailReason::Fingerprint),
            DtlsEvent::Application(bytes) => {
                if let Some(data) = &mut self.data {
                    data.on_datagram(&bytes, now);
                }
            }
            DtlsEvent::Closed => self.events.push_back(PeerEvent::Closed),
        }
    }

    fn role(&self) -> DtlsRole {
        if self.dtls.as_ref().is_some_and(Dtls::is_client) { DtlsRole::Client } else { DtlsRole::Server }
    }

    fn open_data(&mut self, now: Instant) {
        // Not for whom a policy refused media: DTLS stands there, without keys that are taken.
        let ready = self.data.is_none() && self.srtp.is_some() && self.dtls.as_ref().is_some_and(Dtls::is_connected);
        if let Some(media) = self.data_media.filter(|_| ready) {
            self.data = Some(DataTransport::new(self.role() == DtlsRole::Client, media, now));
        }
    }

    /// Tells that media can flow, once there is both a way and a key.
    fn announce(&mut self) {
        let Some(srtp) = self.srtp.as_ref().filter(|_| self.media_address().is_some()) else { return };
        self.announced = true;
        self.deadline = None;
        self.events.push_back(PeerEvent::Connected { profile: srtp.profile, dtls_version: self.dtls_version });
    }
}

#[cfg(test)]
mod tests;
