//! libFuzzer's way into [`sfu_fuzz::connected`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::connected(input));
