//! What comes in: one datagram after the other, or many at once, as one call of the kernel brings them.

use std::net::SocketAddr;

use super::Rig;
use crate::engine::transmit::Datagram;

impl Rig {
    /// A datagram from anywhere.
    pub(in crate::engine::tests) fn datagram(&mut self, source: SocketAddr, bytes: &[u8]) {
        if let Some(gathered) = &mut self.gathered {
            return gathered.push((source, bytes.to_vec()));
        }
        let (mut bytes, destination) = (bytes.to_vec(), [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut bytes }], self.now);
    }

    /// Everything that comes in while `come` runs is taken in at once after it.
    pub(in crate::engine::tests) fn together(&mut self, come: impl FnOnce(&mut Self)) {
        self.gathered = Some(Vec::new());
        come(self);
        let destination = [192, 0, 2, 1].into();
        let mut gathered = self.gathered.take().unwrap_or_default();
        let mut batch: Vec<_> =
            gathered.iter_mut().map(|(source, bytes)| Datagram { source: *source, destination, bytes }).collect();
        self.engine.ingest(&mut batch, self.now);
    }
}
