//! What must hold of every parser, whatever the network sends: not only that it does not panic, but that what it says is
//! inside what it was given, that what is written reads back, and that nothing grows without bound.
//!
//! One function per target. `fuzz_targets/` hands them to libFuzzer, `tests/corpus.rs` runs them over `corpus/` with any
//! compiler, and [`seeds`] makes the part of the corpus that is ours.

mod bounds;
mod bytes;
mod command;
mod connected;
mod control;
mod dcep;
mod demux;
mod engine;
mod heap;
mod relays;
mod rtcp;
mod rtp;
mod sctp;
mod sdp;
pub mod seeds;
mod srtp;
mod stun;
mod stun_peer;
mod turns;

use std::sync::LazyLock;
use std::time::Instant;

pub use command::command;
pub use connected::{connected, longest_call};
pub use control::control_frames;
pub use dcep::dcep;
pub use demux::demux;
pub use engine::{engine, sdp_session};
pub use relays::relays;
pub use rtcp::{rtcp, twcc};
pub use rtp::{av1, h264, red, rtp_extensions, rtp_packet, vp8, vp9};
pub use sctp::sctp;
pub use sdp::{sdp_accept, sdp_answer};
pub use srtp::srtp;
pub use stun_peer::stun_peer;

/// The body of a target: panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target by name, which is that of its folder below `corpus/` and of its file in `fuzz_targets/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("av1", av1),
    ("command", command),
    ("connected", connected),
    ("control_frames", control_frames),
    ("dcep", dcep),
    ("demux", demux),
    ("engine", engine),
    ("h264", h264),
    ("red", red),
    ("relays", relays),
    ("rtcp", rtcp),
    ("rtp_extensions", rtp_extensions),
    ("rtp_packet", rtp_packet),
    ("sctp", sctp),
    ("sdp_accept", sdp_accept),
    ("sdp_answer", sdp_answer),
    ("sdp_session", sdp_session),
    ("srtp", srtp),
    ("stun_peer", stun_peer),
    ("twcc", twcc),
    ("vp8", vp8),
    ("vp9", vp9),
];

/// When every run begins: read once, so that runs differ in nothing.
pub(crate) fn start() -> Instant {
    #[allow(clippy::disallowed_methods)]
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}
