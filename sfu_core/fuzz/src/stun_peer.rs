//! A peer before media: ICE (RFC 8445) and the records of DTLS (RFC 6347), from strangers and from the remote itself.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sfu_core::demux::{DatagramKind, classify};
use sfu_core::peer::dtls::{DtlsVersions, Identity, MAX_PENDING_HANDSHAKE};
use sfu_core::peer::{Peer, PeerEvent, TransportConfig};
use sfu_core::session::{DataMedia, DtlsRole, Fingerprint, RemoteTransport};

use crate::bytes::Choices;
use crate::start;
use crate::stun::{self, sealed};

/// Our credentials and the remote's, which the seeds need too.
pub(crate) const LOCAL: (&str, &str) = ("AAAAAAAAAAAAAAAAAAAA", "our password of 22 chars");
pub(crate) const REMOTE: (&str, &str) = ("rmte", "their password of 24 char");
/// Most things that happen in one run.
const MAX_STEPS: usize = 48;
/// Longest datagram.
const MAX_DATAGRAM: usize = 1_500;
/// Most datagrams sent because of one step: answer, check and what the agent repeats to a few addresses, or a flight.
const MAX_SENT_PER_STEP: usize = 64;
/// Most events of one step: each address heard, proved or lost, and what follows from that.
const MAX_EVENTS_PER_STEP: usize = 64;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate(DtlsVersions::UpTo13).expect("an identity"));

/// A peer that waits for its remote, and what came of it.
struct Bench {
    peer: Peer,
    now: Instant,
    /// Our last check and where it went.
    check: Option<(SocketAddr, Vec<u8>)>,
    /// Whether anything authentic was fed to it.
    authentic: bool,
    /// Records of DTLS that it sent.
    records: usize,
}

/// Input: the role in DTLS, then steps: raw STUN, raw DTLS, STUN with right integrity, the answer to our last check, time, a
/// restart.
pub fn stun_peer(input: &[u8]) {
    run(input);
}

fn run(input: &[u8]) -> Bench {
    let mut choices = Choices(input);
    let mut bench = Bench::new(choices.byte());
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        bench.step(&mut choices);
        bench.drain();
    }
    assert!(bench.peer.srtp.is_none(), "nobody here can finish a handshake");
    bench
}

impl Bench {
    fn new(options: u8) -> Self {
        let now = start();
        let candidates = vec![server()];
        let config =
            TransportConfig { identity: IDENTITY.clone(), candidates, check_signalled: false, aead_only: false };
        let mut peer = Peer::new(&config, LOCAL.0.to_owned(), LOCAL.1.to_owned(), 1, now);
        let remote = RemoteTransport {
            ufrag: REMOTE.0.to_owned(),
            pwd: REMOTE.1.to_owned(),
            fingerprints: vec![Fingerprint { algorithm: "sha-256".to_owned(), value: vec![7; 32] }],
            dtls_role: if options & 1 == 0 { DtlsRole::Server } else { DtlsRole::Client },
            candidates: vec![source(1)],
        };
        let mid = sfu_core::ids::Mid::new("0").expect("a name");
        let data = DataMedia { mid, sctp_port: 5_000, max_message_size: 65_536 };
        peer.connect(&remote, Some(data), now);
        Self { peer, now, check: None, authentic: false, records: 0 }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let (kind, from) = (choices.byte(), source(choices.byte()));
        let (ours, now) = (server().ip(), self.now);
        match kind & 7 {
            0 => self.peer.on_stun(from, ours, choices.chunk(MAX_DATAGRAM), now),
            1 | 2 => self.peer.on_dtls(from, choices.chunk(MAX_DATAGRAM), now),
            3 | 4 => {
                let request = sealed(choices.chunk(MAX_DATAGRAM), LOCAL.1);
                self.authentic = true;
                self.peer.on_stun(from, ours, &request, now);
            }
            5 => {
                let Some((to, check)) = &self.check else { return };
                let attributes = choices.chunk(MAX_DATAGRAM);
                let head = [&[1, 1, 0, 0], &check[4..stun::HEADER], attributes].concat();
                let from = if kind & 8 == 0 { *to } else { from };
                self.peer.on_stun(from, ours, &sealed(&head, REMOTE.1), now);
            }
            6 => {
                self.now += Duration::from_millis(u64::from(choices.byte()) * if kind & 8 == 0 { 5 } else { 500 });
                self.peer.handle_timeout(self.now);
            }
            _ => self.peer.restart_ice(LOCAL.0.to_owned(), LOCAL.1.to_owned(), now),
        }
    }

    /// Takes what the peer has to say, which is bounded, and nothing at all to strangers.
    fn drain(&mut self) {
        assert!(self.peer.pending_handshake() <= MAX_PENDING_HANDSHAKE);
        while self.peer.advance_handshake(self.now) {}
        let (mut sent, mut events, mut out) = (0, 0, Vec::new());
        while let Some((to, _)) = self.peer.poll_transmit(&mut out) {
            sent += 1;
            assert!(self.authentic, "something was sent to {to} although nobody proved to know the password");
            assert!(out.len() <= MAX_DATAGRAM && sent <= MAX_SENT_PER_STEP);
            self.records += usize::from(classify(&out) == DatagramKind::Dtls);
            if out.starts_with(&[0, 1]) && out.len() >= stun::HEADER {
                self.check = Some((to, out.clone()));
            }
        }
        while let Some(event) = self.peer.poll_event() {
            events += 1;
            assert!(events <= MAX_EVENTS_PER_STEP);
            assert!(
                !matches!(event, PeerEvent::Connected { .. } | PeerEvent::Data(_) | PeerEvent::Closed),
                "{event:?}"
            );
            assert!(self.authentic || matches!(event, PeerEvent::Failed(_)), "{event:?}");
        }
        assert!(self.authentic || self.peer.media_address().is_none());
    }
}

/// Where the peer listens.
fn server() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 7_000))
}

/// Where a datagram comes from.
fn source(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 40_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    fn seed(name: &str) -> Bench {
        let seeds = seeds::all();
        let seed = seeds.iter().find(|seed| seed.target == "stun_peer" && seed.name == name);
        run(&seed.expect("a seed of that name").bytes)
    }

    #[test]
    fn the_seeds_get_as_far_as_media_and_handshakes() {
        assert_eq!(seed("nominated").peer.media_address().map(|(to, _)| to), Some(source(1)));
        assert_eq!(seed("restarted").peer.media_address().map(|(to, _)| to), Some(source(1)));
        assert!(seed("client_hello").records > 0, "the ClientHello is answered");
        assert!(seed("we_speak_first").records > 0);
        assert!(!seed("stranger").authentic);
    }
}
