//! Agreeing on media keys: DTLS-SRTP (RFC 5763, RFC 5764). The handshake itself is `dimpl`'s, behind [`DtlsEndpoint`];
//! here is what it leaves to us: who the remote must be, what may be fed to it and how often, and trying again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{DtlsCertificate, SrtpProfile};
use serde::{Deserialize, Serialize};

use self::records::{Stage, is_acceptable, is_application};
use crate::session::{DtlsRole, Fingerprint};

mod records;

/// Most handshake datagrams of one peer that wait for their turn. A ClientHello is two, a whole flight of a browser four,
/// one with an RSA certificate of 4096 bits 13 where OpenSSL cuts it into 256 bytes each.
pub const MAX_PENDING_HANDSHAKE: usize = 16;
/// Most handshake datagrams of one peer in a second; a handshake without loss takes six, that one 14.
pub const MAX_HANDSHAKE_PER_SECOND: u32 = 40;
/// Longest datagram looked at. Browsers send 1 408 bytes at most; this is what Ethernet carries.
pub const MAX_DTLS_LEN: usize = 1_500;
/// Pause before the ClientHello of a new attempt.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// First retransmission of a lost flight. A browser starts at 50 ms; a call across the world takes 300 ms.
const FLIGHT_RTO: Duration = Duration::from_millis(150);
/// Retransmissions of one flight: 150 ms doubling, about 19 s.
const FLIGHT_RETRIES: usize = 6;
/// After this long without a word from an endpoint that was fed, what it was fed was no ClientHello of the remote, whose
/// own it would now refuse. A browser repeats its ClientHello within that time.
pub(super) const STALLED_AFTER: Duration = Duration::from_millis(500);
/// Limit of one attempt.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of one output of the endpoint; its datagrams are 1 150 at most, certificates of browsers below 600,
/// with RSA below 1 300.
const OUTPUT_LEN: usize = 16 * 1_024;
/// Most datagrams waiting to be sent: a few flights, or what SCTP has under way at a time.
const MAX_TRANSMITS: usize = 256;
/// Most messages of one datagram waiting to be read.
const MAX_RECEIVED: usize = 64;

/// The endpoint cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("DTLS ended: {0}")]
pub struct DtlsError(#[from] dimpl::Error);

/// What an endpoint has to say.
pub enum DtlsOutput<'a> {
    /// Send this.
    Packet(&'a [u8]),
    /// The remote showed this certificate (DER) and proved to have its key.
    Certificate(&'a [u8]),
    /// The keys for SRTP: client key, server key, client salt, server salt.
    Keys(SrtpProfile, Vec<u8>),
    /// Application data: SCTP.
    Application(&'a [u8]),
    /// The remote said goodbye.
    Closed,
    /// Something of no interest; ask again.
    Other,
    /// Something longer than the buffer, as only a certificate made to harm can be.
    TooLong,
    /// Nothing more until this instant.
    Idle(Instant),
}

/// One end of one DTLS association.
///
/// # Errors
/// An error of any of them is final: make a new one.
#[allow(clippy::missing_errors_doc)]
pub trait DtlsEndpoint: Send {
    /// Takes in a datagram.
    fn handle_packet(&mut self, datagram: &[u8], now: Instant) -> Result<(), DtlsError>;
    /// Repeats what was lost.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;
    /// What comes next; to be asked until [`DtlsOutput::Idle`].
    fn poll<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a>;
    /// Sends application data.
    fn send(&mut self, payload: &[u8]) -> Result<(), DtlsError>;
    /// Says goodbye.
    fn close(&mut self) -> Result<(), DtlsError>;
    /// `1.2` or `1.3`.
    fn version(&self) -> &'static str;
}

impl DtlsEndpoint for dimpl::Dtls {
    fn handle_packet(&mut self, datagram: &[u8], now: Instant) -> Result<(), DtlsError> {
        dimpl::Dtls::handle_timeout(self, now)?;
        Ok(dimpl::Dtls::handle_packet(self, datagram)?)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        Ok(dimpl::Dtls::handle_timeout(self, now)?)
    }

    fn poll<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.poll_output(buffer) {
            dimpl::Output::Packet(packet) => DtlsOutput::Packet(packet),
            dimpl::Output::PeerCert(der) => DtlsOutput::Certificate(der),
            dimpl::Output::KeyingMaterial(keys, profile) => DtlsOutput::Keys(profile, keys.to_vec()),
            dimpl::Output::ApplicationData(payload) => DtlsOutput::Application(payload),
            dimpl::Output::CloseNotify => DtlsOutput::Closed,
            dimpl::Output::Timeout(at) => DtlsOutput::Idle(at),
            dimpl::Output::BufferTooSmall { .. } => DtlsOutput::TooLong,
            _ => DtlsOutput::Other,
        }
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), DtlsError> {
        self.send_application_data(payload)?;
        Ok(())
    }

    fn close(&mut self) -> Result<(), DtlsError> {
        Ok(dimpl::Dtls::close(self)?)
    }

    fn version(&self) -> &'static str {
        match self.protocol_version() {
            Some(dimpl::ProtocolVersion::DTLS1_3) => "1.3",
            _ => "1.2",
        }
    }
}

/// Which versions are spoken, named by the highest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsVersions {
    /// Only 1.2, where the server chooses the SRTP profile and every browser then takes an AEAD.
    #[default]
    #[serde(rename = "1.2")]
    Only12,
    /// 1.3 with whoever knows it, where the first profile of the client is taken.
    #[serde(rename = "1.3")]
    UpTo13,
}

