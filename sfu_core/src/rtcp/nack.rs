//! Packets to send again (generic NACK, RFC 4585 §6.2.1).

use super::header::{self, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// Feedback format.
pub const FORMAT: u8 = 1;
/// Most sequence numbers taken from one packet: a second of a fast video encoding. More is no repair any more, and each
/// costs a look into the ring.
pub const MAX_NACK_SEQUENCES: usize = 512;

/// Packets to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Of which source.
    pub media: Ssrc,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    /// Reads the body; a last entry that is not whole is left out.
    ///
    /// # Errors
    /// [`RtcpError::Truncated`], when `body` is too short.
    pub fn parse(body: &'a [u8]) -> Result<Self, RtcpError> {
        let (sender, media) = (Ssrc(word(body, 0)?), Ssrc(word(body, 4)?));
        let entries = &body[8..];
        Ok(Self { sender, media, entries: &entries[..entries.len() / 4 * 4] })
    }

    /// The sequence numbers, as listed, at most [`MAX_NACK_SEQUENCES`].
    pub fn lost(&self) -> impl Iterator<Item = u16> + use<'a> {
        let numbers = self.entries.chunks_exact(4).flat_map(|entry| {
            let first = u16::from_be_bytes([entry[0], entry[1]]);
            let following = u32::from(u16::from_be_bytes([entry[2], entry[3]]));
            let mask = following << 1 | 1;
            (0..=16).filter(move |bit| mask >> bit & 1 != 0).map(move |bit| first.wrapping_add(bit))
        });
        numbers.take(MAX_NACK_SEQUENCES)
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::TRANSPORT_FEEDBACK, FORMAT)?;
        writer.word(self.sender.0)?;
        writer.word(self.media.0)?;
        writer.put(self.entries)?;
        writer.finish()
    }
}

/// Writes a request for `lost`, which is sorted (over the wrap). `None`, when it is empty or `out` is too short.
pub fn write(sender: Ssrc, media: Ssrc, lost: &[u16], out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out, header::TRANSPORT_FEEDBACK, FORMAT)?;
    writer.word(sender.0)?;
    writer.word(media.0)?;
    let (&(mut first), rest) = lost.split_first()?;
    let mut mask = 0_u32;
    for &number in rest {
        match number.wrapping_sub(first) {
            0 => {}
            distance @ 1..=16 => mask |= 1 << (distance - 1),
            _ => {
                writer.word(u32::from(first) << 16 | mask)?;
                (first, mask) = (number, 0);
            }
        }
    }
    writer.word(u32::from(first) << 16 | mask)?;
    writer.finish()
}
