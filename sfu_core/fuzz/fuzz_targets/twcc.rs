//! libFuzzer's way into [`sfu_fuzz::twcc`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::twcc(input));
