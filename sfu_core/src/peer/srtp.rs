//! SRTP and SRTCP (RFC 3711) with the protection profiles of RFC 5764 and RFC 7714, in place.
//!
//! [`SrtpInbound`] authenticates and decrypts what one remote sends, [`SrtpOutbound`] seals what we send to it. Every key
//! is expanded once, when the DTLS handshake is over. Nothing an unauthenticated packet says is remembered.

mod aead;
mod cipher;
mod counter_mode;
mod gcm;
mod inbound;
mod kdf;
mod outbound;
mod profile;
mod replay;
#[cfg(test)]
mod tests;
mod wire;

use thiserror::Error;

pub use inbound::SrtpInbound;
pub use outbound::SrtpOutbound;
pub use profile::{SrtpHalf, SrtpKeys, SrtpProfile};
pub use replay::MAX_INBOUND_SSRCS;

/// What sealing adds to an RTP packet at most: the 16-byte tag of AES-GCM (RFC 7714 §13.1).
pub const MAX_SRTP_OVERHEAD: usize = 16;
/// What sealing adds to an RTCP packet at most: the tag and the 4-byte index (RFC 7714 §9.2).
pub const MAX_SRTCP_OVERHEAD: usize = 20;

/// Why a packet from the network was refused. All of them are the sender's fault (or an attacker's): drop and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SrtpError {
    /// Too short for its own header and the authentication tag, or not RTP version 2.
    #[error("truncated or malformed")]
    Truncated,
    /// The tag does not fit: forged, damaged, or sealed with other keys.
    #[error("not authentic")]
    Unauthenticated,
    /// Seen before, or older than the replay window.
    #[error("replayed")]
    Replayed,
    /// Authentic, but one sending source too many, and none of the known ones has been silent for long.
    #[error("too many sources")]
    TooManySources,
}
