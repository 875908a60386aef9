//! Session keys from a master key (RFC 3711 §4.3, RFC 7714 §11), with a key derivation rate of zero.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// Which session key to derive; the numbers are the labels of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// A master key, expanded.
pub(super) struct MasterKey {
    cipher: EncryptingKey,
    salt: [u8; 16],
}

impl MasterKey {
    /// A master key of 16 or 32 bytes and its salt of at most 14.
    pub(super) fn new(key: &[u8], salt: &[u8]) -> Self {
        let mut padded = [0; 16];
        padded[..salt.len()].copy_from_slice(salt);
        Self { cipher: counter_key(key), salt: padded }
    }

    /// The first `N` bytes of the key that `label` names.
    pub(super) fn derive<const N: usize>(&self, label: Label) -> [u8; N] {
        let mut iv = self.salt;
        iv[7] ^= label as u8;
        let mut key = [0; N];
        xor_keystream(&self.cipher, iv, &mut key);
        key
    }
}

/// Expands an AES key of 16 or 32 bytes for counter mode.
pub(super) fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).expect("key_len() says 16 or 32 bytes");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

/// Encrypts or decrypts `bytes` with the counter starting at `iv`.
pub(super) fn xor_keystream(key: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) {
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(iv)))
        .expect("counter mode takes a 16-byte IV and any length");
}
