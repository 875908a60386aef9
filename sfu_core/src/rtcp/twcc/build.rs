//! Writing transport-wide feedback: statuses into as few chunks as they need.

use super::{FORMAT, LARGE_DELTA, LOST, SMALL_DELTA};
use crate::ids::Ssrc;
use crate::rtcp::header;

/// Longest feedback written: what fits a datagram beside SRTCP and IP.
const MAX_FEEDBACK_LEN: usize = 1_140;
/// Bytes before the chunks, header included.
const FIXED_LEN: usize = 20;
/// Chunks that the statuses not yet in one can need.
const MAX_PENDING_CHUNKS: usize = 3;
/// Longest run that one chunk can say: 13 bits.
const MAX_RUN: usize = (1 << 13) - 1;
/// The reference time counts these, in ticks of 250 µs: 64 ms.
const TICKS_PER_REFERENCE: u64 = 256;

/// A feedback that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Its length.
    pub len: usize,
    /// How many arrivals it tells; the rest belongs into another.
    pub statuses: usize,
}

/// Writes the feedbacks of one receiver, and counts them.
#[derive(Debug, Clone)]
pub struct FeedbackBuilder {
    sender: Ssrc,
    feedback_count: u8,
}

impl FeedbackBuilder {
    /// For feedback from `sender`.
    pub fn new(sender: Ssrc) -> Self {
        Self { sender, feedback_count: 0 }
    }

    /// Writes when the packets from `base_sequence` on arrived, in microseconds since any fixed instant. Ends before the
    /// first that does not fit into `out`, or arrived more than 8 s from the one before it. `None` if nothing arrived.
    pub fn write(
        &mut self,
        media: Ssrc,
        base_sequence: u64,
        arrivals: impl IntoIterator<Item = Option<u64>>,
        out: &mut [u8],
    ) -> Option<Built> {
        let room = out.len().min(MAX_FEEDBACK_LEN);
        let out = &mut out[..room];
        let mut deltas = [0; MAX_FEEDBACK_LEN];
        let (mut deltas_len, mut statuses, mut chunks) = (0, 0, Chunks::default());
        let mut clock: Option<(u64, u64)> = None;
        for arrival in arrivals {
            let mut symbol = LOST;
            let mut delta = 0;
            if let Some(ticks) = arrival.map(|micros| micros / 250) {
                let (reference, before) =
                    clock.unwrap_or((ticks / TICKS_PER_REFERENCE, ticks & !(TICKS_PER_REFERENCE - 1)));
                let Ok(exact) = i16::try_from(ticks.wrapping_sub(before) as i64) else { break };
                delta = exact;
                symbol = if (0..=255).contains(&delta) { SMALL_DELTA } else { LARGE_DELTA };
                if !fits(room, &chunks, deltas_len + usize::from(symbol)) {
                    break;
                }
                clock = Some((reference, ticks));
            }
            if statuses == usize::from(u16::MAX) || !fits(room, &chunks, deltas_len + usize::from(symbol)) {
                break;
            }
            chunks.push(symbol, out);
            let bytes = delta.to_be_bytes();
            let len = usize::from(symbol);
            deltas[deltas_len..deltas_len + len].copy_from_slice(&bytes[2 - len..]);
            deltas_len += len;
            statuses += 1;
        }
        let (reference, _) = clock?;
        let end = chunks.finish(out);
        out[end..end + deltas_len].copy_from_slice(&deltas[..deltas_len]);
        out[4..8].copy_from_slice(&self.sender.0.to_be_bytes());
        out[8..12].copy_from_slice(&media.0.to_be_bytes());
        out[12..14].copy_from_slice(&(base_sequence as u16).to_be_bytes());
        out[14..16].copy_from_slice(&(statuses as u16).to_be_bytes());
        out[16..20].copy_from_slice(&((reference as u32) << 8 | u32::from(self.feedback_count)).to_be_bytes());
        self.feedback_count = self.feedback_count.wrapping_add(1);
        Some(Built { len: close(out, end + deltas_len), statuses })
    }
}

/// Whether one more status leaves room for everything not yet written.
fn fits(room: usize, chunks: &Chunks, deltas_len: usize) -> bool {
    FIXED_LEN + chunks.written + 2 * MAX_PENDING_CHUNKS + deltas_len + 3 <= room
}

/// Pads the packet to a whole word and writes its header.
fn close(out: &mut [u8], end: usize) -> usize {
    let len = end.next_multiple_of(4);
    out[end..len].fill(0);
    if len != end {
        out[len - 1] = (len - end) as u8;
    }
    out[0] = 0x80 | u8::from(len != end) << 5 | FORMAT;
    out[1] = header::TRANSPORT_FEEDBACK;
    out[2..4].copy_from_slice(&((len / 4 - 1) as u16).to_be_bytes());
    len
}

/// Chunks written, and the statuses that are to become the next.
#[derive(Debug, Default)]
struct Chunks {
    written: usize,
    /// The first 14 pending symbols; a longer run repeats the first.
    symbols: [u8; 14],
    pending: usize,
    mixed: bool,
    has_large: bool,
}

impl Chunks {
    fn push(&mut self, symbol: u8, out: &mut [u8]) {
        while !self.takes(symbol) {
            self.emit(out);
        }
        if self.pending < self.symbols.len() {
            self.symbols[self.pending] = symbol;
        }
        self.pending += 1;
        self.mixed |= symbol != self.symbols[0];
        self.has_large |= symbol == LARGE_DELTA;
    }

    /// Whether one chunk can hold the pending symbols and this one.
    fn takes(&self, symbol: u8) -> bool {
        self.pending < 7
            || (self.pending < 14 && !self.has_large && symbol != LARGE_DELTA)
            || (self.pending < MAX_RUN && !self.mixed && symbol == self.symbols[0])
    }

    /// Writes one chunk of pending symbols.
    fn emit(&mut self, out: &mut [u8]) {
        let pending = self.pending;
        let (chunk, used) = if !self.mixed {
            (u16::from(self.symbols[0]) << 13 | pending as u16, pending)
        } else if pending > 7 && !self.has_large && pending == 14 {
            let bits = self.symbols.iter().fold(0, |bits, &symbol| bits << 1 | u16::from(symbol));
            (0x8000 | bits, 14)
        } else {
            let used = pending.min(7);
            let pairs = (0..7).map(|at| if at < used { self.symbols[at] } else { LOST });
            (0xc000 | pairs.fold(0, |bits, symbol| bits << 2 | u16::from(symbol)), used)
        };
        let at = FIXED_LEN + self.written;
        out[at..at + 2].copy_from_slice(&chunk.to_be_bytes());
        self.written += 2;
        self.keep_from(used);
    }

    /// Forgets the first `used` pending symbols.
    fn keep_from(&mut self, used: usize) {
        let left = self.pending - used;
        if left > 0 {
            self.symbols.copy_within(used..used + left, 0);
        }
        self.pending = left;
        self.mixed = self.symbols[..left].iter().any(|&symbol| symbol != self.symbols[0]);
        self.has_large = self.symbols[..left].contains(&LARGE_DELTA);
    }

    /// Writes what is pending and says where the chunks end.
    fn finish(mut self, out: &mut [u8]) -> usize {
        while self.pending > 0 {
            self.emit(out);
        }
        FIXED_LEN + self.written
    }
}
