//! Nanoseconds of CPU per forwarded packet.
fn main() {}
