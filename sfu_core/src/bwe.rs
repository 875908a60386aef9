//! How fast one subscriber may be sent to (congestion control for RTP, RFC 8836), and what of that goes to which track.

pub mod allocator;
pub mod estimator;
pub mod arrival;
pub mod history;
pub mod pacer;
