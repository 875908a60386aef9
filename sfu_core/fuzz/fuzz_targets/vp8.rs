//! libFuzzer's way into [`sfu_fuzz::vp8`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::vp8(input));
