//! libFuzzer's way into [`sfu_fuzz::sdp_session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::sdp_session(input));