/// Who we are in DTLS: one certificate for the life of the process, drawn where randomness may be (the rim).
#[derive(Clone)]
pub struct Identity {
    config: Arc<dimpl::Config>,
    certificate: DtlsCertificate,
    versions: DtlsVersions,
}

/// Why there is no [`Identity`].
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate could be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// The cryptographic library lacks something.
    #[error("cannot set up DTLS: {0}")]
    Setup(#[from] dimpl::Error),
}

impl Identity {
    /// Draws a key and certifies it (P-256, self-signed, one year).
    ///
    /// # Errors
    /// When the cryptographic library lacks something.
    pub fn generate(versions: DtlsVersions) -> Result<Self, IdentityError> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        // No cookie: behind an authenticated ICE check it would only cost a round trip.
        let config = dimpl::Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .build()?;
        Ok(Self { config: Arc::new(config), certificate, versions })
    }

    /// What descriptions must announce.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { algorithm: "sha-256".to_owned(), value: self.certificate.fingerprint() }
    }

    fn endpoint(&self, role: DtlsRole, now: Instant) -> Box<dyn DtlsEndpoint> {
        let (config, certificate) = (Arc::clone(&self.config), self.certificate.clone());
        let mut endpoint = match self.versions {
            DtlsVersions::Only12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersions::UpTo13 => dimpl::Dtls::new_auto(config, certificate, now),
        };
        endpoint.set_active(role == DtlsRole::Client);
        Box::new(endpoint)
    }
}

/// What DTLS has come to.
#[derive(Debug)]
pub enum DtlsEvent {
    /// The remote is who the description said, and these are the keys.
    Connected {
        /// How SRTP is protected.
        profile: SrtpProfile,
        /// Client key, server key, client salt, server salt.
        keys: Vec<u8>,
        /// `1.2` or `1.3`
        version: &'static str,
    },
    /// The remote shows another certificate than announced. That is the end: whoever it is, another attempt would not make
    /// it the one who was announced.
    WrongCertificate,
    /// SCTP.
    Application(Vec<u8>),
    /// The remote said goodbye.
    Closed,
}

/// How far an association is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Handshaking,
    /// The certificate is right, the keys are not there yet.
    Verified,
    Connected,
    Over,
}

