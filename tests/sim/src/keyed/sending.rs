//! Media on its way out: packets numbered, kept for a while, and sent again when asked for (RFC 4585 §6.2.1, RFC 4588).

use std::collections::VecDeque;

use sfu_core::ids::{Mid, Rid, Ssrc};
use sfu_core::rtcp::sr::{ReportBlocks, SenderReport};
use sfu_core::rtp::ext::{AudioLevel, ExtensionKind, ExtensionMap, ExtensionWriter};
use sfu_core::rtp::header::Header;
use sfu_core::units::NtpTime;

use crate::browser::Source;
use crate::media::MediaPacket;

/// Packets kept for retransmission: two seconds of 250 packets a second.
const MAX_KEPT: usize = 500;
/// Room for a header, its extensions, a retransmission's two bytes and a payload.
pub(super) const MAX_PLAIN: usize = 1_400;

/// One encoding that a participant sends.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) ssrc: Ssrc,
    pub(super) source: Source,
    pub(super) mid: Mid,
    rid: Option<Rid>,
    rtx_ssrc: Ssrc,
    payload_types: (u8, u8),
    next_sequence: u64,
    next_rtx_sequence: u64,
    kept: VecDeque<(u64, MediaPacket)>,
    last_timestamp: u32,
    packets: u32,
    octets: u32,
}

/// What stands in front of a payload besides the fixed header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamped<'a> {
    pub(super) extensions: &'a ExtensionMap,
    pub(super) transport_cc: u16,
    pub(super) abs_send_time: u32,
}

/// A packet that is ready to be sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    pub(super) header_len: usize,
    pub(super) payload_len: usize,
    pub(super) index: u64,
}

impl Sender {
    pub(super) fn new(
        (ssrc, rtx_ssrc): (Ssrc, Ssrc),
        (mid, rid): (Mid, Option<Rid>),
        payload_types: (u8, u8),
        source: Source,
        first_sequence: u16,
    ) -> Self {
        Self {
            ssrc,
            source,
            mid,
            rid,
            rtx_ssrc,
            payload_types,
            next_sequence: u64::from(first_sequence),
            next_rtx_sequence: u64::from(first_sequence),
            kept: VecDeque::new(),
            last_timestamp: 0,
            packets: 0,
            octets: 0,
        }
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets as u64
    }

    /// Writes a new packet and keeps it.
    pub(super) fn write(&mut self, packet: MediaPacket, stamped: Stamped<'_>, out: &mut [u8]) -> Plain {
        let index = self.next_sequence;
        self.next_sequence += 1;
        self.packets += 1;
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        self.last_timestamp = packet.timestamp;
        let header = Header {
            marker: packet.marker,
            payload_type: self.payload_types.0,
            sequence_number: index as u16,
            timestamp: packet.timestamp,
            ssrc: self.ssrc,
        };
        let plain = self.write_packet(header, &packet, None, stamped, index, out);
        if self.payload_types.1 != 0 {
            self.kept.push_back((index, packet));
            if self.kept.len() > MAX_KEPT {
                self.kept.pop_front();
            }
        }
        plain
    }

    /// Writes a kept packet again; `None` when it is kept no longer.
    pub(super) fn write_again(&mut self, lost: u16, stamped: Stamped<'_>, out: &mut [u8]) -> Option<Plain> {
        let (_, packet) = self.kept.iter().find(|(index, _)| *index as u16 == lost)?.clone();
        let index = self.next_rtx_sequence;
        self.next_rtx_sequence += 1;
        let header = Header {
            marker: packet.marker,
            payload_type: self.payload_types.1,
            sequence_number: index as u16,
            timestamp: packet.timestamp,
            ssrc: self.rtx_ssrc,
        };
        Some(self.write_packet(header, &packet, Some(lost), stamped, index, out))
    }

    /// What it sent so far, and its clock.
    pub(super) fn report(&self, ntp: NtpTime) -> SenderReport {
        let (packets, octets, timestamp) = (self.packets, self.octets, self.last_timestamp);
        SenderReport { sender: self.ssrc, ntp, timestamp, packets, octets, reports: ReportBlocks::new() }
    }

    fn write_packet(
        &self,
        header: Header,
        packet: &MediaPacket,
        original: Option<u16>,
        stamped: Stamped<'_>,
        index: u64,
        out: &mut [u8],
    ) -> Plain {
        let (fixed, rest) = out.split_first_chunk_mut::<{ Header::LEN }>().expect("the buffer holds a packet");
        header.write(true, fixed);
        let header_len = Header::LEN + self.write_extensions(packet, original.is_some(), stamped, rest);
        let mut end = header_len;
        if let Some(original) = original {
            out[end..end + 2].copy_from_slice(&original.to_be_bytes());
            end += 2;
        }
        out[end..end + packet.payload.len()].copy_from_slice(&packet.payload);
        end += packet.payload.len();
        Plain { header_len, payload_len: end - header_len, index }
    }

    fn write_extensions(&self, packet: &MediaPacket, again: bool, stamped: Stamped<'_>, out: &mut [u8]) -> usize {
        let mut writer = ExtensionWriter::new(out, false);
        let mut push = |kind, value: &[u8]| {
            let id = stamped.extensions.id(kind).expect("every extension was agreed on");
            writer.push(id, value).expect("the buffer holds all extensions");
        };
        push(ExtensionKind::Mid, self.mid.as_str().as_bytes());
        if let Some(rid) = &self.rid {
            let kind = if again { ExtensionKind::RepairedRid } else { ExtensionKind::Rid };
            push(kind, rid.as_str().as_bytes());
        }
        if let Some(loudness) = packet.loudness {
            let level = AudioLevel { voice: loudness.voice, level: loudness.level };
            push(ExtensionKind::AudioLevel, &[level.to_byte()]);
        }
        push(ExtensionKind::AbsSendTime, &stamped.abs_send_time.to_be_bytes()[1..]);
        push(ExtensionKind::TransportCc, &stamped.transport_cc.to_be_bytes());
        writer.finish()
    }
}
