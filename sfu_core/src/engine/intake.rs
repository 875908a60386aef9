//! What an authenticated packet means: its track and encoding, its number, the facts that forwarding needs. Learned once per
//! packet, however many subscribers it has.

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::forward::resend::Origin;
use crate::forward::router::Track;
use crate::forward::{PacketFacts, Vp8Facts};
use crate::ids::TrackId;
use crate::rtp::ext::{AudioLevel, ExtensionKind, Extensions};
use crate::rtp::header::Packet;
use crate::rtp::{av1, h264, red, vp8, vp9};
use crate::session::{Codec, MediaKind};
use crate::slots::Slots;
use crate::units::{DataSize, Nanos};

use super::inbound::{Resolved, Source};
use super::member::Member;
use super::report;
use super::timers::Timers;

/// Extensions that are passed on beside audio level and orientation, with kind and length: an abs-capture-time of 16 bytes,
/// a playout delay of 3 and the longest dependency descriptor that is useful.
const MAX_PASSED_ON: usize = 280;

/// A packet on its way in: what it is and where it belongs.
pub(super) struct Incoming {
    pub(super) facts: PacketFacts,
    /// Which of the track's payload types.
    pub(super) payload_index: u8,
    /// How much older than the packet the oldest sound in it is, in ticks; `None` when that cannot be read.
    pub(super) oldest_block: Option<u32>,
}

/// Tells the publisher's congestion feedback that a packet came.
pub(super) fn note_arrival(
    publisher: &mut Member,
    packet: &Packet<'_>,
    extensions: &Extensions<'_>,
    len: usize,
    at: Nanos,
    now: Instant,
) {
    if let Some(number) = extensions.transport_cc {
        let size = DataSize::bytes(len as u64);
        publisher.inbound.last_ssrc = packet.header.ssrc;
        publisher.inbound.arrivals.on_packet(number, size, at.as_micros(), now);
    }
}

/// Finds the track and encoding of a packet.
pub(super) fn find_track<'t>(
    publisher: &mut Member,
    tracks: &'t mut Slots<TrackId, Track>,
    packet: &Packet<'_>,
    extensions: &Extensions<'_>,
) -> Option<(&'t mut Track, Source)> {
    let header = &packet.header;
    let resolved = publisher.inbound.resolve(header.ssrc, header.payload_type, extensions)?;
    let (source, learned) = match resolved {
        Resolved::Known(source) => (source, false),
        Resolved::Learned(source) => (source, true),
    };
    let track = tracks.find_mut(source.track)?;
    if !source.rtx {
        let kind = track.kind;
        let encoding = track.encodings.get_mut(usize::from(source.encoding))?;
        match encoding.ssrc {
            Some(known) if known == header.ssrc => {}
            Some(_) if learned => {
                encoding.restart(kind, header.ssrc);
                // Its numbers begin anew, and with them what is counted since a right.
                track.subscriptions.iter_mut().for_each(|subscription| subscription.begin_anew(None));
                track.outlets.iter_mut().for_each(|outlet| outlet.restart(source.encoding));
            }
            _ => encoding.ssrc = Some(header.ssrc),
        }
    }
    Some((track, source))
}

/// Puts the packet into its encoding's ring and says what it is; `None` when it is a repeat or carries nothing to forward.
pub(super) fn store(
    track: &mut Track,
    source: Source,
    packet: &Packet<'_>,
    extensions: &Extensions<'_>,
    at: Nanos,
    now: Instant,
) -> Option<Incoming> {
    let (payload_index, codec, rtx) = track.payload_index(packet.header.payload_type)?;
    let (sequence_number, payload) = match (rtx, packet.payload) {
        (false, payload) => (packet.header.sequence_number, payload),
        (true, [high, low, payload @ ..]) => (u16::from_be_bytes([*high, *low]), payload),
        (true, _) => return None, // padding on the retransmission's SSRC: a probe
    };
    let nack_enabled = track.nack_enabled;
    let clock_rate = u64::from(track.payload_types.get(usize::from(payload_index))?.clock_rate_hz);
    let encoding = track.encodings.get_mut(usize::from(source.encoding))?;
    let sequence = encoding.unwrapper.unwrap(sequence_number);
    if nack_enabled {
        encoding.recovery.on_packet(sequence, now); // also what is kept no more need not be asked for again
    }
    if encoding.ring.contains(sequence) {
        return None;
    }
    let mut facts = facts_of(packet, codec, sequence, payload, now);
    let mut oldest_block = None;
    if track.encrypted {
        read_clear(&mut facts, extensions.dependency_descriptor, payload);
        if !rtx && !payload.is_empty() {
            encoding.keyframes_hidden = extensions.dependency_descriptor.is_none(); // padding has none, whoever sends it
        }
    } else {
        oldest_block = read_payload(&mut facts, payload);
    }
    let origin = Origin {
        track: track.id,
        timestamp: packet.header.timestamp,
        marker: packet.header.marker,
        payload_index,
        audio_level: extensions.audio_level.map(AudioLevel::to_byte),
        video_orientation: extensions.video_orientation,
        vp8: facts.vp8,
    };
    let arrival_ticks = at.as_micros() * clock_rate / 1_000_000;
    if rtx {
        encoding.reception.on_repaired(payload.len());
    } else {
        encoding.reception.on_packet(sequence, packet.header.timestamp, payload.len(), arrival_ticks, now);
    }
    if facts.keyframe {
        encoding.keyframes.satisfy();
    }
    let forwarded_extensions = forwarded_extensions(extensions);
    encoding.ring.insert(sequence, origin, &forwarded_extensions, payload, now).then_some(Incoming {
        facts,
        payload_index,
        oldest_block,
    })
}

