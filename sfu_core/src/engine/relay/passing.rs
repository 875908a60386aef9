//! What passes between the ends of a relay: packets and clocks to the far end, feedback to the near one.

use std::time::Instant;

use crate::forward::PacketFacts;
use crate::forward::keyframe::KeyframeRequester;
use crate::forward::resend::{MAX_KEEP, Stored};
use crate::forward::router::{Encoding, Track};
use crate::gate::{Allowed, EdgeRef};
use crate::ids::{PeerId, Rid, Ssrc};
use crate::rtcp::remb::Remb;
use crate::rtcp::sr::{ReportBlocks, SenderReport};
use crate::rtcp::{self, RtcpPacket};
use crate::rtp::ext::{ExtensionKind, ExtensionWriter};
use crate::rtp::header::Header;
use crate::slots::Slots;
use crate::stats::EngineStats;

use super::super::feedback::MAX_NACKED;
use super::super::member::{Link, Member};
use super::super::path::{self, Exit};
use super::super::pending::Pending;
use super::super::seal;
use super::super::transmit::{Frame, RelayEnd, Sink};
use super::super::{Engine, ceiling, control, subscribe};
use super::{EXTENSIONS, Relay};

/// Packets of one relay from one flush to the next: more than one turn takes in.
const MAX_WAITING: usize = 1_024;

/// A packet that leaves with the next flush. Its bytes stay in the encoding's ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    edge: EdgeRef,
    encoding: u8,
    sequence: u64,
}

/// A packet on its way to the far end.
struct Relayed<'a> {
    stored: Stored<'a>,
    ssrc: Ssrc,
    rid: Option<Rid>,
    payload_type: u8,
    sequence: u64,
}

/// Notes a packet that came for every relay of its track.
pub(crate) fn pass_on(
    track: &mut Track,
    encoding: u8,
    facts: &PacketFacts,
    peers: &mut Slots<PeerId, Member>,
    pending: &mut Pending,
    stats: &mut EngineStats,
) {
    for outlet in &mut track.outlets {
        let Some(edge) = outlet.right_to(encoding, facts.sequence) else { continue };
        if facts.keyframe {
            outlet.set_waiting(encoding, false);
        }
        let Some(member) = peers.find_mut(outlet.peer) else { continue };
        wait(member, Waiting { edge, encoding, sequence: facts.sequence }, pending, stats);
    }
}

fn wait(member: &mut Member, packet: Waiting, pending: &mut Pending, stats: &mut EngineStats) {
    let Some(relay) = member.relay_mut() else { return };
    if relay.waiting.len() >= MAX_WAITING {
        return stats.drops.send_queue_full += 1;
    }
    relay.waiting.push(packet);
    pending.note(member);
}

/// The publisher told its clock: the far end hears of it as it was told.
pub(crate) fn tell_clock(
    track: &Track,
    report: &SenderReport,
    peers: &mut Slots<PeerId, Member>,
    pending: &mut Pending,
) {
    for outlet in track.outlets.iter().filter(|outlet| outlet.edge.is_some() && !track.muted) {
        let Some(member) = peers.find_mut(outlet.peer) else { continue };
        let report = SenderReport { reports: ReportBlocks::new(), ..report.clone() };
        member.rtcp.push_report(|out| report.write(out));
        pending.note(member);
    }
}

/// Everything that waits at one end.
pub(crate) fn flush(exit: &mut Exit<'_>, member: &mut Member, sink: &mut dyn Sink, now: Instant) {
    let (id, Link::Relay(relay)) = (member.id, &mut member.link) else { return };
    let mut waiting = std::mem::take(&mut relay.waiting);
    for packet in waiting.drain(..) {
        leave(exit, (id, relay), packet, sink, now);
    }
    relay.waiting = waiting;
    while let Some(compound) = member.rtcp.pop() {
        let frame = match relay.end {
            RelayEnd::Near => Frame::Rtcp(compound),
            RelayEnd::Far => Frame::Feedback(compound),
        };
        sink.relay(relay.id, frame);
    }
}

