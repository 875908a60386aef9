//! Transport-wide feedback: which packets arrived, and when (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

mod build;

pub use build::{Built, FeedbackBuilder};

use super::header::{self, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// Feedback format.
pub const FORMAT: u8 = 15;
/// Most statuses read from one feedback: more than a second at 50 Mbit/s, where browsers report every 50 to 250 ms.
/// Eight bytes could announce 65 535.
pub const MAX_STATUSES: usize = 8_192;
/// Bytes of the body before the chunks.
const FIXED_LEN: usize = 16;

/// Symbols of a status.
const LOST: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// Which packets arrived, and when. All its parts are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who received.
    pub sender: Ssrc,
    /// Some source of the packets.
    pub media: Ssrc,
    /// Transport-wide number of the first status.
    pub base_sequence: u16,
    /// 24 bits, in 64 ms, wraps.
    pub reference_time: u32,
    /// Counts feedbacks, wraps.
    pub feedback_count: u8,
    status_count: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`RtcpError`], when chunks or deltas are fewer than announced, or a symbol is the reserved one.
    pub fn parse(body: &'a [u8]) -> Result<Self, RtcpError> {
        let (sequence_and_count, time) = (word(body, 8)?, word(body, 12)?);
        let status_count = sequence_and_count as u16;
        let rest = &body[FIXED_LEN..];
        let (mut covered, mut chunks_len, mut deltas_len) = (0, 0, 0);
        while covered < usize::from(status_count) {
            let chunk = Chunk::read(rest, chunks_len).ok_or(RtcpError::Truncated)?;
            let used = chunk.len().min(usize::from(status_count) - covered);
            deltas_len += chunk.deltas_len(used)?;
            covered += used;
            chunks_len += 2;
        }
        let (chunks, deltas) = rest.split_at(chunks_len);
        let deltas = deltas.get(..deltas_len).ok_or(RtcpError::Truncated)?;
        Ok(Self {
            sender: Ssrc(word(body, 0)?),
            media: Ssrc(word(body, 4)?),
            base_sequence: (sequence_and_count >> 16) as u16,
            reference_time: time >> 8,
            feedback_count: time as u8,
            status_count,
            chunks,
            deltas,
        })
    }

    /// Each number with the time since the arrival before it, in 250 µs (for the first, since the reference time), or
    /// `None` if it did not arrive. At most [`MAX_STATUSES`].
    pub fn statuses(&self) -> impl Iterator<Item = (u16, Option<i32>)> + use<'a> {
        let base_sequence = self.base_sequence;
        self.statuses_from(0).enumerate().map(move |(at, status)| (base_sequence.wrapping_add(at as u16), status))
    }

    /// The same without numbers, from the `skip`-th status on: the first arrival there carries the time of those skipped.
    /// Skipping costs what the feedback's bytes cost and not what they claim.
    pub fn statuses_from(&self, skip: usize) -> impl Iterator<Item = Option<i32>> + use<'a> {
        let Self { chunks, mut deltas, .. } = *self;
        let skip = skip.min(usize::from(self.status_count));
        let (mut at, mut left, mut owed) = (0, skip, 0);
        while let Some(chunk) = Chunk::read(chunks, at).filter(|chunk| chunk.len() <= left) {
            owed += chunk.pass(chunk.len(), &mut deltas);
            left -= chunk.len();
            at += 2;
        }
        owed += Chunk::read(chunks, at).map_or(0, |chunk| chunk.pass(left, &mut deltas));
        let symbols = (at..chunks.len()).step_by(2).filter_map(move |at| Chunk::read(chunks, at));
        let symbols = symbols.flat_map(move |chunk| chunk.symbols(std::mem::take(&mut left)));
        let rest = (usize::from(self.status_count) - skip).min(MAX_STATUSES);
        symbols
            .take(rest)
            .map(move |symbol| take_delta(symbol, &mut deltas).map(|delta| delta + std::mem::take(&mut owed)))
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::TRANSPORT_FEEDBACK, FORMAT)?;
        writer.word(self.sender.0)?;
        writer.word(self.media.0)?;
        writer.word(u32::from(self.base_sequence) << 16 | u32::from(self.status_count))?;
        writer.word(self.reference_time << 8 | u32::from(self.feedback_count))?;
        writer.put(self.chunks)?;
        writer.put(self.deltas)?;
        writer.finish()
    }
}

/// The delta of a status with `symbol`, taken off the front.
fn take_delta(symbol: u8, deltas: &mut &[u8]) -> Option<i32> {
    let (delta, rest) = match symbol {
        SMALL_DELTA => deltas.split_first().map(|(&delta, rest)| (i32::from(delta), rest))?,
        LARGE_DELTA => deltas.split_first_chunk().map(|(&delta, rest)| (i32::from(i16::from_be_bytes(delta)), rest))?,
        _ => return None,
    };
    *deltas = rest;
    Some(delta)
}

/// A status chunk.
#[derive(Debug, Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    fn read(chunks: &[u8], at: usize) -> Option<Self> {
        chunks.get(at..)?.first_chunk().map(|&chunk| Self(u16::from_be_bytes(chunk)))
    }

    fn is_run(self) -> bool {
        self.0 & 0x8000 == 0
    }

    /// How many statuses it says.
    fn len(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => usize::from(self.0 & 0x1fff),
            2 => 14,
            _ => 7,
        }
    }

    fn symbol(self, at: usize) -> u8 {
        let symbol = match self.0 >> 14 {
            0 | 1 => self.0 >> 13,
            2 => self.0 >> (13 - at) & 1,
            _ => self.0 >> (12 - 2 * at),
        };
        (symbol & 3) as u8
    }

    /// Its symbols from the `from`-th on.
    fn symbols(self, from: usize) -> impl Iterator<Item = u8> {
        (from..self.len()).map(move |at| self.symbol(at))
    }

    /// Takes the deltas of its first `count` statuses off the front, and adds them up.
    fn pass(self, count: usize, deltas: &mut &[u8]) -> i32 {
        if self.is_run() && self.symbol(0) == LOST {
            return 0;
        }
        (0..count).filter_map(|at| take_delta(self.symbol(at), deltas)).sum()
    }

    /// Bytes of deltas that its first `used` statuses need.
    fn deltas_len(self, used: usize) -> Result<usize, RtcpError> {
        // A run is not walked, or eight bytes would cost 65 535 steps.
        let (distinct, repeats) = if self.is_run() { (1, used) } else { (used, 1) };
        let mut len = 0;
        for symbol in self.symbols(0).take(distinct) {
            len += match symbol {
                LOST => 0,
                SMALL_DELTA => 1,
                LARGE_DELTA => 2,
                _ => return Err(RtcpError::Symbol),
            };
        }
        Ok(len * repeats)
    }
}
