//! RTCP: compound and reduced-size packets, taken apart one by one (RFC 3550 §6.1, RFC 5506).

pub mod bye;
pub mod fir;
pub mod header;
pub mod nack;
pub mod pli;
pub mod remb;
pub mod rr;
pub mod sdes;
pub mod sr;
pub mod twcc;

use crate::error::RtcpError;

/// One packet of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// What a sender sent, and its clock.
    SenderReport(sr::SenderReport),
    /// What a receiver got.
    ReceiverReport(rr::ReceiverReport),
    /// Names of sources.
    Sdes(sdes::Sdes<'a>),
    /// Sources that end.
    Bye(bye::Bye),
    /// Packets to send again.
    Nack(nack::Nack<'a>),
    /// A keyframe is needed.
    Pli(pli::Pli),
    /// A keyframe is needed; the older way.
    Fir(fir::Fir),
    /// When packets arrived.
    TransportFeedback(twcc::TransportFeedback<'a>),
    /// What the receiver estimates it can take.
    Remb(remb::Remb),
    /// Something that we do not read.
    Unknown {
        /// RFC 3550 §12.1.
        packet_type: u8,
        /// Count or feedback format.
        count: u8,
        /// Behind the header, without padding.
        body: &'a [u8],
    },
}

/// The packets of `datagram`, in order, up to the first that is malformed, which is told as an error.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { frames: Frames { rest: datagram } }
}

/// What lies between the headers, up to the first that is malformed.
#[derive(Debug, Clone)]
struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<header::Framed<'a>, RtcpError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = header::split(self.rest);
        self.rest = split.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(split.map(|(packet, _)| packet))
    }
}

/// Iterator over the packets of a datagram.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    frames: Frames<'a>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = self.frames.next()?.and_then(|packet| RtcpPacket::parse(&packet));
        if packet.is_err() {
            self.frames.rest = &[];
        }
        Some(packet)
    }
}

/// Shows the packets of `datagram` to `visit`, one after the other: as [`packets`] does, but nothing moves. A report has room
/// for 31 sources, and most packets are feedback of a few words.
///
/// # Errors
/// That of the first packet that is malformed; those before it have been visited.
#[inline]
pub fn visit(datagram: &[u8], mut visit: impl FnMut(&RtcpPacket<'_>)) -> Result<(), RtcpError> {
    for packet in (Frames { rest: datagram }) {
        let packet = packet?;
        match (packet.packet_type, packet.count) {
            (header::TRANSPORT_FEEDBACK, twcc::FORMAT) => {
                visit(&RtcpPacket::TransportFeedback(twcc::TransportFeedback::parse(packet.body)?));
            }
            _ => visit(&RtcpPacket::parse(&packet)?),
        }
    }
    Ok(())
}

impl<'a> RtcpPacket<'a> {
    /// Reads one framed packet.
    fn parse(packet: &header::Framed<'a>) -> Result<Self, RtcpError> {
        let header::Framed { packet_type, count, body } = *packet;
        Ok(match (packet_type, count) {
            (header::SENDER_REPORT, _) => Self::SenderReport(sr::SenderReport::parse(count, body)?),
            (header::RECEIVER_REPORT, _) => Self::ReceiverReport(rr::ReceiverReport::parse(count, body)?),
            (header::SDES, _) => Self::Sdes(sdes::Sdes::parse(count, body)),
            (header::BYE, _) => Self::Bye(bye::Bye::parse(count, body)?),
            (header::TRANSPORT_FEEDBACK, nack::FORMAT) => Self::Nack(nack::Nack::parse(body)?),
            (header::TRANSPORT_FEEDBACK, twcc::FORMAT) => {
                Self::TransportFeedback(twcc::TransportFeedback::parse(body)?)
            }
            (header::PAYLOAD_FEEDBACK, pli::FORMAT) => Self::Pli(pli::Pli::parse(body)?),
            (header::PAYLOAD_FEEDBACK, fir::FORMAT) => Self::Fir(fir::Fir::parse(body)?),
            (header::PAYLOAD_FEEDBACK, remb::FORMAT) if remb::is_remb(body) => Self::Remb(remb::Remb::parse(body)?),
            _ => Self::Unknown { packet_type, count, body },
        })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::SenderReport(packet) => packet.write(out),
            Self::ReceiverReport(packet) => packet.write(out),
            Self::Sdes(packet) => packet.write(out),
            Self::Bye(packet) => packet.write(out),
            Self::Nack(packet) => packet.write(out),
            Self::Pli(packet) => packet.write(out),
            Self::Fir(packet) => packet.write(out),
            Self::TransportFeedback(packet) => packet.write(out),
            Self::Remb(packet) => packet.write(out),
            Self::Unknown { packet_type, count, body } => {
                let mut writer = header::Writer::new(out, *packet_type, *count)?;
                writer.put(body)?;
                writer.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests;
