//! RTP: what forwarding must read of a packet, and nothing more.

pub mod av1;
pub mod ext;
pub mod h264;
pub mod header;
pub mod red;
pub mod seq;
pub mod vp8;
pub mod vp9;