/// One packet leaves for the far end, if it still may.
fn leave(
    exit: &mut Exit<'_>,
    (peer, relay): (PeerId, &mut Relay),
    waiting: Waiting,
    sink: &mut dyn Sink,
    now: Instant,
) {
    let Some(track) = exit.tracks.find(relay.track).filter(|track| !track.muted) else {
        return exit.stats.drops.revoked += 1;
    };
    let place = usize::from(waiting.encoding);
    let encoding = track.encodings.get(place);
    let found = encoding.and_then(|encoding| Some((encoding, encoding.ssrc?, encoding.ring.find(waiting.sequence)?)));
    let Some((encoding, ssrc, stored)) = found else {
        return exit.stats.drops.too_late += 1;
    };
    let Some(payload) = track.payload_types.get(usize::from(stored.origin.payload_index)) else { return };
    let (rid, sequence, payload_type) = (encoding.rid, waiting.sequence, payload.number);
    let Some(allowed) = exit.gate.admit(waiting.edge, Relayed { stored, ssrc, rid, payload_type, sequence }) else {
        return exit.stats.drops.revoked += 1;
    };
    let Some(len) = write(allowed, exit.scratch) else {
        return exit.stats.drops.rewrite_rejected += 1;
    };
    sink.relay(relay.id, Frame::Rtp(&exit.scratch[..len]));
    exit.witness.observe(stored.origin.track, peer);
    exit.stats.relay_packets_out += 1;
    if relay.clock_untold.get(place) == Some(&true)
        && let Some(report) = clock(encoding, ssrc, track.clocks.clock_rate_hz, now)
        && let Some(len) = report.write(exit.scratch)
    {
        // At once, for the publisher may take a second until it tells it again.
        relay.clock_untold[place] = false;
        sink.relay(relay.id, Frame::Rtcp(&exit.scratch[..len]));
    }
}

fn clock(encoding: &Encoding, sender: Ssrc, clock_rate_hz: u32, now: Instant) -> Option<SenderReport> {
    let (ntp, timestamp) = encoding.clock_at(clock_rate_hz, now)?;
    Some(SenderReport { sender, ntp, timestamp, packets: 0, octets: 0, reports: ReportBlocks::new() })
}

/// Writes the packet as it came, but for what only its way here was told by. Takes the gate's proof: nothing leaves without it.
fn write(packet: Allowed<Relayed<'_>>, out: &mut [u8]) -> Option<usize> {
    let Relayed { stored, ssrc, rid, payload_type, sequence } = packet.into_inner();
    let origin = stored.origin;
    let (head, rest) = out.split_first_chunk_mut::<{ Header::LEN }>()?;
    let mut writer = ExtensionWriter::new(rest, seal::has_long_value(stored.extensions, |_| true));
    if let Some(rid) = &rid {
        writer.push(number_of(ExtensionKind::Rid)?, rid.as_str().as_bytes());
    }
    if let Some(level) = origin.audio_level {
        writer.push_array(number_of(ExtensionKind::AudioLevel)?, [level]);
    }
    if let Some(orientation) = origin.video_orientation {
        writer.push_array(number_of(ExtensionKind::VideoOrientation)?, [orientation]);
    }
    let mut passed_on = stored.extensions;
    while let Some((&[kind, len], tail)) = passed_on.split_first_chunk::<2>() {
        let Some((value, tail)) = tail.split_at_checked(usize::from(len)) else { break };
        if let Some(number) = ExtensionKind::ALL.get(usize::from(kind)).and_then(|kind| number_of(*kind)) {
            writer.push(number, value);
        }
        passed_on = tail;
    }
    let extension_len = writer.finish();
    let header = Header {
        marker: origin.marker,
        payload_type,
        sequence_number: sequence as u16,
        timestamp: origin.timestamp,
        ssrc,
    };
    header.write(extension_len > 0, head);
    rest.get_mut(extension_len..)?.get_mut(..stored.payload.len())?.copy_from_slice(stored.payload);
    Some(Header::LEN + extension_len + stored.payload.len())
}

