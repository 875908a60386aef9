//! RTP packets: fixed header, contributing sources, extension block, padding (RFC 3550 §5.1).

use super::ext::ExtensionBlock;
use crate::error::RtpError;
use crate::ids::Ssrc;

/// The fixed header without what only matters for finding the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// For video, the last packet of a frame; for audio, the first after silence.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// Counts packets, wraps.
    pub sequence_number: u16,
    /// In ticks of the codec's clock, wraps.
    pub timestamp: u32,
    /// Which encoding, or its retransmissions.
    pub ssrc: Ssrc,
}

impl Header {
    /// Bytes of the fixed header.
    pub const LEN: usize = 12;

    /// Writes the fixed header of a packet without contributing sources or padding; `extension` says whether an
    /// extension block follows.
    #[inline]
    pub fn write(&self, extension: bool, out: &mut [u8; Self::LEN]) {
        out[0] = 0x80 | u8::from(extension) << 4;
        out[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        out[2..4].copy_from_slice(&self.sequence_number.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
    }
}

/// Reads the fixed header only: what is in the clear before decryption.
///
/// # Errors
/// [`RtpError`], when `datagram` cannot be RTP version 2.
#[inline]
pub fn peek(datagram: &[u8]) -> Result<Header, RtpError> {
    let Some(&[b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]) = datagram.first_chunk() else {
        return Err(RtpError::Truncated);
    };
    let version = b0 >> 6;
    if version != 2 {
        return Err(RtpError::Version(version));
    }
    Ok(Header {
        marker: b1 & 0x80 != 0,
        payload_type: b1 & 0x7f,
        sequence_number: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: Ssrc(u32::from_be_bytes([c0, c1, c2, c3])),
    })
}

/// Bytes before the payload: fixed header, contributing sources and extension block, all of it inside `datagram`.
///
/// # Errors
/// [`RtpError`], when `datagram` cannot be RTP version 2 or ends inside its header.
#[inline]
pub fn header_len(datagram: &[u8]) -> Result<usize, RtpError> {
    peek(datagram)?;
    Ok(extension_block(datagram)?.1)
}

/// The extension block and where the payload begins, of a datagram whose fixed header is there.
#[inline]
fn extension_block(datagram: &[u8]) -> Result<(ExtensionBlock<'_>, usize), RtpError> {
    let flags = datagram[0];
    let start = Header::LEN + 4 * usize::from(flags & 0x0f);
    let rest = datagram.get(start..).ok_or(RtpError::Truncated)?;
    if flags & 0x10 == 0 {
        return Ok((ExtensionBlock::default(), start));
    }
    let (&[p0, p1, l0, l1], body) = rest.split_first_chunk().ok_or(RtpError::Truncated)?;
    let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let body = body.get(..len).ok_or(RtpError::Truncated)?;
    Ok((ExtensionBlock::new(u16::from_be_bytes([p0, p1]), body), start + 4 + len))
}

/// A whole packet in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// The header extensions, unread.
    pub extensions: ExtensionBlock<'a>,
    /// Without padding; may be empty.
    pub payload: &'a [u8],
    /// Bytes behind the payload.
    pub padding_len: usize,
    /// Bytes before the payload.
    pub header_len: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet after decryption. Never panics: the bytes come from the network.
    ///
    /// # Errors
    /// [`RtpError`], when `plain` is not RTP version 2 with all its parts inside.
    #[inline]
    pub fn parse(plain: &'a [u8]) -> Result<Self, RtpError> {
        let header = peek(plain)?;
        let (extensions, header_len) = extension_block(plain)?;
        let body = &plain[header_len..];
        let padding_len = if plain[0] & 0x20 == 0 { 0 } else { padding_len(body)? };
        let payload = &body[..body.len() - padding_len];
        Ok(Self { header, extensions, payload, padding_len, header_len })
    }
}

/// Bytes of padding at the end of `body`, the last of which says how many (at least itself).
fn padding_len(body: &[u8]) -> Result<usize, RtpError> {
    match body.last() {
        Some(&count) if count != 0 && usize::from(count) <= body.len() => Ok(usize::from(count)),
        _ => Err(RtpError::Padding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, 1, 2];

    fn packet(flags: u8, after: &[u8]) -> Vec<u8> {
        let mut bytes = PLAIN[..12].to_vec();
        bytes[0] = flags;
        bytes.extend_from_slice(after);
        bytes
    }

    #[test]
    fn a_plain_packet_gives_its_fields() {
        let packet = Packet::parse(&PLAIN).unwrap();
        let expected =
            Header { marker: true, payload_type: 96, sequence_number: 0x1234, timestamp: 9, ssrc: Ssrc(0xdead_beef) };
        assert_eq!(packet.header, expected);
        assert_eq!((packet.payload, packet.header_len, packet.padding_len), (&[1, 2][..], 12, 0));
    }

    #[test]
    fn contributing_sources_and_extensions_lie_before_the_payload() {
        let bytes = packet(0x92, &[0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 7, 0, 0, 9]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.header_len, packet.payload), (28, &[9][..]));
        assert_eq!(packet.extensions.iter().collect::<Vec<_>>(), [(1, &[7][..])]);
    }

    #[test]
    fn an_extension_block_of_length_zero_is_empty() {
        let bytes = packet(0x90, &[0xbe, 0xde, 0, 0, 9]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.header_len, packet.extensions.iter().count()), (16, 0));
    }

    #[test]
    fn a_header_longer_than_the_datagram_is_refused() {
        for (flags, after) in [(0x8f, &[0; 59][..]), (0x90, &[0xbe, 0xde, 0]), (0x90, &[0xbe, 0xde, 0, 1, 0, 0, 0])] {
            assert_eq!(header_len(&packet(flags, after)), Err(RtpError::Truncated));
        }
        assert_eq!(header_len(&PLAIN[..11]), Err(RtpError::Truncated));
        assert_eq!(header_len(&packet(0x40, &[])), Err(RtpError::Version(1)));
    }

    #[test]
    fn padding_is_taken_off_and_may_be_all_there_is() {
        assert_eq!(Packet::parse(&packet(0xa0, &[7, 0, 2])).unwrap().payload, &[7]);
        let only = packet(0xa0, &[0, 0, 3]);
        let packet_of_padding = Packet::parse(&only).unwrap();
        assert_eq!((packet_of_padding.payload.len(), packet_of_padding.padding_len), (0, 3));
    }

    #[test]
    fn padding_that_cannot_be_is_refused() {
        for after in [&[][..], &[0], &[1, 0], &[1, 3]] {
            assert_eq!(Packet::parse(&packet(0xa0, after)), Err(RtpError::Padding), "{after:?}");
        }
    }

    proptest! {
        #[test]
        fn a_written_header_reads_back(marker: bool, payload_type in 0u8..128, seq: u16, timestamp: u32, ssrc: u32) {
            let header = Header { marker, payload_type, sequence_number: seq, timestamp, ssrc: Ssrc(ssrc) };
            let mut out = [0; 12];
            header.write(false, &mut out);
            prop_assert_eq!(peek(&out), Ok(header));
            prop_assert_eq!(header_len(&out), Ok(12));
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), rtp: bool) {
            if rtp && !bytes.is_empty() {
                bytes[0] = bytes[0] & 0x3f | 0x80;
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(packet.header_len + packet.payload.len() + packet.padding_len, bytes.len());
                prop_assert_eq!(header_len(&bytes), Ok(packet.header_len));
                prop_assert!(packet.extensions.iter().map(|(_, value)| value.len()).sum::<usize>() < bytes.len());
            }
        }
    }
}
