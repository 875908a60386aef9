//! Which encoding and which temporal layers go to one subscriber (RFC 8853 simulcast, RFC 7741 §4.2 temporal layers).
//!
//! Encodings change only where a keyframe of the new one starts; until then the old one goes on: until it ends or is
//! [reset](Selector::reset) by a pause, where keyframes are hidden (end-to-end encrypted, without dependency descriptor).
//! Temporal layers go up one at a time, at a packet from which the layer can be decoded alone, and down between two frames. A track with one
//! encoding takes the same way.

pub use crate::bwe::allocator::{ALL_TEMPORAL, Target};

use super::PacketFacts;

/// What to do with a packet for one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Forward {
        /// It is the first of its encoding: the rewriter must join the two.
        switched: bool,
    },
    /// It belongs to an encoding that does not go to this subscriber.
    Skip,
    /// It belongs to the encoding that goes out, but must not: the rewriter closes the gap.
    Drop,
}

/// Chooses packets of one track for one subscriber.
#[derive(Debug, Clone)]
pub struct Selector {
    encodings: u8,
    target: Target,
    current: Option<u8>,
    /// The highest temporal layer that goes out.
    temporal: u8,
    /// Timestamp of the last frame above the base layer that goes out: it is not cut in half.
    kept_frame: Option<u32>,
    /// Timestamp of the last frame that was withheld: it is not begun in its middle.
    withheld_frame: Option<u32>,
}

impl Selector {
    /// A selector for a track with `encodings` encodings. Wants nothing until it has a target.
    pub fn new(encodings: u8) -> Self {
        Self {
            encodings: encodings.max(1),
            target: Target::PAUSED,
            current: None,
            temporal: 0,
            kept_frame: None,
            withheld_frame: None,
        }
    }

    /// Says what is to go out from now on, or as soon as a keyframe allows. An encoding that the track does not have
    /// means its highest.
    pub fn set_target(&mut self, target: Target) {
        let highest = self.encodings - 1;
        self.target = Target { encoding: target.encoding.map(|encoding| encoding.min(highest)), ..target };
        if target.encoding.is_none() {
            self.reset();
        }
        self.temporal = self.temporal.min(target.temporal);
    }

    /// Forgets what went out: packets were withheld elsewhere, so that only a keyframe helps.
    pub fn reset(&mut self) {
        self.current = None;
        self.kept_frame = None;
        self.withheld_frame = None;
    }

    /// Decides about a packet of `encoding`.
    #[inline]
    pub fn wants(&mut self, packet: &PacketFacts, encoding: u8) -> Verdict {
        if self.current == Some(encoding) {
            return self.wants_of_current(packet);
        }
        if self.target.encoding != Some(encoding) || !packet.is_entry_point() || packet.padding_only {
            return Verdict::Skip;
        }
        if self.current.is_some() && packet.may_be_keyframe && !packet.keyframe {
            return Verdict::Skip; // to begin there is one thing, to go on there from another encoding a broken picture
        }
        self.current = Some(encoding);
        self.temporal = self.target.temporal;
        self.kept_frame = None;
        self.withheld_frame = None;
        Verdict::Forward { switched: true }
    }

    /// The encoding whose keyframe is needed before the target is reached.
    pub fn needs_keyframe(&self) -> Option<u8> {
        self.target.encoding.filter(|&wanted| self.current != Some(wanted))
    }

    /// The encoding that goes out.
    pub fn current(&self) -> Option<u8> {
        self.current
    }

    /// What is to go out.
    pub fn target(&self) -> Target {
        self.target
    }

    #[inline]
    fn wants_of_current(&mut self, packet: &PacketFacts) -> Verdict {
        if packet.padding_only {
            return Verdict::Drop;
        }
        match packet.tid {
            None | Some(0) if !packet.keyframe => Verdict::Forward { switched: false },
            tid => self.wants_layer(packet, tid.unwrap_or(0)),
        }
    }

    fn wants_layer(&mut self, packet: &PacketFacts, tid: u8) -> Verdict {
        if packet.keyframe {
            self.temporal = self.target.temporal;
        }
        let withheld = self.withheld_frame == Some(packet.timestamp);
        let next_layer = tid == self.temporal.saturating_add(1) && tid <= self.target.temporal;
        if next_layer && packet.layer_sync && !withheld {
            self.temporal = tid;
        }
        let kept = self.kept_frame == Some(packet.timestamp);
        if kept || (tid <= self.temporal && !withheld) {
            if tid > 0 {
                self.kept_frame = Some(packet.timestamp);
            }
            return Verdict::Forward { switched: false };
        }
        self.withheld_frame = Some(packet.timestamp);
        Verdict::Drop
    }
}

#[cfg(test)]
mod tests;
