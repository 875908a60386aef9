//! libFuzzer's way into [`sfu_fuzz::control_frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sfu_fuzz::control_frames(input));
