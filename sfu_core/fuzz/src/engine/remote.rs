//! A participant as the engine sees it: an address and keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sfu_core::demux::{DatagramKind, classify};
use sfu_core::engine::transmit::{Sink, TransmitBatch};
use sfu_core::ids::{PeerId, Ssrc};
use sfu_core::peer::srtp::{
    MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD, SrtpError, SrtpHalf, SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile,
};
use sfu_core::rtcp;
use sfu_core::rtp::header::{self, Header, Packet};
use sfu_core::rtp::seq::SequenceUnwrapper;

use super::setup::{RECEIVED, extensions};

/// Where the numbers of [`SequenceUnwrapper`] begin.
const FIRST_CYCLE: u64 = 1 << 16;

/// One participant.
pub(crate) struct Remote {
    pub(crate) id: PeerId,
    pub(crate) address: SocketAddr,
    profile: SrtpProfile,
    /// What it seals with.
    own: SrtpHalf,
    outbound: SrtpOutbound,
    /// The last number of each source.
    sealed: BTreeMap<Ssrc, u64>,
    inbound: SrtpInbound,
    numbers: BTreeMap<Ssrc, SequenceUnwrapper>,
    /// Of the last picture it received.
    pub(crate) last_number: u16,
}

/// A packet of media that reached a participant.
pub(crate) struct Received {
    pub(crate) ssrc: Ssrc,
    pub(crate) payload: Vec<u8>,
    pub(crate) header: Header,
    /// Its transport-wide number.
    pub(crate) transport_cc: Option<u16>,
}

impl Remote {
    pub(crate) fn new(id: PeerId, address: SocketAddr, keys: &SrtpKeys) -> Self {
        Self {
            id,
            address,
            profile: keys.profile,
            own: keys.client.clone(),
            outbound: SrtpOutbound::new(keys.profile, &keys.client.key, &keys.client.salt),
            sealed: BTreeMap::new(),
            inbound: SrtpInbound::new(keys.profile, &keys.server.key, &keys.server.salt),
            numbers: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// The packet sealed; as it is, when no sender could seal it.
    pub(crate) fn seal_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        let (Ok(header), Ok(header_len)) = (header::peek(packet), header::header_len(packet)) else { return bytes };
        let number = self.numbers.entry(header.ssrc).or_default().unwrap(header.sequence_number);
        let index = number.checked_sub(FIRST_CYCLE).unwrap_or(u64::from(header.sequence_number));
        bytes.resize(packet.len() + MAX_SRTP_OVERHEAD, 0);
        // Ours refuses to seal a number twice, or one long gone by, as only a hostile sender does: that one is made anew.
        let last = self.sealed.get(&header.ssrc).copied();
        let is_next = last.is_none_or(|last| last < index);
        self.sealed.insert(header.ssrc, last.max(Some(index)).unwrap_or(index));
        let anew = (!is_next).then(|| SrtpOutbound::new(self.profile, &self.own.key, &self.own.salt));
        let len =
            anew.as_ref().unwrap_or(&self.outbound).seal_rtp(&mut bytes, header_len, packet.len() - header_len, index);
        bytes.truncate(len);
        bytes
    }

    /// The packet sealed; as it is, when no sender could seal it.
    pub(crate) fn seal_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        if packet.len() < 8 || packet[0] >> 6 != 2 {
            return bytes;
        }
        bytes.resize(packet.len() + MAX_SRTCP_OVERHEAD, 0);
        let len = self.outbound.seal_rtcp(&mut bytes, packet.len());
        bytes.truncate(len);
        bytes
    }

    /// A well-formed packet, sealed.
    pub(crate) fn packet(&mut self, payload_type: u8, ssrc: Ssrc, number: u16, payload: &[u8]) -> Vec<u8> {
        let timestamp = u32::from(number) * 960;
        let mut bytes = vec![0; Header::LEN];
        let fixed = bytes.first_chunk_mut().expect("a header");
        Header { marker: true, payload_type, sequence_number: number, timestamp, ssrc }.write(false, fixed);
        bytes.extend_from_slice(payload);
        self.seal_rtp(&bytes)
    }

    /// Opens what came; all of it must be what we negotiated to send.
    pub(crate) fn receive(&mut self, datagram: &mut [u8]) -> Option<Received> {
        let received = self.open(datagram).expect("we seal what the remote can open, once");
        assert!(received.as_ref().is_none_or(|media| (0x300..0x700).contains(&media.ssrc.0)), "an SSRC of ours");
        received
    }

    /// The same of what may be for somebody else.
    pub(crate) fn open(&mut self, datagram: &mut [u8]) -> Result<Option<Received>, SrtpError> {
        match classify(datagram) {
            DatagramKind::Rtp => {
                let len = self.inbound.unprotect_rtp(datagram)?;
                let packet = Packet::parse(&datagram[..len]).expect("we send RTP");
                if packet.header.ssrc == RECEIVED[0] {
                    self.last_number = packet.header.sequence_number;
                }
                let transport_cc = packet.extensions.read(&extensions()).transport_cc;
                let (header, payload) = (packet.header, packet.payload.to_vec());
                Ok(Some(Received { ssrc: header.ssrc, payload, header, transport_cc }))
            }
            DatagramKind::Rtcp => {
                let len = self.inbound.unprotect_rtcp(datagram)?;
                assert!(rtcp::packets(&datagram[..len]).all(|packet| packet.is_ok()), "we send RTCP");
                Ok(None)
            }
            kind => panic!("a participant with keys is sent {kind:?}"),
        }
    }
}

/// Takes everything that leaves, cut into datagrams.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Sink for Wire {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        for group in &batch.groups {
            let bytes = &batch.bytes[group.range.clone()];
            self.sent.extend(bytes.chunks(group.segment_size).map(|datagram| (group.destination, datagram.to_vec())));
        }
        batch.groups.len()
    }

    fn deliver(&mut self, bot: PeerId, _: &[u8]) {
        panic!("{bot:?} does not live in this process");
    }
}
