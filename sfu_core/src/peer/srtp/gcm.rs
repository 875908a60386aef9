//! AES in Galois/counter mode for SRTP and SRTCP (RFC 7714 §8 and §9).

use super::SrtpError;
use super::aead::Aead;
use super::wire::{RTCP_CLEAR_LEN, RTCP_INDEX_LEN};
use crate::ids::Ssrc;

pub(super) use super::aead::TAG_LEN;

/// One session key with its salt.
pub(super) struct Gcm {
    key: Aead,
    /// Twelve bytes, in network order.
    salt: u128,
}

impl Gcm {
    /// A session key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8], salt: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        bytes[4..].copy_from_slice(&salt);
        Self { key: Aead::new(key), salt: u128::from_be_bytes(bytes) }
    }

    /// Asks for the cache lines of the key.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.key.prefetch();
    }

    /// Encrypts the payload and puts the tag behind it. `packet` has room for the tag.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header_len: usize, payload_len: usize, ssrc: Ssrc, index: u64) {
        let (header, rest) = packet.split_at_mut(header_len);
        let (payload, rest) = rest.split_at_mut(payload_len);
        self.key.seal(&self.nonce(ssrc, index), header, payload, tag_of(rest));
    }

    /// Returns the length of header and plain payload. `packet` holds at least the header and a tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let end = packet.len() - TAG_LEN;
        let (header, sealed) = packet.split_at_mut(header_len);
        let (payload, tag) = sealed.split_at_mut(end - header_len);
        self.key.open(&self.nonce(ssrc, index), header, payload, tag_of(tag))?;
        Ok(end)
    }

    /// Encrypts all behind the sender's SSRC; tag, then `word` (flag and index) follow. `packet` has room for both.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], plain_len: usize, ssrc: Ssrc, index: u32, word: [u8; 4]) {
        let aad = rtcp_aad(packet, word);
        let (plain, rest) = packet[RTCP_CLEAR_LEN..].split_at_mut(plain_len - RTCP_CLEAR_LEN);
        self.key.seal(&self.nonce(ssrc, u64::from(index)), &aad, plain, tag_of(rest));
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
        let end = packet.len() - RTCP_INDEX_LEN - TAG_LEN;
        let (sealed, tag) = packet[RTCP_CLEAR_LEN..].split_at_mut(end - RTCP_CLEAR_LEN);
        self.key.open(&self.nonce(ssrc, u64::from(index)), &aad, sealed, tag_of(tag))?;
        Ok(end)
    }

    /// `00 00 | SSRC | index` against the salt; for RTCP the index is `00 00 | 31 bits` (RFC 7714 §8.1, §9.1).
    #[inline]
    fn nonce(&self, ssrc: Ssrc, index: u64) -> [u8; 12] {
        let nonce = self.salt ^ u128::from(ssrc.0) << 48 ^ u128::from(index);
        let [_, _, _, _, bytes @ ..] = nonce.to_be_bytes();
        bytes
    }
}

/// The place of the tag, at the beginning of what comes behind the sealed bytes.
#[inline]
fn tag_of(rest: &mut [u8]) -> &mut [u8; TAG_LEN] {
    rest.first_chunk_mut().expect("the caller keeps room for a tag")
}

fn rtcp_aad(packet: &[u8], word: [u8; 4]) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(&packet[..RTCP_CLEAR_LEN]);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    aad
}
