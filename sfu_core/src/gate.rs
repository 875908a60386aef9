//! Who may receive what. The one egress gate: it stands just before sealing, and only what it lets through can be sealed.
//!
//! An edge leads from one publisher's track (or its data channels) to one subscriber. It exists only because signalling
//! granted it; everything else is refused by default. A queue, a retransmission ring or a probe holds an [`EdgeRef`], never
//! a right: when the edge is revoked its epoch is over, and every packet that still carries the old reference is refused.

pub mod data_witness;
pub mod witness;

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{PeerId, TrackId};
use crate::prefetch::prefetch;

/// Most live edges: a room of 1 000 in which everybody hears everybody. Each takes some 90 bytes.
pub const MAX_EDGES: usize = 1 << 20;

/// What flows along an edge. A right to one is no right to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// One track: audio, video or screen.
    Track(TrackId),
    /// Everything the peer sends on data channels.
    Data(PeerId),
}

/// Names one life of an edge. Says nothing about whether that life is over; ask the [`Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeRef {
    slot: u32,
    epoch: u32,
}

/// Proof that the gate let `P` through. Nothing else can make one, and sealing takes nothing else.
#[derive(Debug)]
pub struct Allowed<P>(P);

impl<P> Allowed<P> {
    /// The packet, to be sealed now: the proof is used up.
    #[inline]
    pub fn into_inner(self) -> P {
        self.0
    }
}

#[derive(Debug)]
struct Edge {
    /// Rises when the edge is granted and when it is revoked: odd means live.
    epoch: u32,
}

impl Edge {
    fn is_live(&self) -> bool {
        self.epoch % 2 == 1
    }
}

/// The table of edges, [`MAX_EDGES`] at most.
#[derive(Debug, Default)]
pub struct Gate {
    edges: Vec<Edge>,
    free: Vec<u32>,
    /// Where the live edge from a flow to a subscriber is; only commands look here, packets carry an [`EdgeRef`].
    live: BTreeMap<(Flow, PeerId), u32>,
    /// The same by subscriber.
    inbound: BTreeSet<(PeerId, Flow)>,
}

