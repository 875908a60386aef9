//! libFuzzer's way into [`sfu_fuzz::stun_peer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::stun_peer(input));
