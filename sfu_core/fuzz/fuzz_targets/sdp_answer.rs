//! libFuzzer's way into [`sfu_fuzz::sdp_answer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::sdp_answer(input));
