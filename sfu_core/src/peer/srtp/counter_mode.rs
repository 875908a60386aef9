//! AES in counter mode with HMAC-SHA1 for SRTP and SRTCP (RFC 3711 §4.1.1 and §4.2.1).

use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::SrtpError;
use super::kdf::{counter_key, xor_keystream};
use super::wire::{RTCP_CLEAR_LEN, RTCP_INDEX_LEN};
use crate::ids::Ssrc;

pub(super) const TAG_LEN: usize = 10;

/// Bytes of the roll-over counter, which is authenticated but not sent (RFC 3711 §4.2).
const ROC_LEN: usize = 4;

/// One session key with its salt and authentication key.
pub(super) struct CounterMode {
    key: EncryptingKey,
    salt: [u8; 14],
    mac: hmac::Key,
}

impl CounterMode {
    pub(super) fn new(key: &[u8; 16], salt: [u8; 14], authentication: &[u8; 20]) -> Self {
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication);
        Self { key: counter_key(key), salt, mac }
    }

    /// Encrypts the payload and puts the tag behind it.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header_len: usize, payload_len: usize, ssrc: Ssrc, index: u64) {
        let end = header_len + payload_len;
        xor_keystream(&self.key, self.iv(ssrc, index), &mut packet[header_len..end]);
        let tag = self.rtp_tag(packet, end, index);
        packet[end..end + TAG_LEN].copy_from_slice(&tag);
    }

    /// Returns the length of header and plain payload. `packet` holds at least `header_len` bytes and a tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let end = packet.len() - TAG_LEN;
        let mut received = [0; TAG_LEN];
        received.copy_from_slice(&packet[end..]);
        let expected = self.rtp_tag(packet, end, index);
        if verify_slices_are_equal(&expected, &received).is_err() {
            packet[end..].copy_from_slice(&received);
            return Err(SrtpError::Unauthenticated);
        }
        xor_keystream(&self.key, self.iv(ssrc, index), &mut packet[header_len..end]);
        Ok(end)
    }

    /// Encrypts all behind the sender's SSRC; `word` (flag and index), then the tag follow.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], plain_len: usize, ssrc: Ssrc, index: u32, word: [u8; 4]) {
        xor_keystream(&self.key, self.iv(ssrc, u64::from(index)), &mut packet[RTCP_CLEAR_LEN..plain_len]);
        let end = plain_len + RTCP_INDEX_LEN;
        packet[plain_len..end].copy_from_slice(&word);
        let tag = self.tag(&packet[..end]);
        packet[end..end + TAG_LEN].copy_from_slice(&tag);
    }

    /// Returns the length of the plain packet. `packet` holds at least the clear part, the word and a tag.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: u32) -> Result<usize, SrtpError> {
        let end = packet.len() - TAG_LEN;
        let expected = self.tag(&packet[..end]);
        verify_slices_are_equal(&expected, &packet[end..]).map_err(|_| SrtpError::Unauthenticated)?;
        let plain_len = end - RTCP_INDEX_LEN;
        xor_keystream(&self.key, self.iv(ssrc, u64::from(index)), &mut packet[RTCP_CLEAR_LEN..plain_len]);
        Ok(plain_len)
    }

    /// The tag over `packet[..end]` and the roll-over counter, which borrows the place of the tag for the moment.
    fn rtp_tag(&self, packet: &mut [u8], end: usize, index: u64) -> [u8; TAG_LEN] {
        let roc = (index >> 16) as u32;
        packet[end..end + ROC_LEN].copy_from_slice(&roc.to_be_bytes());
        self.tag(&packet[..end + ROC_LEN])
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&hmac::sign(&self.mac, bytes).as_ref()[..TAG_LEN]);
        tag
    }

    /// `salt · 2^16 ⊕ SSRC · 2^64 ⊕ index · 2^16` (RFC 3711 §4.1.1).
    fn iv(&self, ssrc: Ssrc, index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.0.to_be_bytes());
        iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        iv
    }
}
