//! A track on its way to another engine: all its encodings, as they came, for subscribers over there.

use arrayvec::ArrayVec;

use crate::gate::EdgeRef;
use crate::ids::PeerId;
use crate::session::MAX_ENCODINGS;
use crate::units::Bitrate;

use super::router::Encoding;

/// Relays of one track: one for each worker of a process (`driver.rs`), or as many nodes.
pub const MAX_OUTLETS: usize = 64;

/// One relay of a track, at the end where the publisher is.
#[derive(Debug)]
pub struct Outlet {
    /// The end of the relay, which is a peer of the track's room.
    pub peer: PeerId,
    /// The right to the track, while there is one.
    pub edge: Option<EdgeRef>,
    /// By encoding: the lowest number that came under this right. What is older never leaves, also when it is asked for.
    from: [u64; MAX_ENCODINGS],
    /// By encoding: whether subscribers at the far end wait for a keyframe.
    waits_for_keyframe: [bool; MAX_ENCODINGS],
    /// What the weakest subscriber at the far end can take of the track, if too little.
    pub share: Option<Bitrate>,
}

impl Outlet {
    /// One without a right.
    pub const fn new(peer: PeerId) -> Self {
        let (from, waits_for_keyframe) = ([0; MAX_ENCODINGS], [false; MAX_ENCODINGS]);
        Self { peer, edge: None, from, waits_for_keyframe, share: None }
    }

    /// There is a right from here on, and what came before is not covered by it.
    pub fn begin(&mut self, edge: EdgeRef, encodings: &ArrayVec<Encoding, MAX_ENCODINGS>) {
        self.edge = Some(edge);
        for (from, encoding) in self.from.iter_mut().zip(encodings) {
            *from = encoding.unwrapper.highest().map_or(0, |highest| highest + 1);
        }
    }

    /// The right is over, and with it what the far end wished.
    pub const fn end(&mut self) {
        (self.edge, self.share) = (None, None);
        self.waits_for_keyframe = [false; MAX_ENCODINGS];
    }

    /// The right under which the packet of that number may leave.
    #[inline]
    pub fn right_to(&self, encoding: u8, sequence: u64) -> Option<EdgeRef> {
        let from = *self.from.get(usize::from(encoding))?;
        self.edge.filter(|_| sequence >= from)
    }

    /// The encoding began anew under another SSRC, and its numbers with it.
    pub fn restart(&mut self, encoding: u8) {
        if let Some(from) = self.from.get_mut(usize::from(encoding)) {
            *from = 0;
        }
    }

    /// The far end waits for a keyframe of that encoding, or one has come.
    #[inline]
    pub fn set_waiting(&mut self, encoding: u8, waits: bool) {
        if let Some(known) = self.waits_for_keyframe.get_mut(usize::from(encoding)) {
            *known = waits;
        }
    }

    /// Whether it does.
    pub fn is_waiting(&self, encoding: u8) -> bool {
        self.edge.is_some() && self.waits_for_keyframe.get(usize::from(encoding)).copied().unwrap_or(false)
    }
}
