//! How fast one subscriber may be sent to (congestion control for RTP, RFC 8836), and what of that goes to which track.

pub mod aimd;
pub mod allocator;
pub mod arrival;
pub mod ceiling;
pub mod estimator;
pub mod history;
pub mod loss;
pub mod pacer;
pub mod remb_controller;
pub mod trendline;
