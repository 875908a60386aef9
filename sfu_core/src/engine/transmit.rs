//! The border between the engine and the rim: datagrams in, groups of datagrams out.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::ids::{PeerId, RelayId};

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

    /// Hands what one end of a relay says to the transport that leads to the other. A sink without one leaves it out.
    fn relay(&mut self, _relay: RelayId, _frame: Frame<'_>) {}
}

/// What passes between the ends of a relay, in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// From the near end to the far one: an RTP packet.
    Rtp(&'a [u8]),
    /// From the near end to the far one: RTCP of the publisher, which tells its clock.
    Rtcp(&'a [u8]),
    /// From the far end to the near one: RTCP about the track.
    Feedback(&'a [u8]),
}

impl Frame<'_> {
    /// Which end takes it.
    pub const fn taker(&self) -> RelayEnd {
        match self {
            Self::Rtp(_) | Self::Rtcp(_) => RelayEnd::Far,
            Self::Feedback(_) => RelayEnd::Near,
        }
    }
}

/// An end of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelayEnd {
    /// Where the publisher is.
    Near,
    /// Where the track is published anew.
    Far,
}

impl RelayEnd {
    /// The one at the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// What the transport must tell the other end, before any frame that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelayNotice {
    /// A right ended: the far end must forget all that came before ([`Engine::cut_relay`](super::Engine::cut_relay)).
    Cut(RelayId),
    /// This end is no more ([`Engine::close_relay`](super::Engine::close_relay)).
    Closed(RelayId, RelayEnd),
}
