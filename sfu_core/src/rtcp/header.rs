//! The header that all RTCP packets share, and their padding (RFC 3550 §6.4.1).

use crate::error::RtcpError;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
pub const SENDER_REPORT: u8 = 200;
/// See [`SENDER_REPORT`].
pub const RECEIVER_REPORT: u8 = 201;
/// See [`SENDER_REPORT`].
pub const SDES: u8 = 202;
/// See [`SENDER_REPORT`].
pub const BYE: u8 = 203;
/// See [`SENDER_REPORT`].
pub const TRANSPORT_FEEDBACK: u8 = 205;
/// See [`SENDER_REPORT`].
pub const PAYLOAD_FEEDBACK: u8 = 206;

/// Bytes of the header.
pub const LEN: usize = 4;
/// Most entries that the 5 bits of a count can say.
pub const MAX_COUNT: usize = 31;

/// A packet cut out of its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// What it is.
    pub packet_type: u8,
    /// How many entries, or which feedback format.
    pub count: u8,
    /// Behind the header, without padding.
    pub body: &'a [u8],
}

/// Cuts the first packet off `datagram`.
///
/// # Errors
/// [`RtcpError`], when there is no whole packet of version 2.
pub fn split(datagram: &[u8]) -> Result<(Framed<'_>, &[u8]), RtcpError> {
    let (&[flags, packet_type, l0, l1], after) = datagram.split_first_chunk().ok_or(RtcpError::Truncated)?;
    let version = flags >> 6;
    if version != 2 {
        return Err(RtcpError::Version(version));
    }
    let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let (mut body, rest) = after.split_at_checked(len).ok_or(RtcpError::Truncated)?;
    if flags & 0x20 != 0 {
        let padding = body.last().map_or(0, |&count| usize::from(count));
        if padding == 0 || padding > body.len() {
            return Err(RtcpError::Padding);
        }
        body = &body[..body.len() - padding];
    }
    Ok((Framed { packet_type, count: flags & 0x1f, body }, rest))
}

/// Reads a 32-bit word at `at`.
pub(super) fn word(body: &[u8], at: usize) -> Result<u32, RtcpError> {
    let word = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(RtcpError::Truncated)?;
    Ok(u32::from_be_bytes(*word))
}

/// Writes one packet from its start to its end.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A packet at the start of `out`.
    pub(super) fn new(out: &'a mut [u8], packet_type: u8, count: u8) -> Option<Self> {
        let mut writer = Self { out, len: 0 };
        writer.put(&[0x80 | count & 0x1f, packet_type, 0, 0])?;
        Some(writer)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    pub(super) fn word(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_be_bytes())
    }

    /// Pads to a whole word, with the padding bit set if anything was added, and writes the length.
    pub(super) fn finish(mut self) -> Option<usize> {
        let padding = self.len.next_multiple_of(4) - self.len;
        if padding != 0 {
            self.put(&[0, 0, 0][..padding])?;
            self.out[self.len - 1] = padding as u8;
            self.out[0] |= 0x20;
        }
        let words = u16::try_from(self.len / 4 - 1).ok()?;
        self.out[2..4].copy_from_slice(&words.to_be_bytes());
        Some(self.len)
    }
}
