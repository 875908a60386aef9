//! The server's way out: cuts groups into datagrams and puts them on the links.

use std::time::Instant;

use sfu_core::engine::transmit::{Sink, TransmitBatch};
use sfu_core::ids::PeerId;

use super::network::Network;

/// A kernel that takes a limited number of groups per flush.
#[derive(Debug)]
pub(super) struct Departures<'a> {
    network: &'a mut Network,
    delivered: &'a mut Vec<(PeerId, Vec<u8>)>,
    takes: usize,
    now: Instant,
}

impl<'a> Departures<'a> {
    pub(super) const fn new(
        network: &'a mut Network,
        delivered: &'a mut Vec<(PeerId, Vec<u8>)>,
        takes: usize,
        now: Instant,
    ) -> Self {
        Self { network, delivered, takes, now }
    }
}

impl Sink for Departures<'_> {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        let taken = batch.groups.len().min(self.takes);
        self.takes -= taken;
        for group in &batch.groups[..taken] {
            assert!(group.segment_size > 0 && !group.range.is_empty(), "an empty group: {group:?}");
            for datagram in batch.bytes[group.range.clone()].chunks(group.segment_size) {
                self.network.send_down(group.destination, datagram, self.now);
            }
        }
        taken
    }

    fn deliver(&mut self, bot: PeerId, packet: &[u8]) {
        self.delivered.push((bot, packet.to_vec()));
    }
}
