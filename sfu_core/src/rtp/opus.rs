//! Silence in Opus (RFC 6716 §3.1, RFC 7587 §3.1.3).

/// Whether the payload only says that nothing is to be heard: a table-of-contents byte and at most one more.
pub fn is_dtx(payload: &[u8]) -> bool {
    matches!(payload.len(), 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_bytes_are_silence() {
        assert!(is_dtx(&[0x78]) && is_dtx(&[0x78, 0xff]));
        assert!(!is_dtx(&[]) && !is_dtx(&[0x78, 0xff, 0xfe]));
    }
}
