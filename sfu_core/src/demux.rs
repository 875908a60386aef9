//! Telling apart what arrives on the one UDP port (RFC 7983, RFC 5761 §4), and finding the peer it is for: STUN by the
//! user name we gave out (RFC 8445 §7.3), everything else by an address that passed an integrity check.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher13;

use crate::ids::PeerId;

/// Most addresses in the table; four for each of 16 384 peers, far above what one core can forward for.
pub const MAX_ADDRESSES: usize = 65_536;
/// Most addresses of one peer (`reliability.md` F5): two interfaces, both families and some rebinding are 4 to 8.
pub const MAX_ADDRESSES_PER_PEER: usize = 16;
/// Length of the user name fragments we give out: 15 bytes in base64.
pub const UFRAG_LEN: usize = 20;
/// Most attributes looked at before USERNAME; browsers send it first, and a request has about eight in all.
const MAX_ATTRIBUTES: usize = 16;

const STUN_HEADER_LEN: usize = 20;
const STUN_MAGIC: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const STUN_USERNAME: u16 = 0x0006;
/// The two class bits of a STUN message type (RFC 8489 §5).
const STUN_CLASS_MASK: u16 = 0x0110;
const STUN_CLASS_REQUEST: u16 = 0x0000;
const STUN_CLASS_INDICATION: u16 = 0x0010;
/// Which bytes of the decoded fragment hold what.
const UFRAG_BYTES: usize = 15;
const UFRAG_NAME_BYTES: usize = 9;
const UFRAG_CHECK_BYTES: usize = UFRAG_BYTES - UFRAG_NAME_BYTES;

/// What a datagram is by its first two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// RFC 8489.
    Stun,
    /// RFC 6347, RFC 9147.
    Dtls,
    /// RFC 3550, protected by RFC 3711.
    Rtp,
    /// RFC 3550 §6, on the same port by RFC 5761.
    Rtcp,
    /// None of them: ZRTP, TURN channels, noise.
    Unknown,
}

/// Tells the protocol of a datagram by RFC 7983 §7, and RTCP from RTP by its packet type (RFC 5761 §4).
pub const fn classify(first_bytes: &[u8]) -> DatagramKind {
    match first_bytes {
        [0..=3, ..] => DatagramKind::Stun,
        [20..=63, ..] => DatagramKind::Dtls,
        [128..=191, 192..=223, ..] => DatagramKind::Rtcp,
        [128..=191, _, ..] => DatagramKind::Rtp,
        _ => DatagramKind::Unknown,
    }
}

/// The USERNAME attribute of a STUN message; `None` when there is none or the message is cut short.
pub fn stun_username(datagram: &[u8]) -> Option<&[u8]> {
    let mut rest = datagram.get(STUN_HEADER_LEN..)?;
    for _ in 0..MAX_ATTRIBUTES {
        let [kind_high, kind_low, len_high, len_low, after @ ..] = rest else { return None };
        let len = usize::from(u16::from_be_bytes([*len_high, *len_low]));
        if u16::from_be_bytes([*kind_high, *kind_low]) == STUN_USERNAME {
            return after.get(..len);
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// The secret with which our user name fragments are made: a fragment that was not made by us is known at a glance,
/// before any HMAC.
#[derive(Clone)]
pub struct UfragKey([u8; 16]);

impl fmt::Debug for UfragKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UfragKey")
    }
}

impl UfragKey {
    /// A key from the engine's seed.
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The fragment for the `ice_generation`-th set of credentials of `peer`.
    pub fn ufrag(&self, peer: PeerId, ice_generation: u8) -> String {
        let mut bytes = [0; UFRAG_BYTES];
        bytes[..8].copy_from_slice(&peer.as_u64().to_be_bytes());
        bytes[8] = ice_generation;
        let check = self.check(&bytes[..UFRAG_NAME_BYTES]);
        bytes[UFRAG_NAME_BYTES..].copy_from_slice(&check);
        bytes.chunks_exact(3).flat_map(encode_group).map(char::from).collect()
    }

    /// Whose fragment it is, and of which set of credentials; `None` when we did not make it.
    pub fn peer_of(&self, ufrag: &str) -> Option<(PeerId, u8)> {
        self.peer_of_bytes(ufrag.as_bytes())
    }

    fn peer_of_bytes(&self, ufrag: &[u8]) -> Option<(PeerId, u8)> {
        if ufrag.len() != UFRAG_LEN {
            return None;
        }
        let mut bytes = [0; UFRAG_BYTES];
        for (group, out) in ufrag.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
            out.copy_from_slice(&decode_group(group)?);
        }
        let (name, check) = bytes.split_at(UFRAG_NAME_BYTES);
        if self.check(name) != check {
            return None;
        }
        let id = u64::from_be_bytes(name[..8].try_into().ok()?);
        Some((PeerId::new(id as u32, (id >> 32) as u32), name[8]))
    }

    fn check(&self, name: &[u8]) -> [u8; UFRAG_CHECK_BYTES] {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(name);
        let [_, _, check @ ..] = hasher.finish().to_be_bytes();
        check
    }
}

