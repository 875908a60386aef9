//! Session descriptions (RFC 8866): the bodies live beside the parser.

/// Text that claims to be an offer.
pub fn sdp_answer(input: &[u8]) {
    sfu_core::sdp::fuzz_answer(input);
}

/// Text that claims to be the answer to an offer of ours.
pub fn sdp_accept(input: &[u8]) {
    sfu_core::sdp::fuzz_accept(input);
}
