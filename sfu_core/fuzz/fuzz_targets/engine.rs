//! libFuzzer's way into [`sfu_fuzz::engine`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::engine(input));
