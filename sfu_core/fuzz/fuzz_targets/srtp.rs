//! libFuzzer's way into [`sfu_fuzz::srtp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::srtp(input));
