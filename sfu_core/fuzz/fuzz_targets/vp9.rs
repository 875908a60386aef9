//! libFuzzer's way into [`sfu_fuzz::vp9`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::vp9(input));
