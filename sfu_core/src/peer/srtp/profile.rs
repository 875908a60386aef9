//! SRTP protection profiles and their keying material (RFC 5764 §4.1.2 and §4.2, RFC 7714 §14.2).

use std::fmt;

use arrayvec::ArrayVec;

/// Longest master key: AES-256.
const MAX_KEY_LEN: usize = 32;
/// Longest master salt: that of counter mode.
const MAX_SALT_LEN: usize = 14;

/// How media is encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits: what every WebRTC endpoint must know.
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// All profiles, the one we like best first.
    pub const ALL: [Self; 3] = [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::Aes128CmSha1_80];

    /// The name in the IANA registry of DTLS-SRTP protection profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// Whether encryption and authentication are one.
    pub const fn is_aead(self) -> bool {
        !matches!(self, Self::Aes128CmSha1_80)
    }

    /// Bytes of a master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    /// Bytes of an authentication tag.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }
}

impl TryFrom<dimpl::SrtpProfile> for SrtpProfile {
    type Error = dimpl::SrtpProfile;

    /// Fails for a profile that dimpl may learn one day.
    fn try_from(profile: dimpl::SrtpProfile) -> Result<Self, Self::Error> {
        match profile {
            dimpl::SrtpProfile::AEAD_AES_256_GCM => Ok(Self::AeadAes256Gcm),
            dimpl::SrtpProfile::AEAD_AES_128_GCM => Ok(Self::AeadAes128Gcm),
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => Ok(Self::Aes128CmSha1_80),
            other => Err(other),
        }
    }
}

/// Master key and salt of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpHalf {
    /// The master key.
    pub key: ArrayVec<u8, MAX_KEY_LEN>,
    /// The master salt.
    pub salt: ArrayVec<u8, MAX_SALT_LEN>,
}

impl fmt::Debug for SrtpHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpHalf").finish_non_exhaustive()
    }
}

/// What a DTLS handshake yields for media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What was negotiated.
    pub profile: SrtpProfile,
    /// Protects what the DTLS client sends.
    pub client: SrtpHalf,
    /// Protects what the DTLS server sends.
    pub server: SrtpHalf,
}

impl SrtpKeys {
    /// Cuts up exported keying material (RFC 5764 §4.2); `None` when it has another length than the profile asks for.
    pub fn new(profile: SrtpProfile, material: &[u8]) -> Option<Self> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        if material.len() != 2 * (key_len + salt_len) {
            return None;
        }
        let (client_key, rest) = material.split_at(key_len);
        let (server_key, rest) = rest.split_at(key_len);
        let (client_salt, server_salt) = rest.split_at(salt_len);
        Some(Self { profile, client: half(client_key, client_salt), server: half(server_key, server_salt) })
    }
}

fn half(key: &[u8], salt: &[u8]) -> SrtpHalf {
    SrtpHalf { key: key.iter().copied().collect(), salt: salt.iter().copied().collect() }
}
