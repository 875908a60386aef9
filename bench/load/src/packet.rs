//! What publishers send: RTP with the header extensions of a browser, the head of an Opus or VP8 payload, and at the end a
//! stamp that says when the packet left and which it is. Servers change numbers and extensions; payloads they leave alone.

use sfu_core::ids::{Mid, Ssrc};
use sfu_core::rtp::ext::{AudioLevel, ExtensionKind, ExtensionMap, ExtensionWriter};
use sfu_core::rtp::header::Header;
use sfu_core::session::{MediaKind, NegotiatedSession, SendMedia};

use crate::timetable::PICTURE_PACKETS;

/// Bytes of a packet of sound before it is sealed, header included: Opus at 24 to 32 kbit/s.
pub(crate) const AUDIO_BYTES: usize = 92;
/// Bytes of payload of a packet of pictures.
pub(crate) const VIDEO_PAYLOAD: usize = 1_100;
/// Room for any packet, sealed.
pub(crate) const MAX_PACKET: usize = 1_400;
/// 20 ms in ticks of 48 kHz.
const AUDIO_TICKS: u32 = 960;
/// 1/30 s in ticks of 90 kHz.
const VIDEO_TICKS: u32 = 3_000;
/// One stereo frame of 20 ms (RFC 6716 §3.1).
const OPUS_HEAD: u8 = 0xfc;
/// How loud everybody is, in -dBov: somebody talking.
const LEVEL: AudioLevel = AudioLevel { voice: true, level: 30 };
/// The first ten bytes of a keyframe of 640 by 360 (RFC 6386 §9.1).
const KEYFRAME_HEAD: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
/// The first three bytes of any other picture.
const PICTURE_HEAD: [u8; 3] = [0x11, 0x02, 0x00];

/// Where a packet came from and when it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since 1970.
    pub(crate) sent_ns: u64,
    /// The publisher's number.
    pub(crate) source: u32,
    /// Counts the packets of the track.
    pub(crate) count: u32,
}

impl Stamp {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let high = u128::from(self.sent_ns) << 64;
        (high | u128::from(self.source) << 32 | u128::from(self.count)).to_be_bytes()
    }

    /// Reads it from the end of a payload.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let bits = u128::from_be_bytes(*payload.last_chunk()?);
        Some(Self { sent_ns: (bits >> 64) as u64, source: (bits >> 32) as u32, count: bits as u32 })
    }
}

/// One track on its way out.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: Ssrc,
    mid: Mid,
    payload_type: u8,
    /// Roll-over counter and sequence number of the next packet.
    index: u64,
    timestamp: u32,
    picture: u16,
    keyframe: bool,
    /// Whether the server wants a keyframe.
    pub(crate) keyframe_wanted: bool,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// A packet that was written but is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
    /// For sealing.
    pub(crate) index: u64,
}

impl Track {
    /// `None` where nothing was agreed on.
    pub(crate) fn new(media: &SendMedia) -> Option<Self> {
        Some(Self {
            kind: media.kind,
            ssrc: media.ssrc,
            mid: media.mid,
            payload_type: media.payload_types.first()?.number,
            index: 1,
            timestamp: 0,
            picture: 0,
            keyframe: false,
            keyframe_wanted: true,
            packets: 0,
            octets: 0,
        })
    }

    /// The timestamp of what was sent last.
    pub(crate) fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Writes the next packet, `part` of its picture.
    pub(crate) fn write(
        &mut self,
        part: u8,
        source: u32,
        transport: &mut TransportSequence,
        sent_ns: u64,
        out: &mut [u8; MAX_PACKET],
    ) -> Written {
        if part == 0 {
            self.begin();
        }
        let header = Header {
            marker: self.kind == MediaKind::Video && part + 1 == PICTURE_PACKETS,
            payload_type: self.payload_type,
            sequence_number: self.index as u16,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let (fixed, rest) = out.split_first_chunk_mut().expect("a packet is longer than its header");
        header.write(true, fixed);
        let header_len = Header::LEN + transport.write_extensions(self.kind, self.mid, sent_ns, rest);
        let payload_len = match self.kind {
            MediaKind::Audio => AUDIO_BYTES - header_len,
            MediaKind::Video => VIDEO_PAYLOAD,
        };
        let payload = &mut out[header_len..header_len + payload_len];
        self.write_head(part, payload);
        let stamp = Stamp { sent_ns, source, count: self.packets };
        payload[payload_len - Stamp::LEN..].copy_from_slice(&stamp.to_bytes());
        let index = self.index;
        self.index += 1;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        Written { header_len, payload_len, index }
    }

    fn begin(&mut self) {
        match self.kind {
            MediaKind::Audio => self.timestamp = self.timestamp.wrapping_add(AUDIO_TICKS),
            MediaKind::Video => {
                self.timestamp = self.timestamp.wrapping_add(VIDEO_TICKS);
                self.picture = self.picture.wrapping_add(1) & 0x7fff;
                self.keyframe = std::mem::take(&mut self.keyframe_wanted);
            }
        }
    }

    /// The descriptor (RFC 7741 §4.2) and the head of the frame, or the first byte of Opus.
    fn write_head(&self, part: u8, payload: &mut [u8]) {
        if self.kind == MediaKind::Audio {
            payload[0] = OPUS_HEAD;
            return;
        }
        let [high, low] = self.picture.to_be_bytes();
        payload[..4].copy_from_slice(&[0x80 | u8::from(part == 0) << 4, 0x80, 0x80 | high, low]);
        if part == 0 {
            let head: &[u8] = if self.keyframe { &KEYFRAME_HEAD } else { &PICTURE_HEAD };
            payload[4..4 + head.len()].copy_from_slice(head);
        }
    }
}

/// Numbers all packets of one connection, and knows how its extensions are numbered.
#[derive(Debug)]
pub(crate) struct TransportSequence {
    extensions: ExtensionMap,
    next: u16,
}

impl TransportSequence {
    pub(crate) fn new(session: &NegotiatedSession) -> Self {
        Self { extensions: session.extensions.clone(), next: 1 }
    }

