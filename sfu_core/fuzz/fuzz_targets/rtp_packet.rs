//! libFuzzer's way into [`sfu_fuzz::rtp_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::rtp_packet(input));
