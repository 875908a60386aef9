//! Receiving SRTP and SRTCP (RFC 3711 §3.3 and §3.4): guess the index, check for replay, authenticate, only then remember.

use std::fmt;

use super::SrtpError;
use super::cipher::{self, Cipher};
use super::profile::SrtpProfile;
use super::replay::ReplayWindows;
use super::wire::{self, ClearHeader, ENCRYPTED_FLAG};

/// One remote's packets on their way in.
pub struct SrtpInbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: ReplayWindows,
    rtcp_sources: ReplayWindows,
    /// The sealed bytes of a source's first packet, in case the first guess of its roll-over counter is wrong.
    /// Grows to the largest such packet; the caller's receive buffer bounds it.
    first_packet: Vec<u8>,
}

impl fmt::Debug for SrtpInbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpInbound").finish_non_exhaustive()
    }
}

impl SrtpInbound {
    /// Takes the master key and salt of the remote's half. Panics when their lengths are not the profile's.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Self {
        let (rtp, rtcp) = cipher::derive(profile, key, salt);
        Self {
            rtp,
            rtcp,
            rtp_sources: ReplayWindows::default(),
            rtcp_sources: ReplayWindows::default(),
            first_packet: Vec::new(),
        }
    }

    /// Fetches what a packet touches.
    #[inline]
    pub fn prefetch(&self, rtp: bool) {
        let (cipher, sources) = if rtp { (&self.rtp, &self.rtp_sources) } else { (&self.rtcp, &self.rtcp_sources) };
        cipher.prefetch();
        sources.prefetch();
    }

    /// Authenticates and decrypts an RTP packet in place. Returns the length of header and plain payload; after an error
    /// the bytes behind the header are meaningless.
    ///
    /// # Errors
    /// When the packet is malformed, not authentic, a replay, or from one source too many.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = wire::rtp_header(packet)?;
        let place = self.rtp_sources.find(header.ssrc);
        let (plain_len, index) = match place {
            Some(place) => {
                let window = self.rtp_sources.window(place);
                let index = window.estimate(header.sequence_number).ok_or(SrtpError::Unauthenticated)?;
                if !window.is_fresh(index) {
                    return Err(SrtpError::Replayed);
                }
                (self.rtp.open_rtp(packet, header.len, header.ssrc, index)?, index)
            }
            None => self.open_first(packet, &header)?,
        };
        self.rtp_sources.accept(place, header.ssrc, index)?;
        Ok(plain_len)
    }

    /// Authenticates and decrypts an RTCP packet in place. Returns the plain length.
    ///
    /// # Errors
    /// As for RTP. A packet that says it is not encrypted is refused as well: WebRTC has no such (RFC 8827 §6.5).
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = wire::rtcp_sender(packet)?;
        let word = self.rtcp.rtcp_word(packet)?;
        let flag_and_index = u32::from_be_bytes(word);
        if flag_and_index & ENCRYPTED_FLAG == 0 {
            return Err(SrtpError::Unauthenticated);
        }
        let index = flag_and_index & !ENCRYPTED_FLAG;
        let place = self.rtcp_sources.find(ssrc);
        if place.is_some_and(|place| !self.rtcp_sources.window(place).is_fresh(u64::from(index))) {
            return Err(SrtpError::Replayed);
        }
        let plain_len = self.rtcp.open_rtcp(packet, ssrc, index, word)?;
        self.rtcp_sources.accept(place, ssrc, u64::from(index))?;
        Ok(plain_len)
    }

    /// Opens the first packet of a source. Its roll-over counter is 0, or 1 when the sender began just below 65 536 and
    /// nothing of that arrived.
    fn open_first(&mut self, packet: &mut [u8], header: &ClearHeader) -> Result<(usize, u64), SrtpError> {
        let index = u64::from(header.sequence_number);
        if header.sequence_number >= 0x8000 {
            return Ok((self.rtp.open_rtp(packet, header.len, header.ssrc, index)?, index));
        }
        self.first_packet.clear();
        self.first_packet.extend_from_slice(packet);
        if let Ok(plain_len) = self.rtp.open_rtp(packet, header.len, header.ssrc, index) {
            return Ok((plain_len, index));
        }
        packet.copy_from_slice(&self.first_packet);
        let index = index | 1 << 16;
        Ok((self.rtp.open_rtp(packet, header.len, header.ssrc, index)?, index))
    }

    /// How many sources of RTP and of RTCP are remembered.
    #[cfg(test)]
    pub(super) fn sources(&self) -> (usize, usize) {
        (self.rtp_sources.len(), self.rtcp_sources.len())
    }
}
