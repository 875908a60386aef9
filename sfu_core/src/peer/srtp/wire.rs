//! Where the clear part of an SRTP packet ends (RFC 3711 §3.1): the header is read before anything is authenticated.

use super::SrtpError;
use crate::ids::Ssrc;

/// Bytes of an RTP header without CSRCs and extension (RFC 3550 §5.1).
const FIXED_HEADER_LEN: usize = 12;
/// Bytes of RTCP that stay in the clear: first word and SSRC (RFC 3711 §3.4).
pub(super) const RTCP_CLEAR_LEN: usize = 8;
/// The word of flag and index behind SRTCP (RFC 3711 §3.4).
pub(super) const RTCP_INDEX_LEN: usize = 4;
/// "This packet is encrypted" (RFC 3711 §3.4, E).
pub(super) const ENCRYPTED_FLAG: u32 = 1 << 31;
/// Largest SRTCP index: 31 bits.
pub(super) const MAX_RTCP_INDEX: u32 = ENCRYPTED_FLAG - 1;
/// Largest RTP index: 32 bits of roll-over counter and 16 of sequence number.
pub(super) const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// What of an RTP header matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClearHeader {
    pub(super) ssrc: Ssrc,
    pub(super) sequence_number: u16,
    pub(super) len: usize,
}

/// Reads the header of an RTP packet; all of it lies inside `packet`.
pub(super) fn rtp_header(packet: &[u8]) -> Result<ClearHeader, SrtpError> {
    let fixed: &[u8; FIXED_HEADER_LEN] = packet.first_chunk().ok_or(SrtpError::Truncated)?;
    if fixed[0] >> 6 != 2 {
        return Err(SrtpError::Truncated);
    }
    let mut len = FIXED_HEADER_LEN + 4 * usize::from(fixed[0] & 0x0f);
    if fixed[0] & 0x10 != 0 {
        let head = packet.get(len..len + 4).ok_or(SrtpError::Truncated)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    }
    if packet.len() < len {
        return Err(SrtpError::Truncated);
    }
    let ssrc = Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]));
    Ok(ClearHeader { ssrc, sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]), len })
}

/// Reads the SSRC of an RTP packet.
#[inline]
pub(super) fn rtp_ssrc(packet: &[u8]) -> Option<Ssrc> {
    let fixed: &[u8; FIXED_HEADER_LEN] = packet.first_chunk()?;
    Some(Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])))
}

/// Reads the sender of an RTCP packet.
pub(super) fn rtcp_sender(packet: &[u8]) -> Result<Ssrc, SrtpError> {
    let clear: &[u8; RTCP_CLEAR_LEN] = packet.first_chunk().ok_or(SrtpError::Truncated)?;
    if clear[0] >> 6 != 2 {
        return Err(SrtpError::Truncated);
    }
    Ok(Ssrc(u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]])))
}