/// The association with one remote, over as many attempts as it takes.
pub struct Dtls {
    identity: Identity,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    endpoint: Option<Box<dyn DtlsEndpoint>>,
    /// Since when the endpoint has been fed without having anything to say.
    silent_since: Option<Instant>,
    progress: Progress,
    pending: VecDeque<Vec<u8>>,
    second: Option<(Instant, u32)>,
    failed_attempts: u32,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<DtlsEvent>,
    due: Option<Instant>,
}

impl Dtls {
    /// Waits for a remote that will show one of `fingerprints`.
    pub fn new(identity: Identity, role: DtlsRole, fingerprints: Vec<Fingerprint>) -> Self {
        Self {
            identity,
            role,
            fingerprints,
            endpoint: None,
            silent_since: None,
            progress: Progress::Handshaking,
            pending: VecDeque::new(),
            second: None,
            failed_attempts: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            due: None,
        }
    }

    /// Whether we say the first word.
    pub fn is_client(&self) -> bool {
        self.role == DtlsRole::Client
    }

    /// Whether keys were given out.
    pub fn is_connected(&self) -> bool {
        self.progress == Progress::Connected
    }

    /// How many attempts came to nothing.
    pub const fn failed_attempts(&self) -> u32 {
        self.failed_attempts
    }

    /// How many datagrams wait for [`Dtls::advance`].
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Says the first word, where that is ours to say and there is an address to say it to.
    pub fn start(&mut self, now: Instant) {
        if self.is_client() && self.endpoint.is_none() && self.due.is_none() && self.is_open() {
            self.due = Some(now);
            self.handle_timeout(now);
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Handshaking | Progress::Verified)
    }

    /// Takes in a datagram. What belongs to a handshake only queues up: it costs signatures.
    pub fn on_datagram(&mut self, datagram: &[u8], now: Instant) {
        let stage = match (self.progress, &self.endpoint) {
            (Progress::Over, _) => return,
            (Progress::Connected, _) => Stage::Connected,
            (_, Some(_)) => Stage::Handshaking,
            (_, None) => Stage::Fresh,
        };
        let stage = if stage == Stage::Fresh && !self.pending.is_empty() { Stage::Handshaking } else { stage };
        if datagram.len() > MAX_DTLS_LEN || !is_acceptable(datagram, stage) {
            return;
        }
        if stage == Stage::Connected && is_application(datagram) {
            self.feed(datagram, now);
        } else if self.within_rate(now) {
            if stage == Stage::Connected {
                self.feed(datagram, now);
            } else if self.pending.len() < MAX_PENDING_HANDSHAKE {
                self.pending.push_back(datagram.to_vec());
            }
        }
    }

    fn within_rate(&mut self, now: Instant) -> bool {
        let current = self.second.filter(|(start, _)| now.saturating_duration_since(*start) < Duration::from_secs(1));
        let (start, count) = current.unwrap_or((now, 0));
        self.second = Some((start, count + 1));
        count < MAX_HANDSHAKE_PER_SECOND
    }

    /// Works off one waiting datagram of the handshake; `false` when there was none.
    pub fn advance(&mut self, now: Instant) -> bool {
        let Some(datagram) = self.pending.pop_front() else { return false };
        // It may have been let in behind one that has since failed.
        let fresh = self.endpoint.is_none() && !self.is_client();
        if self.progress != Progress::Over && (!fresh || is_acceptable(&datagram, Stage::Fresh)) {
            self.feed(&datagram, now);
        }
        true
    }

    fn feed(&mut self, datagram: &[u8], now: Instant) {
        let stalled = |since: Instant| now.saturating_duration_since(since) >= STALLED_AFTER;
        if self.silent_since.is_some_and(stalled) {
            self.give_up_attempt(now);
        }
        if self.endpoint.is_none() && self.is_open() && !self.is_client() {
            self.endpoint = Some(self.identity.endpoint(self.role, now));
            self.silent_since = Some(now);
        }
        let Some(endpoint) = &mut self.endpoint else { return };
        match endpoint.handle_packet(datagram, now) {
            Ok(()) => self.drain(now),
            Err(_) => self.give_up_attempt(now),
        }
    }

