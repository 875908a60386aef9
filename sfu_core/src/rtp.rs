//! RTP: what forwarding must read of a packet, and nothing more.

pub mod ext;
