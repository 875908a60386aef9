//! One participant's transport.

pub mod srtp;
