//! A test bench in virtual time: participants, the links between them and the media engine, and an oracle that judges what
//! arrives. One seed is one run.
//!
//! Start at [`meeting`], then [`world`]; `README.md` beside `Cargo.toml` says what each part promises.

pub mod browser;
pub mod clock;
mod decoder;
pub mod heap;
pub mod keyed;
pub mod link;
pub mod load;
pub mod media;
pub mod meeting;
pub mod oracle;
pub mod person;
pub mod random;
pub mod relayed;
pub mod remote;
pub mod server;
pub mod stay;
pub mod world;
