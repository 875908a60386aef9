//! The hostile participant's transport below its media: it answers checks and asks (ICE, RFC 8445), it is the client in DTLS, and
//! it speaks SCTP. All of it as an honest end would, until told otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sfu_core::demux::stun_username;
use sfu_core::gate::Gate;
use sfu_core::peer::dtls::{Dtls, DtlsEvent, Identity};
use sfu_core::peer::sctp::outbox::MessageSender;
use sfu_core::peer::sctp::{DataTransport, Reliability};
use sfu_core::peer::srtp::{SrtpKeys, SrtpProfile};
use sfu_core::session::{DataMedia, DtlsRole, Fingerprint, LocalTransport};

use crate::bytes::Choices;
use crate::stun;

/// Most datagrams of SCTP that wait for the next turn.
const MAX_WAITING: usize = 64;

/// ICE, DTLS and SCTP of one remote.
pub(crate) struct Link {
    dtls: Dtls,
    data: DataTransport,
    gate: Gate,
    /// Its own user name and password, and the server's.
    pub(super) own: (String, String),
    pub(super) server: (String, String),
    /// Whether checks are answered.
    pub(super) answers: bool,
    transactions: u8,
    number: u8,
    /// Once the handshake is done.
    pub(super) keys: Option<SrtpKeys>,
    /// What the server said in SCTP, header only, so that hostile chunks are read.
    header: [u8; 8],
}

impl Link {
    pub(super) fn new(identity: Identity, number: u8, local: &LocalTransport, media: DataMedia, now: Instant) -> Self {
        let server = local.fingerprint.clone();
        Self {
            dtls: Dtls::new(identity, DtlsRole::Client, vec![server]),
            data: DataTransport::new(true, media, now),
            gate: Gate::default(),
            own: credentials(number, 0),
            server: (local.ufrag.clone(), local.pwd.clone()),
            answers: true,
            transactions: 0,
            number,
            keys: None,
            header: [0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0],
        }
    }

    /// Says the first word of DTLS.
    pub(super) fn start(&mut self, now: Instant) {
        self.dtls.start(now);
    }

    /// A request that has not been signed yet.
    pub(super) fn request(&mut self, nominates: bool) -> Vec<u8> {
        self.transactions = self.transactions.wrapping_add(1);
        let mut transaction = [self.number; 12];
        transaction[0] = self.transactions;
        let username = format!("{}:{}", self.server.0, self.own.0);
        let mut attributes = vec![
            stun::attribute(stun::USERNAME, username.as_bytes()),
            stun::attribute(stun::ICE_CONTROLLING, &[1; 8]),
            stun::attribute(stun::PRIORITY, &[0x6e, 0x7f, 0x1e, 0xff]),
        ];
        if nominates {
            attributes.push(stun::attribute(stun::USE_CANDIDATE, &[]));
        }
        stun::message(1, transaction, &attributes)
    }

    /// Signs a request for the server.
    pub(super) fn sign(&self, request: &[u8]) -> Vec<u8> {
        stun::sealed(request, &self.server.1)
    }

    /// Whether the check is for this remote.
    pub(super) fn is_asked(&self, check: &[u8]) -> bool {
        let asked = stun_username(check).and_then(|name| name.split(|&byte| byte == b':').next());
        check.starts_with(&[0, 1]) && asked == Some(self.own.0.as_bytes())
    }

    /// The answer to a check of `server`'s.
    pub(super) fn answer(&self, check: &[u8], server: SocketAddr) -> Option<Vec<u8>> {
        let SocketAddr::V4(seen) = server else { return None };
        let transaction = *check.get(8..20)?.first_chunk()?;
        let port = seen.port() ^ 0x2112;
        let address = u32::from(*seen.ip()) ^ 0x2112_a442;
        let mapped = [&[0, 1][..], &port.to_be_bytes(), &address.to_be_bytes()].concat();
        let message = stun::message(0x101, transaction, &[stun::attribute(stun::XOR_MAPPED_ADDRESS, &mapped)]);
        Some(stun::sealed(&message, &self.own.1))
    }

    /// Takes in what the server sent that is DTLS.
    pub(super) fn receive(&mut self, datagram: &[u8], now: Instant) {
        self.dtls.on_datagram(datagram, now);
        while self.dtls.advance(now) {}
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected { profile, keys, .. } => {
                    let profile = SrtpProfile::try_from(profile).expect("a profile we know");
                    self.keys = SrtpKeys::new(profile, &keys);
                }
                DtlsEvent::Application(bytes) => {
                    self.data.on_datagram(&bytes, now);
                    while self.data.poll_event().is_some() {}
                }
                DtlsEvent::WrongCertificate => panic!("the server is who it said"),
                DtlsEvent::Closed => {}
            }
        }
    }

    /// What an honest end would say next.
    pub(super) fn datagrams(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.dtls.handle_timeout(now);
        if self.keys.is_some() {
            for message in self.messages(now) {
                self.dtls.send(&message, now);
            }
        }
        std::iter::from_fn(|| self.dtls.poll_transmit()).collect()
    }

    /// What SCTP has to say, not sealed yet.
    pub(super) fn messages(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.data.poll_timeout().is_some_and(|due| due <= now) {
            self.data.handle_timeout(now);
        }
        self.data.hand_over(&self.gate, |_| {});
        let mut messages: Vec<_> = std::iter::from_fn(|| self.data.poll_transmit()).collect();
        messages.truncate(MAX_WAITING);
        if let Some(header) = messages.last().and_then(|message| message.first_chunk()) {
            self.header = *header;
        }
        messages
    }

    /// What the application does: the input says what.
    pub(super) fn act(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let label = ["chat", "pointer", "", "état"][usize::from(kind >> 3 & 3)];
        let ordered = kind & 0x20 == 0;
        // All of these may be refused.
        let _ = match kind & 3 {
            0 => self.data.open(label, ordered, Reliability::Reliable),
            1 => self.data.open(label, ordered, Reliability::MaxRetransmits(u32::from(choices.byte()))),
            _ => {
                let payload: Arc<[u8]> = vec![kind; usize::from(choices.word()) >> 2].into();
                self.data.send(label, payload, ordered, MessageSender::Server)
            }
        };
    }

    /// Ports and tag as they stand before chunks.
    pub(super) const fn header(&self) -> [u8; 8] {
        self.header
    }

    /// Seals application data; the records that this makes.
    pub(super) fn seal(&mut self, plain: &[u8], now: Instant) -> Vec<Vec<u8>> {
        self.dtls.send(plain, now);
        std::iter::from_fn(|| self.dtls.poll_transmit()).collect()
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.dtls.close(now);
        std::iter::from_fn(|| self.dtls.poll_transmit()).collect()
    }
}

/// Its user name and password in that generation.
pub(super) fn credentials(number: u8, generation: u8) -> (String, String) {
    (format!("hostile{number}{generation}"), format!("a-password-of-22-chars{number}{generation}"))
}

/// The fingerprint of a remote.
pub(super) fn fingerprints(identity: &Identity) -> Vec<Fingerprint> {
    vec![identity.fingerprint()]
}
