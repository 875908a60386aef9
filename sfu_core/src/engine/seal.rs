//! The last step of a packet: header, extensions and payload are written for one subscriber, stamped with the transport-wide
//! number, and sealed. What is sealed is sent or dropped, never changed and never sealed again: the transport-wide number is
//! authenticated data, and a second seal under the same index would give away the key (RFC 3711 §9.1, RFC 7714 §13).

use crate::forward::DescriptorPatch;
use crate::forward::redundancy::Blocks;
use crate::forward::resend::Stored;
use crate::gate::Allowed;
use crate::ids::{Mid, Ssrc};
use crate::peer::srtp::SrtpOutbound;
use crate::rtp::ext::{ExtensionKind, ExtensionMap, ExtensionWriter};
use crate::rtp::header::Header;
use crate::rtp::red::{self, Red};

use super::batch::MAX_DATAGRAM;

/// Room the SRTP tag takes.
const TAG_ROOM: usize = crate::peer::srtp::MAX_SRTP_OVERHEAD;

/// The bit of the first byte that says that there is padding (RFC 3550 §5.1).
const HAS_PADDING: u8 = 0x20;

/// The numbers a subscriber negotiated for what we write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamp {
    ids: ExtensionMap,
    two_byte: bool,
    /// Whether packets are numbered over the whole transport, where that was agreed on.
    numbers: bool,
}

impl Stamp {
    pub(crate) fn new(extensions: &ExtensionMap) -> Self {
        let two_byte = ExtensionKind::ALL.into_iter().any(|kind| extensions.id(kind).is_some_and(|id| id > 14));
        Self { ids: extensions.clone(), two_byte, numbers: false }
    }

    /// With numbers or without, from the next packet that leaves on.
    pub(crate) const fn set_numbers(&mut self, numbers: bool) {
        self.numbers = numbers;
    }

    /// The identifier of the transport-wide number, where packets have one.
    pub(crate) fn transport_cc(&self) -> Option<u8> {
        self.ids.id(ExtensionKind::TransportCc).filter(|_| self.numbers)
    }
}

/// A packet for one subscriber, ready but for the numbers that are only known when it leaves.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) stored: Stored<'a>,
    pub(crate) payload_type: u8,
    pub(crate) ssrc: Ssrc,
    /// 48-bit index: roll-over count and sequence number.
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) patch: DescriptorPatch,
    /// The original sequence number, when this is a retransmission (RFC 4588 §4).
    pub(crate) retransmits: Option<u16>,
    /// The media section's name, while the subscriber cannot know it yet.
    pub(crate) mid: Option<Mid>,
    /// What of redundant sound leaves.
    pub(crate) blocks: Blocks,
    /// Bytes of padding behind it (RFC 3550 §5.1), the last of which tells how many they are.
    pub(crate) padding: u8,
}

/// The moment of leaving.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    /// Low 16 bits are the transport-wide sequence number.
    pub(crate) transport_cc: u64,
    /// 24-bit absolute send time.
    pub(crate) abs_send_time: u32,
}