/// The 64 characters that an ICE user name fragment may hold (RFC 8839 §5.4), which are those of base64.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_group(bytes: &[u8]) -> [u8; 4] {
    let word = bytes.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
    [18, 12, 6, 0].map(|shift| ICE_CHARS[word >> shift & 63])
}

fn decode_group(chars: &[u8]) -> Option<[u8; 3]> {
    let mut word = 0_u32;
    for char in chars {
        let digit = match char {
            b'A'..=b'Z' => char - b'A',
            b'a'..=b'z' => char - b'a' + 26,
            b'0'..=b'9' => char - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(digit);
    }
    let [_, bytes @ ..] = word.to_be_bytes();
    Some(bytes)
}

/// For whom a STUN message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StunRoute {
    /// A request that names this peer and this set of its credentials.
    Request(PeerId, u8),
    /// An answer from an address of this peer.
    Response(PeerId),
    /// A request that names nobody we know, or an answer from an address we do not know.
    Unknown,
    /// Not a STUN message that anything here would read.
    Malformed,
}

/// One owner of an address.
#[derive(Debug, Clone, Copy)]
struct Owner {
    peer: PeerId,
    proved: bool,
    /// Who last asked from the address although it is proved by another: it may be the next to answer there.
    claimant: Option<PeerId>,
}

/// Who is behind which address. Only peers put addresses in, after an integrity check; a peer that only *asked* from an
/// address gives way to the next who asks, one that also *answered* there does so only to another who answers there too.
/// So nobody can take over the address of another by naming it as the source, and a page that is loaded anew and gets the
/// same port is not kept out by its own past.
#[derive(Debug)]
pub struct Demux {
    key: UfragKey,
    owners: HashMap<Address, Owner, FoldSeed>,
    by_peer: BTreeMap<PeerId, ArrayVec<SocketAddr, MAX_ADDRESSES_PER_PEER>>,
    /// Rises whenever an address gets another owner, or none.
    version: u64,
}

impl Demux {
    /// An empty table; `key` also orders it.
    pub fn new(key: UfragKey) -> Self {
        let seed = FoldSeed::new(&key);
        Self { key, owners: HashMap::with_hasher(seed), by_peer: BTreeMap::new(), version: 0 }
    }

    /// The key of the user name fragments.
    pub const fn ufrag_key(&self) -> &UfragKey {
        &self.key
    }

    /// For whom the STUN message `datagram` is. Costs no HMAC.
    pub fn peer_for_stun(&self, datagram: &[u8], source: SocketAddr) -> StunRoute {
        let (Some(header), Some(kind)) = (datagram.get(..STUN_HEADER_LEN), datagram.first_chunk()) else {
            return StunRoute::Malformed;
        };
        if header[4..8] != STUN_MAGIC {
            return StunRoute::Malformed;
        }
        match u16::from_be_bytes(*kind) & STUN_CLASS_MASK {
            STUN_CLASS_REQUEST => self.peer_for_request(datagram),
            STUN_CLASS_INDICATION => StunRoute::Malformed,
            _ => self.peer_at(source).map_or(StunRoute::Unknown, StunRoute::Response),
        }
    }

    fn peer_for_request(&self, datagram: &[u8]) -> StunRoute {
        let Some(username) = stun_username(datagram) else { return StunRoute::Malformed };
        let ours = username.split(|byte| *byte == b':').next().unwrap_or_default();
        let named = self.key.peer_of_bytes(ours);
        named.map_or(StunRoute::Unknown, |(peer, generation)| StunRoute::Request(peer, generation))
    }

