//! The part of the corpus that is made by hand: vectors of the RFCs, packets and descriptions as browsers send them, and for
//! targets that read choices, choices that lead somewhere. What libFuzzer found lies beside it.

mod connected;
mod control;
mod network;
mod relays;
mod rtcp;
mod rtp;
mod sctp;
mod signalling;

/// One file of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The target it is for.
    pub target: &'static str,
    /// What it is, and its file name.
    pub name: &'static str,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// All of them, the same each time.
pub fn all() -> Vec<Seed> {
    [
        rtp::all(),
        rtcp::all(),
        network::all(),
        connected::all(),
        control::all(),
        relays::all(),
        sctp::all(),
        signalling::all(),
    ]
    .concat()
}

/// Seeds of one target.
fn seeds(target: &'static str, named: &[(&'static str, &[u8])]) -> Vec<Seed> {
    named.iter().map(|(name, bytes)| Seed { target, name, bytes: bytes.to_vec() }).collect()
}

/// The same of what had to be put together.
fn owned(target: &'static str, named: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Vec<Seed> {
    named.into_iter().map(|(name, bytes)| Seed { target, name, bytes }).collect()
}
