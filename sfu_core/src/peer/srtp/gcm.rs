//! AES in Galois/counter mode for SRTP and SRTCP (RFC 7714 §8 and §9).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::SrtpError;
use super::wire::{RTCP_CLEAR_LEN, RTCP_INDEX_LEN};
use crate::ids::Ssrc;

pub(super) const TAG_LEN: usize = 16;

/// One session key with its salt.
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    /// A session key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8], salt: [u8; 12]) -> Self {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).expect("key_len() says 16 or 32 bytes");
        Self { key: LessSafeKey::new(key), salt }
    }

    /// Encrypts the payload and puts the tag behind it.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header_len: usize, payload_len: usize, ssrc: Ssrc, index: u64) {
        let (header, rest) = packet.split_at_mut(header_len);
        let (payload, rest) = rest.split_at_mut(payload_len);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(&*header), payload)
            .expect("a packet is far shorter than the limit of GCM");
        rest[..TAG_LEN].copy_from_slice(tag.as_ref());
    }

    /// Returns the length of header and plain payload.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let (header, sealed) = packet.split_at_mut(header_len);
        let plain = self
            .key
            .open_in_place(self.nonce(ssrc, index), Aad::from(&*header), sealed)
            .map_err(|_| SrtpError::Unauthenticated)?;
        Ok(header_len + plain.len())
    }

    /// Encrypts all behind the sender's SSRC; tag, then `word` (flag and index) follow.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], plain_len: usize, ssrc: Ssrc, index: u32, word: [u8; 4]) {
        let aad = rtcp_aad(packet, word);
        let (plain, rest) = packet[RTCP_CLEAR_LEN..].split_at_mut(plain_len - RTCP_CLEAR_LEN);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(ssrc, u64::from(index)), Aad::from(aad), plain)
            .expect("a packet is far shorter than the limit of GCM");
        rest[..TAG_LEN].copy_from_slice(tag.as_ref());
        rest[TAG_LEN..TAG_LEN + RTCP_INDEX_LEN].copy_from_slice(&word);
    }

    /// Returns the length of the plain packet. `packet` holds at least the clear part, a tag and the word.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        index: u32,
        word: [u8; 4],
    ) -> Result<usize, SrtpError> {
        let aad = rtcp_aad(packet, word);
        let end = packet.len() - RTCP_INDEX_LEN;
        let plain = self
            .key
            .open_in_place(self.nonce(ssrc, u64::from(index)), Aad::from(aad), &mut packet[RTCP_CLEAR_LEN..end])
            .map_err(|_| SrtpError::Unauthenticated)?;
        Ok(RTCP_CLEAR_LEN + plain.len())
    }

    /// `00 00 | SSRC | index` against the salt; for RTCP the index is `00 00 | 31 bits` (RFC 7714 §8.1, §9.1).
    fn nonce(&self, ssrc: Ssrc, index: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

fn rtcp_aad(packet: &[u8], word: [u8; 4]) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(&packet[..RTCP_CLEAR_LEN]);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    aad
}
