//! libFuzzer's way into [`sfu_fuzz::sctp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::sctp(input));