    fn write_extensions(&mut self, kind: MediaKind, mid: Mid, sent_ns: u64, out: &mut [u8]) -> usize {
        let mut writer = ExtensionWriter::new(out, false);
        let id = |kind| self.extensions.id(kind);
        if let Some(id) = id(ExtensionKind::AudioLevel).filter(|_| kind == MediaKind::Audio) {
            writer.push_array(id, [LEVEL.to_byte()]);
        }
        if let Some(id) = id(ExtensionKind::AbsSendTime).filter(|_| kind == MediaKind::Video) {
            let [_, time @ ..] = abs_send_time(sent_ns).to_be_bytes();
            writer.push_array(id, time);
        }
        if let Some(id) = id(ExtensionKind::TransportCc) {
            writer.push_array(id, self.next.to_be_bytes());
            self.next = self.next.wrapping_add(1);
        }
        if let Some(id) = id(ExtensionKind::Mid) {
            let _fits_always = writer.push(id, mid.as_str().as_bytes());
        }
        writer.finish()
    }
}

/// 24 bits, of which 18 are a fraction of a second.
fn abs_send_time(ns: u64) -> u32 {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    ((seconds & 0x3f) << 18 | (rest << 18).div_euclid(1_000_000_000)) as u32
}

#[cfg(test)]
mod tests {
    use sfu_core::rtp::header::Packet;
    use sfu_core::rtp::vp8::Vp8Descriptor;
    use sfu_core::session::{Codec, PayloadType};

    use super::*;

    fn media(kind: MediaKind) -> SendMedia {
        let payload_type = PayloadType {
            number: 96,
            codec: if kind == MediaKind::Audio { Codec::Opus } else { Codec::Vp8 },
            clock_rate_hz: 90_000,
            rtx: None,
            format: String::new(),
        };
        let mid = Mid::new("0").expect("a mid");
        SendMedia { mid, kind, payload_types: vec![payload_type], ssrc: Ssrc(7), rtx_ssrc: None, nack: true }
    }

    fn transport() -> TransportSequence {
        let mut extensions = ExtensionMap::default();
        extensions.set(ExtensionKind::AudioLevel, 1);
        extensions.set(ExtensionKind::AbsSendTime, 2);
        extensions.set(ExtensionKind::TransportCc, 3);
        extensions.set(ExtensionKind::Mid, 4);
        TransportSequence { extensions, next: 1 }
    }

    fn written(track: &mut Track, part: u8, transport: &mut TransportSequence) -> Vec<u8> {
        let mut out = [0; MAX_PACKET];
        let Written { header_len, payload_len, .. } = track.write(part, 9, transport, 1_234, &mut out);
        out[..header_len + payload_len].to_vec()
    }

    #[test]
    fn a_packet_of_sound_has_92_bytes_and_a_stamp() {
        let mut track = Track::new(&media(MediaKind::Audio)).expect("a track");
        let bytes = written(&mut track, 0, &mut transport());
        let packet = Packet::parse(&bytes).expect("RTP");
        assert_eq!(bytes.len(), 92);
        assert_eq!(Stamp::of(packet.payload), Some(Stamp { sent_ns: 1_234, source: 9, count: 0 }));
    }

    #[test]
    fn a_picture_begins_with_a_keyframe_and_ends_with_the_marker() {
        let (mut track, mut transport) = (Track::new(&media(MediaKind::Video)).expect("a track"), transport());
        let packets: Vec<Vec<u8>> = (0..10).map(|at| written(&mut track, at % 5, &mut transport)).collect();
        let parsed: Vec<Packet<'_>> = packets.iter().map(|bytes| Packet::parse(bytes).expect("RTP")).collect();
        let keyframes = parsed.iter().map(|packet| Vp8Descriptor::parse(packet.payload).expect("VP8").keyframe);
        assert_eq!(keyframes.enumerate().filter(|(_, is)| *is).map(|(at, _)| at).collect::<Vec<_>>(), [0]);
        assert!(parsed.iter().enumerate().all(|(at, packet)| packet.header.marker == (at % 5 == 4)));
        assert!(parsed.iter().all(|packet| packet.payload.len() == VIDEO_PAYLOAD));
        assert_eq!(parsed[9].header.timestamp, 2 * VIDEO_TICKS);
    }

    #[test]
    fn every_packet_of_a_connection_has_a_transport_wide_number_of_its_own() {
        let (mut track, mut transport) = (Track::new(&media(MediaKind::Audio)).expect("a track"), transport());
        let numbers = (0..3).map(|_| {
            let bytes = written(&mut track, 0, &mut transport);
            Packet::parse(&bytes).expect("RTP").extensions.read(&transport.extensions).transport_cc
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    }
}
