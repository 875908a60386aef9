//! AES-GCM by aws-lc, with the expanded key in memory of our own.
//!
//! aws-lc-rs keeps it behind a pointer that it does not show: ten cache lines that every packet of another peer has to wait
//! for, one after the other. Here they can be asked for in time, see `prefetch.rs`; that is the only reason not to use it.

use std::mem::MaybeUninit;
use std::ptr;

use aws_lc_sys::{
    EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup, EVP_AEAD_CTX_init, EVP_AEAD_CTX_open_gather, EVP_AEAD_CTX_seal_scatter,
    EVP_aead_aes_128_gcm, EVP_aead_aes_256_gcm, OPENSSL_cleanse,
};

use super::SrtpError;
use crate::prefetch::prefetch;

pub(super) const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;

/// An expanded key. The library does not allow that it moves, so it lies in a box.
pub(super) struct Aead(Box<EVP_AEAD_CTX>);

// SAFETY: the context is plain memory that nothing else points to; sealing and opening only read it, and aws-lc says that
// they may be called from several threads at once (aead.h, "Concurrency" of EVP_AEAD_CTX_seal).
unsafe impl Send for Aead {}
// SAFETY: as above.
unsafe impl Sync for Aead {}

impl Aead {
    /// AES-128-GCM or AES-256-GCM, for a key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        assert!(matches!(key.len(), 16 | 32), "key_len() says 16 or 32 bytes");
        // Zeros first: `init` need not write what its algorithm does not use.
        let mut context = Box::new(MaybeUninit::<EVP_AEAD_CTX>::zeroed());
        // SAFETY: the algorithms are constants of the library; `init` makes the context ready, or fails and leaves nothing
        // behind that would have to be released.
        let initialised = unsafe {
            let algorithm = if key.len() == 32 { EVP_aead_aes_256_gcm() } else { EVP_aead_aes_128_gcm() };
            EVP_AEAD_CTX_init(context.as_mut_ptr(), algorithm, key.as_ptr(), key.len(), TAG_LEN, ptr::null_mut())
        };
        assert!(initialised == 1, "the key has the length that its algorithm asks for");
        // SAFETY: every byte was written, and `init` succeeded.
        Self(unsafe { context.assume_init() })
    }

    /// Asks for the cache lines of the key.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&*self.0);
    }

    /// Encrypts `text` in place and writes the tag.
    #[inline]
    pub(super) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8], tag: &mut [u8; TAG_LEN]) {
        let mut written = 0;
        // SAFETY: all pointers are of slices that live as long as the call, with their own lengths; `text` may be input and
        // output at once (aead.h), and no other two of them overlap, since they are borrowed apart.
        let sealed = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &raw const *self.0,
                text.as_mut_ptr(),
                tag.as_mut_ptr(),
                &raw mut written,
                TAG_LEN,
                nonce.as_ptr(),
                NONCE_LEN,
                text.as_ptr(),
                text.len(),
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        assert!(sealed == 1 && written == TAG_LEN, "a packet is far shorter than the limit of GCM");
    }

    /// Checks the tag and decrypts `text` in place; when it is refused, `text` is meaningless.
    #[inline]
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), SrtpError> {
        // SAFETY: as in `seal`; the tag is only read.
        let opened = unsafe {
            EVP_AEAD_CTX_open_gather(
                &raw const *self.0,
                text.as_mut_ptr(),
                nonce.as_ptr(),
                NONCE_LEN,
                text.as_ptr(),
                text.len(),
                tag.as_ptr(),
                TAG_LEN,
                aad.as_ptr(),
                aad.len(),
            )
        };
        if opened == 1 { Ok(()) } else { Err(SrtpError::Unauthenticated) }
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        let context: *mut EVP_AEAD_CTX = &raw mut *self.0;
        // SAFETY: it was initialised, and nobody uses it again; its bytes may be anything once it is cleaned up.
        unsafe {
            EVP_AEAD_CTX_cleanup(context);
            OPENSSL_cleanse(context.cast(), size_of::<EVP_AEAD_CTX>());
        }
    }
}