fn facts_of(packet: &Packet<'_>, codec: Codec, sequence: u64, payload: &[u8], now: Instant) -> PacketFacts {
    PacketFacts {
        arrival: now,
        sequence,
        timestamp: packet.header.timestamp,
        payload_len: payload.len() as u16,
        codec,
        marker: packet.header.marker,
        keyframe: false,
        may_be_keyframe: false,
        layer_sync: false,
        padding_only: payload.is_empty(),
        tid: None,
        vp8: None,
    }
}

/// What the payload tells. Returns how much older than the packet the oldest of its blocks is, if it has any.
fn read_payload(facts: &mut PacketFacts, payload: &[u8]) -> Option<u32> {
    match facts.codec {
        Codec::Vp8 => {
            facts.keyframe = read_vp8(facts, payload).is_some_and(|descriptor| descriptor.keyframe);
        }
        Codec::H264 => facts.keyframe = h264::starts_keyframe(payload),
        Codec::Vp9 => facts.keyframe = vp9::starts_keyframe(payload),
        Codec::Av1 => facts.keyframe = av1::starts_keyframe(payload),
        Codec::Opus => {}
        Codec::Red => {
            let oldest = red::oldest(payload);
            facts.padding_only = oldest.is_none();
            return oldest;
        }
    }
    None
}

/// What an end-to-end encrypted packet leaves clear: its header extensions, and the VP8 payload descriptor, which the
/// packetizer writes after the frame was encrypted (RFC 7741 §4.2). Of the frame itself no bit is read.
fn read_clear(facts: &mut PacketFacts, descriptor: Option<&[u8]>, payload: &[u8]) {
    let vp8 = if facts.codec == Codec::Vp8 { read_vp8(facts, payload) } else { None };
    match descriptor {
        Some(descriptor) => facts.keyframe = av1::descriptor_starts_keyframe(descriptor),
        None if facts.codec.kind() == MediaKind::Video => {
            facts.may_be_keyframe = vp8.is_none_or(|vp8| vp8.start_of_partition && vp8.partition == 0);
        }
        None => {}
    }
}

fn read_vp8(facts: &mut PacketFacts, payload: &[u8]) -> Option<vp8::Vp8Descriptor> {
    let descriptor = vp8::Vp8Descriptor::parse(payload).ok()?;
    facts.layer_sync = descriptor.layer_sync;
    facts.tid = descriptor.tid;
    facts.vp8 = Some(Vp8Facts::of(&descriptor));
    Some(descriptor)
}

/// The rarer extensions, as kind, length and value one after the other.
fn forwarded_extensions(extensions: &Extensions<'_>) -> ArrayVec<u8, MAX_PASSED_ON> {
    let mut passed = ArrayVec::new();
    let values = [
        (ExtensionKind::AbsCaptureTime, extensions.abs_capture_time),
        (ExtensionKind::PlayoutDelay, extensions.playout_delay),
        (ExtensionKind::DependencyDescriptor, extensions.dependency_descriptor),
    ];
    for (kind, value) in values {
        let Some(value) = value else { continue };
        let fits = passed.remaining_capacity() >= value.len() + 2 && u8::try_from(value.len()).is_ok();
        if fits {
            passed.extend([kind as u8, value.len() as u8]);
            passed.extend(value.iter().copied());
        }
    }
    passed
}

/// Makes sure that the publisher hears from us in time: feedback soon after a packet, a request soon after a hole.
pub(super) fn arm_feedback(publisher: &mut Member, track: &Track, encoding: u8, timers: &mut Timers, now: Instant) {
    let inbound = &publisher.inbound;
    let encoding = track.encodings.get(usize::from(encoding)).filter(|_| track.nack_enabled);
    let missing = encoding.and_then(|encoding| encoding.recovery.poll_timeout());
    let reception = inbound.reception_at.is_none().then(|| now + report::REPORT_INTERVAL);
    let soonest = [inbound.report_at, inbound.arrivals.poll_timeout(), missing, reception].into_iter().flatten().min();
    if let Some(at) = soonest {
        publisher.inbound.report_at = Some(at);
        timers.arm(publisher.id, &mut publisher.armed, Some(at));
    }
}
