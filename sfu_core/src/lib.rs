//! A sans-IO media engine: forwards RTP between the peers of a room, to whom signalling allows it and to nobody else.
//!
//! Start at [`engine`]; `README.md` beside `Cargo.toml` tells the way of one packet. Layers, lowest first (held by
//! `tests/layering.rs`): `units ids slots error prefetch` → `rtp rtcp` → `session stats` → `gate bwe` → `forward peer demux` →
//! `engine` → `driver` → `python`. `sdp` stands beside the engine: it needs `session` only.

pub mod bwe;
pub mod demux;
pub mod driver;
pub mod engine;
pub mod error;
pub mod forward;
pub mod gate;
pub mod ids;
pub mod peer;
pub mod prefetch;
#[cfg(feature = "python")]
mod python;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod session;
pub mod slots;
pub mod stats;
pub mod units;
