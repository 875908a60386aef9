//! STUN transactions (RFC 8489 §6.3): which requests of the remote were seen, so that a copy from elsewhere moves nothing,
//! and which of ours are under way, so that only the one asked can answer.

use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use aws_lc_rs::hmac;
use is::stun::TransId;
use siphasher::sip::SipHasher24;

/// Most requests of the remote remembered: two minutes of a browser that keeps two paths checked every 2.5 s.
const MAX_REQUESTS: usize = 96;
/// Most checks of ours under way; the agent repeats one at most nine times.
const MAX_CHECKS: usize = 64;

/// HMAC-SHA1 for MESSAGE-INTEGRITY (RFC 8489 §14.5) by aws-lc.
#[derive(Debug)]
pub struct AwsHmac;

impl AwsHmac {
    /// The code of the pieces of one message.
    pub fn sign(key: &[u8], pieces: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for piece in pieces {
            context.update(piece);
        }
        let mut code = [0; 20];
        code.copy_from_slice(context.sign().as_ref());
        code
    }
}

impl is::Sha1HmacProvider for AwsHmac {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        Self::sign(key, payloads)
    }
}

/// The newest values, the oldest giving way.
#[derive(Debug)]
struct Ring<T, const N: usize> {
    values: ArrayVec<T, N>,
    next: usize,
}

impl<T, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self { values: ArrayVec::new(), next: 0 }
    }
}

impl<T, const N: usize> Ring<T, N> {
    fn push(&mut self, value: T) {
        if self.values.is_full() {
            self.values[self.next] = value;
            self.next = (self.next + 1) % N;
        } else {
            self.values.push(value);
        }
    }
}

/// Whether a request was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Never, as far as we remember.
    New,
    /// From the same address: a retransmission, to be answered and nothing else.
    Again,
    /// From another address: a copy that somebody else sent on.
    Elsewhere,
}

/// The requests of the remote that passed the integrity check.
#[derive(Debug, Default)]
pub(super) struct Requests(Ring<(TransId, SocketAddr), MAX_REQUESTS>);

impl Requests {
    pub(super) fn look_up(&self, transaction: TransId, source: SocketAddr) -> Seen {
        match self.0.values.iter().find(|(seen, _)| *seen == transaction) {
            None => Seen::New,
            Some((_, from)) if *from == source => Seen::Again,
            Some(_) => Seen::Elsewhere,
        }
    }

    pub(super) fn note(&mut self, transaction: TransId, source: SocketAddr) {
        if self.look_up(transaction, source) == Seen::New {
            self.0.push((transaction, source));
        }
    }
}

/// A Binding request of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) transaction: TransId,
    pub(super) to: SocketAddr,
    pub(super) sent: Instant,
    /// With whose credentials, when it is ours rather than an agent's.
    pub(super) own: Option<Credentials>,
}

/// Which credentials, while two sets answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    Current,
    /// Those before a restart.
    Former,
}

/// Our requests under way.
#[derive(Debug)]
pub(super) struct Checks {
    ring: Ring<Check, MAX_CHECKS>,
    seed: u64,
    drawn: u64,
}

impl Checks {
    pub(super) fn new(seed: u64) -> Self {
        Self { ring: Ring::default(), seed, drawn: 0 }
    }

    /// A transaction id nobody can foresee without the seed (RFC 7675 §5.1).
    pub(super) fn draw_id(&mut self) -> [u8; 12] {
        let mut word = || {
            self.drawn += 1;
            let mut hasher = SipHasher24::new_with_keys(self.seed, !self.seed);
            hasher.write_u64(self.drawn);
            hasher.finish().to_be_bytes()
        };
        let (first, second) = (word(), word());
        let mut id = [0; 12];
        id[..8].copy_from_slice(&first);
        id[8..].copy_from_slice(&second[..4]);
        id
    }

    pub(super) fn push(&mut self, check: Check) {
        self.ring.push(check);
    }

    pub(super) fn find(&self, transaction: TransId) -> Option<Check> {
        self.ring.values.iter().find(|check| check.transaction == transaction).copied()
    }

    pub(super) fn remove(&mut self, transaction: TransId) {
        self.ring.values.retain(|check| check.transaction != transaction);
        self.ring.next = 0;
    }

    /// Whether a check left for `to` at `now`.
    pub(super) fn any_sent(&self, to: SocketAddr, now: Instant) -> bool {
        self.ring.values.iter().any(|check| check.to == to && check.sent == now)
    }
}