    /// Repeats what was lost, and begins the next attempt when that is ours to do.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        if self.endpoint.is_none() && self.is_client() && self.is_open() {
            self.endpoint = Some(self.identity.endpoint(self.role, now));
        }
        let Some(endpoint) = &mut self.endpoint else { return };
        match endpoint.handle_timeout(now) {
            Ok(()) => self.drain(now),
            Err(_) => self.give_up_attempt(now),
        }
    }

    /// An error is final for the endpoint, but not for the meeting: a new one takes its place.
    fn give_up_attempt(&mut self, now: Instant) {
        self.due = None;
        self.silent_since = None;
        if self.progress == Progress::Connected {
            // The keys for media stay good; data channels are lost.
            self.endpoint = None;
            return;
        }
        self.endpoint = None;
        self.progress = Progress::Handshaking;
        self.failed_attempts += 1;
        self.transmits.clear();
        if self.is_client() {
            self.due = Some(now + RETRY_AFTER);
        }
    }

    fn drain(&mut self, now: Instant) {
        let mut buffer = vec![0; OUTPUT_LEN];
        loop {
            let Some(endpoint) = &mut self.endpoint else { return };
            match endpoint.poll(&mut buffer) {
                DtlsOutput::Packet(packet) if self.transmits.len() < MAX_TRANSMITS => {
                    self.silent_since = None;
                    self.transmits.push_back(packet.to_vec());
                }
                DtlsOutput::Packet(_) | DtlsOutput::Other => {}
                DtlsOutput::TooLong => return self.give_up_attempt(now),
                DtlsOutput::Certificate(der) => {
                    if !is_announced(&self.fingerprints, der) {
                        return self.refuse_certificate(now);
                    }
                    self.progress = Progress::Verified;
                }
                DtlsOutput::Keys(profile, keys) => {
                    if self.progress != Progress::Verified {
                        return self.give_up_attempt(now);
                    }
                    let version = endpoint.version();
                    self.progress = Progress::Connected;
                    // What is left of the handshake is of no use. In DTLS 1.3 the first words of SCTP may stand behind it.
                    self.pending.retain(|datagram| is_application(datagram));
                    self.events.push_back(DtlsEvent::Connected { profile, keys, version });
                }
                DtlsOutput::Application(payload) => {
                    if self.progress == Progress::Connected && self.events.len() < MAX_RECEIVED {
                        self.events.push_back(DtlsEvent::Application(payload.to_vec()));
                    }
                }
                DtlsOutput::Closed => {
                    self.progress = Progress::Over;
                    self.events.push_back(DtlsEvent::Closed);
                }
                DtlsOutput::Idle(at) => {
                    self.due = Some(at);
                    return;
                }
            }
        }
    }

    fn refuse_certificate(&mut self, now: Instant) {
        self.give_up_attempt(now);
        self.due = None;
        self.pending.clear();
        self.progress = Progress::Over;
        self.events.push_back(DtlsEvent::WrongCertificate);
    }

    /// Sends application data; `false` when it cannot.
    pub fn send(&mut self, payload: &[u8], now: Instant) -> bool {
        if self.progress != Progress::Connected {
            return false;
        }
        let sent = self.endpoint.as_mut().is_some_and(|endpoint| endpoint.send(payload).is_ok());
        self.drain(now);
        sent
    }

    /// Says goodbye to the remote.
    pub fn close(&mut self, now: Instant) {
        if self.progress == Progress::Connected && self.endpoint.as_mut().is_some_and(|end| end.close().is_ok()) {
            self.drain(now);
        }
        self.progress = Progress::Over;
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    /// When to call [`Dtls::handle_timeout`]. What waits for [`Dtls::advance`] has no deadline: its owner shares out the
    /// work.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

/// Whether the description announced this certificate (RFC 8122 §5).
fn is_announced(fingerprints: &[Fingerprint], der: &[u8]) -> bool {
    let shown = dimpl::certificate::calculate_fingerprint(der);
    fingerprints.iter().any(|announced| announced.algorithm == "sha-256" && announced.value == shown)
}

#[cfg(test)]
mod tests;
