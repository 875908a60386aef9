//! The border between the engine and the rim: datagrams in, groups of datagrams out.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::ids::PeerId;

/// One received datagram; the engine decrypts it in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// Our address it was sent to; replies leave from there.
    pub destination: IpAddr,
    /// The UDP payload.
    pub bytes: &'a mut [u8],
}

/// Datagrams for one destination that may leave in one call (`UDP_SEGMENT`): all of `segment_size`, the last may be
/// shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where to.
    pub destination: SocketAddr,
    /// From which of our addresses; `None` lets the kernel choose.
    pub source: Option<IpAddr>,
    /// Bytes of each datagram but the last.
    pub segment_size: usize,
    /// Where in [`TransmitBatch::bytes`].
    pub range: Range<usize>,
}

/// What one flush sends, destination after destination, in one buffer.
#[derive(Debug, Default)]
pub struct TransmitBatch {
    /// All datagrams, one after the other.
    pub bytes: Vec<u8>,
    /// How they are cut and where they go.
    pub groups: Vec<Group>,
}

/// Where a flush goes: sockets in the driver, emulated links in simulation.
pub trait Sink {
    /// Sends the groups in order and says how many left whole. The rest is dropped by the engine, never sealed again.
    fn transmit(&mut self, batch: &TransmitBatch) -> usize;

    /// Hands a clear RTP packet, or a compound of RTCP packets, to a peer that lives in this process.
    fn deliver(&mut self, bot: PeerId, packet: &[u8]);
}
