//! The second table for messages on data channels: the same matrix as for tracks, of publishers × subscribers.

use super::witness::Witness;
use crate::ids::{PeerId, TrackId};

/// The independent record of who may receive whose messages.
#[derive(Debug, Default)]
pub struct DataWitness(Witness);

impl DataWitness {
    /// Signalling granted the messages of `publisher` to `subscriber`.
    pub fn granted(&mut self, publisher: PeerId, subscriber: PeerId) {
        self.0.granted(row(publisher), subscriber);
    }

    /// Signalling took them from `subscriber`.
    pub fn withdrawn(&mut self, publisher: PeerId, subscriber: PeerId) {
        self.0.withdrawn(row(publisher), subscriber);
    }

    /// The publisher is no more: it says nothing.
    pub fn ended(&mut self, publisher: PeerId) {
        self.0.ended(row(publisher));
    }

    /// A message of `publisher` goes out to `subscriber`.
    pub fn observe(&mut self, publisher: PeerId, subscriber: PeerId) {
        self.0.observe(row(publisher), subscriber);
    }

    /// How many messages passed that should not have. Must be 0.
    pub fn violations(&self) -> u64 {
        self.0.violations()
    }
}

/// A publisher has one row, as a track has in the other table.
const fn row(publisher: PeerId) -> TrackId {
    TrackId::new(publisher.slot(), publisher.generation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_unless_its_publisher_and_its_subscriber_are_there_and_it_is_granted() {
        let (alice, bob, successor) = (PeerId::new(1, 0), PeerId::new(2, 0), PeerId::new(1, 1));
        let mut witness = DataWitness::default();
        witness.granted(alice, bob);
        witness.observe(alice, bob);
        assert_eq!(witness.violations(), 0);
        witness.observe(bob, alice);
        witness.observe(successor, bob);
        assert_eq!(witness.violations(), 2);
        witness.ended(alice);
        witness.observe(alice, bob);
        assert_eq!(witness.violations(), 3);
    }
}