fn number_of(kind: ExtensionKind) -> Option<u8> {
    EXTENSIONS.iter().position(|known| *known == kind).map(|place| place as u8 + 1)
}

/// A packet came to the far end. The first since a right ended has the keyframe asked for that subscribers begin with.
pub(super) fn on_rtp(engine: &mut Engine, peer: PeerId, packet: &[u8], now: Instant) {
    path::on_rtp(engine, peer, packet, now);
    let Some(relay) = engine.peers.find_mut(peer).and_then(Member::relay_mut) else { return };
    if std::mem::take(&mut relay.begins_anew)
        && let Some(track) = engine.tracks.find_mut(relay.track)
    {
        // What was asked for while the near end had no right was not passed on.
        track.encodings.iter_mut().for_each(|encoding| encoding.keyframes = KeyframeRequester::default());
        subscribe::want_keyframes(track, now);
        control::schedule_feedback(engine, peer, now);
    }
}

/// What the far end says of the track, while it may have it.
pub(super) fn on_feedback(engine: &mut Engine, peer: PeerId, compound: &[u8], now: Instant) {
    let mut left = MAX_NACKED;
    let visited = rtcp::visit(compound, |packet| match packet {
        RtcpPacket::Nack(nack) => {
            for sequence in nack.lost().take(left) {
                left -= 1;
                resend(engine, peer, nack.media, sequence);
            }
        }
        RtcpPacket::Pli(pli) => want_keyframe(engine, peer, pli.media, now),
        RtcpPacket::Fir(fir) => {
            for request in &fir.requests {
                want_keyframe(engine, peer, request.ssrc, now);
            }
        }
        RtcpPacket::Remb(Remb { bitrate, .. }) => {
            if let Some(relay) = engine.peers.find(peer).and_then(Member::relay) {
                ceiling::limit_relayed(engine, relay.track, peer, *bitrate, now);
            }
        }
        // What arrived over there is the far engine's to count.
        _ => {}
    });
    engine.stats.drops.malformed += u64::from(visited.is_err());
}

/// The far end lacks a packet: it gets it once more, if it is there and came under its right.
fn resend(engine: &mut Engine, peer: PeerId, media: Ssrc, sequence_number: u16) -> Option<()> {
    engine.stats.nacked_packets_in += 1;
    let member = engine.peers.find_mut(peer)?;
    let track = engine.tracks.find_mut(member.relay()?.track)?;
    let place = track.encodings.iter().position(|encoding| encoding.ssrc == Some(media))?;
    let encoding = track.encodings.get_mut(place)?;
    let highest = encoding.unwrapper.highest()?;
    let sequence = highest.checked_sub(u64::from((highest as u16).wrapping_sub(sequence_number)))?;
    let outlet = track.outlets.iter().find(|outlet| outlet.peer == peer)?;
    let edge = outlet.right_to(place as u8, sequence)?;
    if encoding.ring.find(sequence).is_none() {
        encoding.ring.keep_for(MAX_KEEP); // too late for this one, or it has not come here either
        return None;
    }
    let packet = Waiting { edge, encoding: place as u8, sequence };
    wait(member, packet, &mut engine.pending, &mut engine.stats);
    Some(())
}

/// Subscribers at the far end wait for a keyframe.
fn want_keyframe(engine: &mut Engine, peer: PeerId, media: Ssrc, now: Instant) {
    engine.stats.keyframe_requests_in += 1;
    let Some(relay) = engine.peers.find(peer).and_then(Member::relay) else { return };
    let Some(track) = engine.tracks.find_mut(relay.track) else { return };
    let Some(place) = track.encodings.iter().position(|encoding| encoding.ssrc == Some(media)) else { return };
    let Some(outlet) = track.outlets.iter_mut().find(|outlet| outlet.peer == peer) else { return };
    if outlet.edge.is_none() {
        return; // only who may receive the track may cause its publisher work
    }
    outlet.set_waiting(place as u8, true);
    track.want_keyframe(place as u8, now);
    let publisher = track.publisher;
    control::schedule_feedback(engine, publisher, now);
}
