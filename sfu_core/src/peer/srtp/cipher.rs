//! The session keys of one direction (RFC 3711 §3.2.1): one pair for RTP, one for RTCP, whatever the profile.

use super::SrtpError;
use super::counter_mode::{self, CounterMode};
use super::gcm::{self, Gcm};
use super::kdf::{Label, MasterKey};
use super::profile::SrtpProfile;
use super::wire::{ENCRYPTED_FLAG, RTCP_CLEAR_LEN, RTCP_INDEX_LEN};
use crate::ids::Ssrc;
use crate::prefetch::prefetch;

/// A session key for RTP or for RTCP.
pub(super) enum Cipher {
    Gcm(Gcm),
    CounterMode(Box<CounterMode>),
}

/// The ciphers for RTP and RTCP that follow from a master key.
pub(super) fn derive(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> (Cipher, Cipher) {
    assert!(key.len() == profile.key_len() && salt.len() == profile.salt_len(), "keying material of another profile");
    let master = MasterKey::new(key, salt);
    let rtp = [Label::RtpKey, Label::RtpAuthentication, Label::RtpSalt];
    let rtcp = [Label::RtcpKey, Label::RtcpAuthentication, Label::RtcpSalt];
    (Cipher::new(profile, &master, rtp), Cipher::new(profile, &master, rtcp))
}

impl Cipher {
    fn new(profile: SrtpProfile, master: &MasterKey, [key, authentication, salt]: [Label; 3]) -> Self {
        match profile {
            SrtpProfile::AeadAes256Gcm => Self::Gcm(Gcm::new(&master.derive::<32>(key), master.derive(salt))),
            SrtpProfile::AeadAes128Gcm => Self::Gcm(Gcm::new(&master.derive::<16>(key), master.derive(salt))),
            SrtpProfile::Aes128CmSha1_80 => Self::CounterMode(Box::new(CounterMode::new(
                &master.derive(key),
                master.derive(salt),
                &master.derive(authentication),
            ))),
        }
    }

    /// Asks for the cache lines that a packet needs.
    #[inline]
    pub(super) fn prefetch(&self) {
        match self {
            Self::Gcm(gcm) => gcm.prefetch(),
            Self::CounterMode(counter) => prefetch(&**counter),
        }
    }

    fn tag_len(&self) -> usize {
        match self {
            Self::Gcm(_) => gcm::TAG_LEN,
            Self::CounterMode(_) => counter_mode::TAG_LEN,
        }
    }

    /// Seals in place and returns the sealed length.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        payload_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        match self {
            Self::Gcm(gcm) => gcm.seal_rtp(packet, header_len, payload_len, ssrc, index),
            Self::CounterMode(counter) => counter.seal_rtp(packet, header_len, payload_len, ssrc, index),
        }
        header_len + payload_len + self.tag_len()
    }

    /// Authenticates and decrypts in place; returns the plain length. A packet that is refused is left in any state,
    /// only its first `header_len` bytes are sure to be untouched.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<usize, SrtpError> {
        if packet.len() < header_len + self.tag_len() {
            return Err(SrtpError::Truncated);
        }
        match self {
            Self::Gcm(gcm) => gcm.open_rtp(packet, header_len, ssrc, index),
            Self::CounterMode(counter) => counter.open_rtp(packet, header_len, ssrc, index),
        }
    }

    /// Seals in place and returns the sealed length.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], plain_len: usize, ssrc: Ssrc, index: u32) -> usize {
        let word = (ENCRYPTED_FLAG | index).to_be_bytes();
        match self {
            Self::Gcm(gcm) => gcm.seal_rtcp(packet, plain_len, ssrc, index, word),
            Self::CounterMode(counter) => counter.seal_rtcp(packet, plain_len, ssrc, index, word),
        }
        plain_len + self.tag_len() + RTCP_INDEX_LEN
    }

    /// The word with flag and index of a sealed RTCP packet.
    pub(super) fn rtcp_word(&self, packet: &[u8]) -> Result<[u8; 4], SrtpError> {
        if packet.len() < RTCP_CLEAR_LEN + self.tag_len() + RTCP_INDEX_LEN {
            return Err(SrtpError::Truncated);
        }
        let from_end = match self {
            Self::Gcm(_) => 0,
            Self::CounterMode(_) => counter_mode::TAG_LEN,
        };
        packet[..packet.len() - from_end].last_chunk().copied().ok_or(SrtpError::Truncated)
    }

    /// Authenticates and decrypts in place; returns the plain length.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        index: u32,
        word: [u8; 4],
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtcp(packet, ssrc, index, word),
            Self::CounterMode(counter) => counter.open_rtcp(packet, ssrc, index),
        }
    }
}
