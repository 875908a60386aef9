//! libFuzzer's way into [`sfu_fuzz::h264`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::h264(input));
