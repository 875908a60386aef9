//! Numbers nobody outside can guess, all from the one seed that the rim drew: same seed, same numbers.

use aws_lc_rs::hmac;

/// Characters of ICE (RFC 8839 §5.4): base64 without padding is a subset.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// 24 characters of 6 bits: 144 bits; RFC 8445 §5.3 asks for 128.
const PASSWORD_LEN: usize = 24;

/// HMAC-SHA256 in counter mode over the seed.
pub(crate) struct Entropy {
    key: hmac::Key,
    drawn: u64,
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entropy").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl Entropy {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), drawn: 0 }
    }

    /// 32 fresh bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let tag = hmac::sign(&self.key, &self.drawn.to_be_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let bytes = self.bytes();
        u64::from_be_bytes(std::array::from_fn(|n| bytes[n]))
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    /// An ICE password (RFC 8839 §5.4).
    pub(crate) fn ice_password(&mut self) -> String {
        let bytes = self.bytes();
        bytes.iter().take(PASSWORD_LEN).map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_no_number_twice() {
        let (mut one, mut two) = (Entropy::new(&[7; 32]), Entropy::new(&[7; 32]));
        let first = one.ice_password();
        assert_eq!(first, two.ice_password());
        assert_eq!(first.len(), PASSWORD_LEN);
        assert_ne!(first, one.ice_password());
        assert_ne!(one.u64(), one.u64());
    }
}
