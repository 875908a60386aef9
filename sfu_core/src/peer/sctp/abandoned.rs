//! Messages that SCTP holds and that may no longer leave: taken out of its datagrams on their way to DTLS, and skipped at
//! the other end by FORWARD TSN (RFC 3758 §3.2). `sctp-proto` gives messages up by time or count only, not when told to.

use std::collections::{BTreeMap, BTreeSet};

/// Ports, verification tag and checksum (RFC 9260 §3.1).
const HEADER_BYTES: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;
/// Chunk types (RFC 9260 §3.2, RFC 3758 §3.2).
const DATA: u8 = 0;
const SACK: u8 = 3;
const FORWARD_TSN: u8 = 192;
/// The flag of a DATA chunk that belongs to no order.
const UNORDERED: u8 = 4;

/// One DATA chunk that was kept back.
#[derive(Debug, Clone, Copy)]
struct Skipped {
    stream: u16,
    /// The message's place in the order of its stream, if it has one.
    sequence: Option<u16>,
}

/// The streams whose messages are given up, and how far the remote knows.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    /// At most every stream number there is (16 bits). One is taken out when it is used again.
    streams: BTreeSet<u16>,
    /// By TSN, all above `acknowledged`: what SCTP believes to have sent. No more than SCTP holds
    /// ([`MAX_HELD_BYTES`](super::outbox::MAX_HELD_BYTES)).
    skipped: BTreeMap<u32, Skipped>,
    /// Up to here the remote has everything.
    acknowledged: Option<u32>,
    /// Ports and verification tag of what we send.
    addressed: [u8; 8],
    /// Whether the remote must be told what to skip.
    due: bool,
}

impl Abandoned {
    /// Gives up every message on the stream.
    pub(super) fn give_up(&mut self, stream: u16) {
        self.streams.insert(stream);
    }

    /// The stream begins anew: SCTP holds nothing of its former life, else it could not be written to.
    pub(super) fn begin(&mut self, stream: u16) {
        self.streams.remove(&stream);
    }

    /// Learns from a datagram of the remote how far it is.
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) {
        for chunk in chunks(datagram).filter(|chunk| chunk[0] == SACK) {
            let Some(tsn) = field(chunk, 4) else { continue };
            if self.acknowledged.is_none_or(|known| is_later(tsn, known)) {
                self.acknowledged = Some(tsn);
                self.skipped.retain(|skipped, _| is_later(*skipped, tsn));
                self.due = !self.skipped.is_empty();
            }
        }
    }

    /// Takes given up messages out of a datagram of ours; `None` when nothing is left of it.
    pub(super) fn withhold(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        if self.streams.is_empty() || !chunks(&datagram).any(|chunk| self.is_given_up(chunk)) {
            return Some(datagram);
        }
        let mut kept = datagram.get(..HEADER_BYTES)?.to_vec();
        self.addressed.copy_from_slice(&kept[..8]);
        for chunk in chunks(&datagram) {
            if !self.is_given_up(chunk) {
                kept.extend_from_slice(chunk);
                kept.resize(kept.len().next_multiple_of(4), 0);
                continue;
            }
            let (Some(tsn), Some(place)) = (field(chunk, 4), field(chunk, 8)) else { continue };
            let sequence = (chunk[1] & UNORDERED == 0).then_some(place as u16);
            self.skipped.insert(tsn, Skipped { stream: (place >> 16) as u16, sequence });
            self.due = true;
        }
        (kept.len() > HEADER_BYTES).then(|| with_checksum(kept))
    }

    /// The datagram that tells the remote what to skip, once everything before has arrived: it speaks for all TSNs up to
    /// the last one, and what is still on its way must not be skipped.
    pub(super) fn poll_skip(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let mut last = self.acknowledged?;
        let mut places = BTreeMap::new();
        while let Some(skipped) = self.skipped.get(&last.wrapping_add(1)) {
            last = last.wrapping_add(1);
            if let Some(sequence) = skipped.sequence {
                places.insert(skipped.stream, sequence);
            }
        }
        if Some(last) == self.acknowledged {
            return None;
        }
        let mut datagram = self.addressed.to_vec();
        datagram.resize(HEADER_BYTES, 0);
        datagram.extend_from_slice(&[FORWARD_TSN, 0]);
        datagram.extend_from_slice(&(8 + 4 * places.len() as u16).to_be_bytes());
        datagram.extend_from_slice(&last.to_be_bytes());
        for (stream, sequence) in places {
            datagram.extend_from_slice(&stream.to_be_bytes());
            datagram.extend_from_slice(&sequence.to_be_bytes());
        }
        Some(with_checksum(datagram))
    }

    fn is_given_up(&self, chunk: &[u8]) -> bool {
        chunk[0] == DATA && field(chunk, 8).is_some_and(|place| self.streams.contains(&((place >> 16) as u16)))
    }
}

/// The chunks of a datagram, without padding; ends at the first that makes no sense.
fn chunks(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram.get(HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let chunk = rest.get(..len).filter(|chunk| chunk.len() >= 4)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(chunk)
    })
}

fn field(chunk: &[u8], at: usize) -> Option<u32> {
    chunk.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Serial number arithmetic (RFC 1982).
fn is_later(tsn: u32, than: u32) -> bool {
    tsn != than && tsn.wrapping_sub(than) < 1 << 31
}

/// Writes the CRC-32C (RFC 9260 appendix A). Bit by bit: this happens after a revocation only.
pub(super) fn with_checksum(mut datagram: Vec<u8>) -> Vec<u8> {
    let bit = |crc: u32, _: i32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    datagram[CHECKSUM].fill(0);
    let sum = !datagram.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit));
    datagram[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    datagram
}