    /// Whose address `source` is. The hot path: once per datagram that is not STUN.
    pub fn peer_at(&self, source: SocketAddr) -> Option<PeerId> {
        self.owners.get(&Address::of(source)).map(|owner| owner.peer)
    }

    /// As long as this is the same, so are all owners.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who asked last from `source` although another has proved it.
    pub fn claimant_of(&self, source: SocketAddr) -> Option<PeerId> {
        self.owners.get(&Address::of(source)).and_then(|owner| owner.claimant)
    }

    /// Notes that `peer` sent an authenticated request from `source`. `false` when the address is proved by another
    /// peer, or the table or the peer's share of it is full.
    pub fn insert(&mut self, source: SocketAddr, peer: PeerId) -> bool {
        self.put(source, Owner { peer, proved: false, claimant: None })
    }

    /// Notes that `peer` answered our own check at `source`: nobody else gets the address before answering there too.
    pub fn confirm(&mut self, source: SocketAddr, peer: PeerId) -> bool {
        self.put(source, Owner { peer, proved: true, claimant: None })
    }

    fn put(&mut self, source: SocketAddr, owner: Owner) -> bool {
        let address = Address::of(source);
        if let Some(present) = self.owners.get_mut(&address) {
            if present.peer == owner.peer {
                present.proved |= owner.proved;
                return true;
            }
            if present.proved && !(owner.proved && present.claimant == Some(owner.peer)) {
                present.claimant = Some(owner.peer);
                return false;
            }
        }
        if self.owners.len() >= MAX_ADDRESSES && !self.owners.contains_key(&address) {
            return false;
        }
        let list = self.by_peer.entry(owner.peer).or_default();
        if list.is_full() {
            return false;
        }
        list.push(source);
        self.version += 1;
        if let Some(former) = self.owners.insert(address, owner) {
            self.forget(former.peer, address);
        }
        true
    }

    /// Takes `source` out, if `peer` has it.
    pub fn remove_of(&mut self, source: SocketAddr, peer: PeerId) {
        if self.peer_at(source) == Some(peer) {
            self.remove(source);
        }
    }

    /// Takes `source` out, whosoever it is.
    pub fn remove(&mut self, source: SocketAddr) {
        let address = Address::of(source);
        self.version += 1;
        if let Some(former) = self.owners.remove(&address) {
            self.forget(former.peer, address);
        }
    }

    /// Takes out all that `peer` has.
    pub fn remove_peer(&mut self, peer: PeerId) {
        self.version += 1;
        for source in self.by_peer.remove(&peer).unwrap_or_default() {
            self.owners.remove(&Address::of(source));
        }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn forget(&mut self, peer: PeerId, address: Address) {
        if let Some(list) = self.by_peer.get_mut(&peer) {
            list.retain(|source| Address::of(*source) != address);
            if list.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }
}

/// An address and port in three words; an IPv4 address is the same whether or not the socket mapped it into IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    high: u64,
    low: u64,
    port: u64,
}

impl Address {
    fn of(source: SocketAddr) -> Self {
        let bits = match source.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        Self { high: (bits >> 64) as u64, low: bits as u64, port: u64::from(source.port()) }
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.high ^ self.port.rotate_left(32));
        state.write_u64(self.low);
    }
}

/// Keys a hash by folded multiplication: as fast as a table needs, and not to be steered without the key. Only addresses
/// that passed an integrity check get into the table, so a flood cannot even try.
#[derive(Debug, Clone)]
struct FoldSeed {
    start: u64,
    factor: u64,
}

impl FoldSeed {
    fn new(key: &UfragKey) -> Self {
        let word = |label: u8| {
            let mut hasher = SipHasher13::new_with_key(&key.0);
            hasher.write(&[label]);
            hasher.finish()
        };
        Self { start: word(0), factor: word(1) | 1 }
    }
}

impl BuildHasher for FoldSeed {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher { state: self.start, factor: self.factor }
    }
}

struct FoldHasher {
    state: u64,
    factor: u64,
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64).rotate_left(23) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests;
