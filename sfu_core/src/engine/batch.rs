//! Filling one [`TransmitBatch`]: datagrams for one destination lie side by side, cut into groups that may leave in one
//! call (`UDP_SEGMENT`).

use std::net::{IpAddr, SocketAddr};

use super::transmit::{Group, TransmitBatch};
use crate::ids::PeerId;

/// The largest datagram we make: what Ethernet's 1 500 bytes leave after the headers of IPv4 and UDP. Whoever is behind a
/// narrower path is sent what was sent to us, and browsers send 1 200.
pub(crate) const MAX_DATAGRAM: usize = 1_472;
/// The same over IPv6. The kernel cuts nothing for us and refuses what is longer, with the whole group that it is in.
const MAX_DATAGRAM_V6: usize = MAX_DATAGRAM - 20;
/// Room in one batch: a keyframe to a dozen subscribers; a larger flush is several batches.
const BATCH_BYTES: usize = 256 << 10;
/// Groups in one batch: what one `sendmmsg` takes comfortably.
const MAX_GROUPS: usize = 256;
/// Datagrams in one group: `UDP_MAX_SEGMENTS` of the kernels in use.
const MAX_SEGMENTS: u16 = 64;
/// Bytes in one group: the largest UDP length less headers.
const MAX_GROUP_BYTES: usize = 65_000;

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) peer: PeerId,
    pub(crate) destination: SocketAddr,
    pub(crate) source: Option<IpAddr>,
}

impl Route {
    /// The largest datagram that fits the way.
    #[inline]
    pub(crate) const fn max_datagram(&self) -> usize {
        if self.destination.is_ipv4() { MAX_DATAGRAM } else { MAX_DATAGRAM_V6 }
    }
}

/// What has to be told when a group does not leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupRecord {
    pub(crate) peer: PeerId,
    /// The first transport-wide sequence number in the group; they are consecutive.
    pub(crate) first_transport_cc: Option<u64>,
    /// How many datagrams carry one.
    pub(crate) stamped: u16,
    /// Datagrams in the group.
    pub(crate) datagrams: u16,
}

#[derive(Debug)]
pub(crate) struct BatchWriter {
    batch: TransmitBatch,
    records: Vec<GroupRecord>,
    used: usize,
    /// The last datagram was shorter than its group's: nothing may follow it in that group.
    closed: bool,
}

impl BatchWriter {
    pub(crate) fn new() -> Self {
        let batch = TransmitBatch { bytes: vec![0; BATCH_BYTES], groups: Vec::with_capacity(MAX_GROUPS) };
        Self { batch, records: Vec::with_capacity(MAX_GROUPS), used: 0, closed: true }
    }

    /// Whether the batch must be sent before another datagram is written.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.used + MAX_DATAGRAM > BATCH_BYTES || self.batch.groups.len() >= MAX_GROUPS
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.groups.is_empty()
    }

    /// Where the next datagram is written, [`MAX_DATAGRAM`] bytes.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.batch.bytes[self.used..self.used + MAX_DATAGRAM]
    }

    /// The first `len` bytes of [`space`](Self::space) are a datagram.
    #[inline]
    pub(crate) fn commit(&mut self, len: usize, route: Route, transport_cc: Option<u64>) {
        let range = self.used..self.used + len;
        self.used = range.end;
        if self.extends_last(len, route)
            && let (Some(group), Some(record)) = (self.batch.groups.last_mut(), self.records.last_mut())
        {
            group.range.end = range.end;
            record.datagrams += 1;
            record.stamped += u16::from(transport_cc.is_some());
            record.first_transport_cc = record.first_transport_cc.or(transport_cc);
            self.closed = len < group.segment_size;
            return;
        }
        self.batch.groups.push(Group {
            destination: route.destination,
            source: route.source,
            segment_size: len,
            range,
        });
        self.records.push(GroupRecord {
            peer: route.peer,
            first_transport_cc: transport_cc,
            stamped: u16::from(transport_cc.is_some()),
            datagrams: 1,
        });
        self.closed = false;
    }

    #[inline]
    fn extends_last(&self, len: usize, route: Route) -> bool {
        let (Some(group), Some(record)) = (self.batch.groups.last(), self.records.last()) else {
            return false;
        };
        !self.closed
            && len <= group.segment_size
            && record.peer == route.peer
            && group.destination == route.destination
            && group.source == route.source
            && record.datagrams < MAX_SEGMENTS
            && group.range.len() + len <= MAX_GROUP_BYTES
    }

    pub(crate) fn batch(&self) -> &TransmitBatch {
        &self.batch
    }

    /// What has to be told of each group when it does not leave.
    pub(crate) fn records(&self) -> &[GroupRecord] {
        &self.records
    }

    /// Forgets everything written.
    pub(crate) fn clear(&mut self) {
        self.batch.groups.clear();
        self.records.clear();
        self.used = 0;
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(port: u16) -> Route {
        Route { peer: PeerId::new(u32::from(port), 0), destination: ([192, 0, 2, 1], port).into(), source: None }
    }

    #[test]
    fn equal_datagrams_to_one_destination_are_one_group_and_a_shorter_one_ends_it() {
        let mut writer = BatchWriter::new();
        for (len, number) in [(1_200, 5), (1_200, 6), (900, 7), (900, 8)] {
            writer.space()[..len].fill(number as u8);
            writer.commit(len, route(1), Some(number));
        }
        writer.commit(900, route(2), None);
        let sizes: Vec<_> = writer.batch().groups.iter().map(|g| (g.segment_size, g.range.len())).collect();
        assert_eq!(sizes, [(1_200, 3_300), (900, 900), (900, 900)]);
        let records: Vec<_> = writer.records().iter().map(|r| (r.first_transport_cc, r.stamped, r.datagrams)).collect();
        assert_eq!(records, [(Some(5), 3, 3), (Some(8), 1, 1), (None, 0, 1)]);
    }

    #[test]
    fn a_group_never_exceeds_what_the_kernel_takes() {
        let mut writer = BatchWriter::new();
        while !writer.is_full() {
            writer.commit(1_400, route(1), None);
        }
        assert!(writer.batch().groups.iter().all(|g| g.range.len() <= MAX_GROUP_BYTES));
        writer.clear();
        for _ in 0..100 {
            writer.commit(100, route(1), None);
        }
        assert_eq!(writer.records()[0].datagrams, MAX_SEGMENTS);
    }
}
