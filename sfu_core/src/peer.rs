//! One participant's transport.

pub mod sctp;
pub mod srtp;