/// Writes the clear packet. Returns the lengths of its header and of the whole; `None` when it does not fit or makes no sense.
pub(crate) fn write(packet: &Outgoing<'_>, stamp: &Stamp, leaving: Leaving, out: &mut [u8]) -> Option<(usize, usize)> {
    let limit = out.len().min(MAX_DATAGRAM).checked_sub(TAG_ROOM)?;
    let (head, rest) = out[..limit].split_first_chunk_mut::<{ Header::LEN }>()?;
    let extension_len = write_extensions(packet, stamp, leaving, rest);
    let header = Header {
        marker: packet.stored.origin.marker,
        payload_type: packet.payload_type,
        sequence_number: packet.index as u16,
        timestamp: packet.timestamp,
        ssrc: packet.ssrc,
    };
    header.write(extension_len > 0, head);
    let mut body = &mut rest[extension_len..];
    let mut len = 0;
    if let Some(original) = packet.retransmits {
        body.get_mut(..2)?.copy_from_slice(&original.to_be_bytes());
        body = &mut body[2..];
        len = 2;
    }
    let payload = match packet.blocks {
        Blocks::All => packet.stored.payload,
        Blocks::Bare => red::primary(packet.stored.payload)?,
        Blocks::Newest => {
            let Red { payload_type, primary, .. } = Red::parse(packet.stored.payload).ok()?;
            *body.first_mut()? = payload_type;
            body = &mut body[1..];
            len += 1;
            primary
        }
    };
    body.get_mut(..payload.len())?.copy_from_slice(payload);
    if let Some(vp8) = packet.stored.origin.vp8 {
        packet.patch.apply(vp8, body);
    }
    len += payload.len();
    if packet.padding > 0 {
        let padding = body.get_mut(payload.len()..payload.len() + usize::from(packet.padding))?;
        padding.fill(0);
        *padding.last_mut()? = packet.padding;
        len += padding.len();
        head[0] |= HAS_PADDING;
    }
    let header_len = Header::LEN + extension_len;
    Some((header_len, header_len + len))
}

/// Seals the packet that [`write`] wrote. Takes the gate's proof: nothing reaches the wire without it.
#[inline]
pub(crate) fn seal(
    packet: Allowed<&Outgoing<'_>>,
    (header_len, len): (usize, usize),
    srtp: &mut SrtpOutbound,
    out: &mut [u8],
) -> usize {
    srtp.seal_rtp(out, header_len, len - header_len, packet.into_inner().index)
}

fn write_extensions(packet: &Outgoing<'_>, stamp: &Stamp, leaving: Leaving, out: &mut [u8]) -> usize {
    let ids = &stamp.ids;
    let two_byte = stamp.two_byte || has_long_value(packet.stored.extensions, |kind| ids.id(kind).is_some());
    let mut writer = ExtensionWriter::new(out, two_byte);
    if let Some(id) = stamp.transport_cc() {
        writer.push_array(id, (leaving.transport_cc as u16).to_be_bytes());
    }
    if let Some(id) = ids.id(ExtensionKind::AbsSendTime) {
        let [_, time @ ..] = leaving.abs_send_time.to_be_bytes();
        writer.push_array(id, time);
    }
    if let (Some(mid), Some(id)) = (&packet.mid, ids.id(ExtensionKind::Mid)) {
        writer.push(id, mid.as_str().as_bytes());
    }
    let origin = packet.stored.origin;
    if let (Some(level), Some(id)) = (origin.audio_level, ids.id(ExtensionKind::AudioLevel)) {
        writer.push_array(id, [level]);
    }
    if let (Some(orientation), Some(id)) = (origin.video_orientation, ids.id(ExtensionKind::VideoOrientation)) {
        writer.push_array(id, [orientation]);
    }
    let mut rest = packet.stored.extensions;
    while let Some((&[kind, len], tail)) = rest.split_first_chunk::<2>() {
        let Some((value, tail)) = tail.split_at_checked(usize::from(len)) else { break };
        if let Some(id) = ExtensionKind::ALL.get(usize::from(kind)).and_then(|kind| ids.id(*kind)) {
            writer.push(id, value);
        }
        rest = tail;
    }
    writer.finish()
}

/// Whether a value that the subscriber is to get is longer than the one-byte form can say (RFC 8285 §4.2): the dependency
/// descriptor of a keyframe is. Who agreed on that one knows the longer form; nobody else is sent it.
#[inline]
pub(super) fn has_long_value(mut extensions: &[u8], gets: impl Fn(ExtensionKind) -> bool) -> bool {
    while let Some((&[kind, len], tail)) = extensions.split_first_chunk::<2>() {
        if len > 16 && ExtensionKind::ALL.get(usize::from(kind)).is_some_and(|kind| gets(*kind)) {
            return true;
        }
        extensions = tail.get(usize::from(len)..).unwrap_or_default();
    }
    false
}
