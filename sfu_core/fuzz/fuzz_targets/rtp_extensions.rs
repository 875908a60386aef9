//! libFuzzer's way into [`sfu_fuzz::rtp_extensions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::rtp_extensions(input));
