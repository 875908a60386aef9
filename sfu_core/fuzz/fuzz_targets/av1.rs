//! libFuzzer's way into [`sfu_fuzz::av1`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::av1(input));
