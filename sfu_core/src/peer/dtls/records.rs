//! The outside of DTLS records (RFC 6347 §4.1, RFC 9147 §4): as much as it takes to keep plaintext alerts, which anyone can
//! forge, away from a handshake.

const HEADER_LEN: usize = 13;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
/// A record of DTLS 1.3 with its short header: encrypted.
const UNIFIED: std::ops::RangeInclusive<u8> = 32..=63;

/// How far the endpoint is that a datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was fed to it yet.
    Fresh,
    /// It has no keys yet.
    Handshaking,
    /// Forged records no longer harm it.
    Connected,
}

/// Whether a datagram carries application data, as far as one can see.
pub(super) fn is_application(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|kind| *kind == APPLICATION || UNIFIED.contains(kind))
}

/// Whether every record of `datagram` may be fed to an endpoint at that stage: handshake only to a fresh one, and no
/// plaintext alert before there are keys.
pub(super) fn is_acceptable(datagram: &[u8], stage: Stage) -> bool {
    if stage == Stage::Connected {
        return true;
    }
    let mut rest = datagram;
    while let Some(kind) = rest.first() {
        if UNIFIED.contains(kind) {
            return stage == Stage::Handshaking;
        }
        let Some((header, body)) = rest.split_at_checked(HEADER_LEN) else { return false };
        let encrypted = header[3..5] != [0, 0];
        let allowed = match stage {
            Stage::Fresh => *kind == HANDSHAKE,
            _ => *kind != ALERT || encrypted,
        };
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some(after) = body.get(len..).filter(|_| allowed) else { return false };
        rest = after;
    }
    !datagram.is_empty()
}
