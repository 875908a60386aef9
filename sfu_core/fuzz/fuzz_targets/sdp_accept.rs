//! libFuzzer's way into [`sfu_fuzz::sdp_accept`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::sdp_accept(input));
