//! The judge: what arrived, where, and whether it should have.

mod permission;
mod reception;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use permission::Permissions;
pub(crate) use reception::follows;
pub use reception::{Arrival, Departure, PictureNumbers, Reception};

/// Everything one participant received, by SSRC.
#[derive(Debug, Default)]
pub struct Oracle {
    receptions: BTreeMap<u32, Reception>,
}

impl Oracle {
    /// Writes down one packet.
    pub fn record(&mut self, ssrc: u32, arrival: Arrival) {
        self.receptions.entry(ssrc).or_default().record(arrival);
    }

    /// What came with this SSRC.
    pub fn reception(&self, ssrc: u32) -> Option<&Reception> {
        self.receptions.get(&ssrc)
    }

    /// Everything, in order of SSRC.
    pub fn receptions(&self) -> impl Iterator<Item = (u32, &Reception)> {
        self.receptions.iter().map(|(&ssrc, reception)| (ssrc, reception))
    }

    /// The one reception that carries this track; `None` when there are several or none.
    pub fn reception_of(&self, source: u32) -> Option<&Reception> {
        let mut carrying = self.receptions.values().filter(|reception| reception.carries(source));
        carrying.next().filter(|_| carrying.next().is_none())
    }

    /// Packets of all tracks.
    pub fn packets(&self) -> usize {
        self.receptions.values().map(|reception| reception.arrivals().len()).sum()
    }

    /// Packets whose payload is not what any of our publishers made.
    pub fn damaged(&self) -> usize {
        self.receptions.values().map(Reception::damaged).sum()
    }

    /// Packets that left the server for `listener` although nobody allowed them.
    pub fn unauthorised(&self, listener: usize, permissions: &Permissions) -> usize {
        let arrivals = self.receptions.values().flat_map(Reception::arrivals);
        let unauthorised = arrivals.filter(|arrival| {
            let source = arrival.stamp.map(|stamp| stamp.source);
            !source.is_some_and(|source| permissions.allowed(source, listener, arrival.departure.serial))
        });
        unauthorised.count()
    }

    /// Forgets everything, to judge what comes next.
    pub fn clear(&mut self) {
        self.receptions.clear();
    }
}