impl Gate {
    /// Grants `flow` to `subscriber`. Granting twice is one edge; `None` when there are [`MAX_EDGES`].
    pub fn allow(&mut self, flow: Flow, subscriber: PeerId) -> Option<EdgeRef> {
        if let Some(edge) = self.find(flow, subscriber) {
            return Some(edge);
        }
        if self.live.len() >= MAX_EDGES {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.edges.push(Edge { epoch: 0 });
            (self.edges.len() - 1) as u32
        });
        let edge = &mut self.edges[slot as usize];
        edge.epoch = edge.epoch.wrapping_add(1);
        self.live.insert((flow, subscriber), slot);
        self.inbound.insert((subscriber, flow));
        Some(EdgeRef { slot, epoch: edge.epoch })
    }

    /// Ends the edge and with it every reference handed out. Returns whether there was one.
    pub fn revoke(&mut self, flow: Flow, subscriber: PeerId) -> bool {
        let Some(slot) = self.live.remove(&(flow, subscriber)) else {
            return false;
        };
        self.inbound.remove(&(subscriber, flow));
        let edge = &mut self.edges[slot as usize];
        edge.epoch = edge.epoch.wrapping_add(1);
        self.free.push(slot);
        true
    }

    /// Ends every edge that leads from `flow`.
    pub fn revoke_flow(&mut self, flow: Flow) {
        for subscriber in self.subscribers(flow) {
            self.revoke(flow, subscriber);
        }
    }

    /// Ends every edge that leads to `subscriber` and says how many there were.
    pub fn revoke_subscriber(&mut self, subscriber: PeerId) -> usize {
        let first = (subscriber, Flow::Track(TrackId::new(0, 0)));
        let last = (subscriber, Flow::Data(PeerId::new(u32::MAX, u32::MAX)));
        let inbound: Vec<Flow> = self.inbound.range(first..=last).map(|(_, flow)| *flow).collect();
        for flow in &inbound {
            self.revoke(*flow, subscriber);
        }
        inbound.len()
    }

    /// Lets `packet` through when the edge it came along is live at this moment.
    #[inline]
    pub fn admit<P>(&self, edge: EdgeRef, packet: P) -> Option<Allowed<P>> {
        let state = self.edges.get(edge.slot as usize)?;
        (state.epoch == edge.epoch && state.is_live()).then_some(Allowed(packet))
    }

    /// Fetches what [`admit`](Self::admit) looks at.
    #[inline]
    pub fn prefetch(&self, edge: EdgeRef) {
        if let Some(edge) = self.edges.get(edge.slot as usize) {
            prefetch(edge);
        }
    }

    /// The live edge from `flow` to `subscriber`.
    pub fn find(&self, flow: Flow, subscriber: PeerId) -> Option<EdgeRef> {
        let &slot = self.live.get(&(flow, subscriber))?;
        Some(EdgeRef { slot, epoch: self.edges[slot as usize].epoch })
    }

    /// Everyone to whom `flow` may go, in order of id.
    pub fn subscribers(&self, flow: Flow) -> Vec<PeerId> {
        let first = (flow, PeerId::new(0, 0));
        let last = (flow, PeerId::new(u32::MAX, u32::MAX));
        self.live.range(first..=last).map(|((_, subscriber), _)| *subscriber).collect()
    }

    /// Whose messages go to whom.
    pub fn data_edges(&self) -> impl Iterator<Item = (PeerId, PeerId)> {
        self.live.keys().filter_map(|(flow, subscriber)| match flow {
            Flow::Data(publisher) => Some((*publisher, *subscriber)),
            Flow::Track(_) => None,
        })
    }

    /// Live edges now.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether nobody may receive anything.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAMERA: Flow = Flow::Track(TrackId::new(1, 0));
    const BOB: PeerId = PeerId::new(2, 0);

    #[test]
    fn nothing_passes_before_it_is_allowed() {
        let gate = Gate::default();
        assert!(gate.find(CAMERA, BOB).is_none());
        assert!(gate.admit(EdgeRef { slot: 0, epoch: 1 }, ()).is_none());
    }

    #[test]
    fn a_reference_from_before_the_revocation_never_passes_again() {
        let mut gate = Gate::default();
        let first = gate.allow(CAMERA, BOB).expect("room");
        assert!(gate.admit(first, ()).is_some());
        assert!(gate.revoke(CAMERA, BOB));
        assert!(gate.admit(first, ()).is_none());
        let second = gate.allow(CAMERA, BOB).expect("room");
        assert!(gate.admit(first, ()).is_none(), "the slot is used again, the epoch is not");
        assert!(gate.admit(second, ()).is_some());
    }

    #[test]
    fn a_subscriber_that_leaves_loses_every_inbound_edge() {
        let mut gate = Gate::default();
        let camera = gate.allow(CAMERA, BOB).expect("room");
        let data = gate.allow(Flow::Data(PeerId::new(3, 0)), BOB).expect("room");
        gate.revoke_subscriber(BOB);
        assert!(gate.admit(camera, ()).is_none() && gate.admit(data, ()).is_none());
        assert!(gate.is_empty());
    }

    proptest! {
        #[test]
        fn a_reference_passes_exactly_while_its_own_grant_lasts(steps in proptest::collection::vec((0u32..4, 0u32..4, any::<bool>()), 0..200)) {
            let mut gate = Gate::default();
            let mut refs: Vec<(Flow, PeerId, EdgeRef, bool)> = Vec::new();
            for (track, peer, allow) in steps {
                let (flow, peer) = (Flow::Track(TrackId::new(track, 0)), PeerId::new(peer, 0));
                if allow {
                    let edge = gate.allow(flow, peer).expect("room");
                    if !refs.iter().any(|(.., known, live)| *known == edge && *live) {
                        refs.push((flow, peer, edge, true));
                    }
                } else {
                    gate.revoke(flow, peer);
                    for entry in refs.iter_mut().filter(|entry| entry.0 == flow && entry.1 == peer) {
                        entry.3 = false;
                    }
                }
                for (.., edge, live) in &refs {
                    prop_assert_eq!(gate.admit(*edge, ()).is_some(), *live);
                }
            }
        }
    }
}
