//! libFuzzer's way into [`sfu_fuzz::rtcp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::rtcp(input));
