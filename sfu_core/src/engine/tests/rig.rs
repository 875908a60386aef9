//! One engine, keyed peers, and a view of every packet that leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::demux::{DatagramKind, classify};
use crate::engine::member::Link;
use crate::engine::transmit::TransmitBatch;
use crate::ids::{Mid, ParticipantId, Ssrc};
use crate::peer::Peer;
use crate::peer::dtls::{DtlsVersions, Identity};
use crate::peer::srtp::{SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile};
use crate::rtcp::nack;
use crate::rtcp::sr::{ReportBlocks, SenderReport};
use crate::rtcp::twcc::FeedbackBuilder;
use crate::rtp::ext::{ExtensionKind, ExtensionMap, ExtensionWriter};
use crate::rtp::header::{Header, Packet};
use crate::session::{DtlsRole, LocalTransport, NegotiatedSession};
use crate::units::{NtpTime, start};

mod agreed;
mod together;

pub(super) use agreed::session;

pub(super) const OPUS: u8 = 111;
pub(super) const VP8: u8 = 96;
pub(super) const VP8_RTX: u8 = 97;

pub(super) fn mid(name: &str) -> Mid {
    Mid::new(name).expect("a mid")
}

/// A packet as a subscriber sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) to: PeerId,
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    /// Extensions that are passed on, by kind.
    pub(super) passed_on: Vec<(ExtensionKind, Vec<u8>)>,
    /// Whether its header extensions have the two-byte form.
    pub(super) two_byte: bool,
}

struct Desk {
    address: SocketAddr,
    seals: SrtpOutbound,
    opens: SrtpInbound,
    transport_cc: u16,
    ssrc_base: u32,
    extensions: ExtensionMap,
    feedback: FeedbackBuilder,
    /// Transport-wide numbers not yet acknowledged, and when they arrived in microseconds.
    arrived: BTreeMap<u16, u64>,
}

pub(super) struct Rig {
    begun: Instant,
    pub(super) engine: Engine,
    /// How many groups the kernel takes of one batch.
    pub(super) kernel_takes: usize,
    pub(super) room: RoomId,
    pub(super) now: Instant,
    desks: BTreeMap<PeerId, Desk>,
    sent: Vec<(SocketAddr, Vec<u8>, Instant)>,
    /// Sequence numbers that reached a peer, with their SSRC.
    numbers: BTreeMap<PeerId, Vec<(u32, u16)>>,
    rtcp: BTreeMap<PeerId, Vec<Vec<u8>>>,
    /// What bots were handed.
    pub(super) to_bots: Vec<(PeerId, Vec<u8>)>,
    /// Datagrams that are taken in together, while they are gathered.
    gathered: Option<Vec<(SocketAddr, Vec<u8>)>>,
    /// What went to addresses that are nobody's on the desk.
    pub(super) strays: Vec<(SocketAddr, Vec<u8>)>,
}

struct Tap<'a> {
    sent: &'a mut Vec<(SocketAddr, Vec<u8>, Instant)>,
    to_bots: &'a mut Vec<(PeerId, Vec<u8>)>,
    takes: usize,
    now: Instant,
}

impl Sink for Tap<'_> {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        for group in batch.groups.iter().take(self.takes) {
            for datagram in batch.bytes[group.range.clone()].chunks(group.segment_size) {
                self.sent.push((group.destination, datagram.to_vec(), self.now));
            }
        }
        batch.groups.len().min(self.takes)
    }

    fn deliver(&mut self, bot: PeerId, packet: &[u8]) {
        self.to_bots.push((bot, packet.to_vec()));
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        let now = start();
        let transport = TransportConfig {
            identity: Identity::generate(DtlsVersions::Only12).expect("a certificate"),
            candidates: vec![([192, 0, 2, 1], 7443).into()],
            check_signalled: false,
            aead_only: false,
        };
        let epoch = Epoch { instant: now, ntp: NtpTime(1 << 40) };
        let config = EngineConfig { transport, epoch, seed: [7; 32], initial_bitrate: Bitrate::kbps(2_000) };
        let mut engine = Engine::new(config, now);
        let Ok(Reply::Room { room }) = engine.command(Command::CreateRoom, now) else { panic!("a room") };
        let empty = BTreeMap::new;
        Self {
            begun: now,
            engine,
            kernel_takes: usize::MAX,
            room,
            now,
            desks: BTreeMap::new(),
            sent: Vec::new(),
            numbers: empty(),
            rtcp: BTreeMap::new(),
            to_bots: Vec::new(),
            gathered: None,
            strays: Vec::new(),
        }
    }

    pub(super) fn new_room(&mut self) {
        let Ok(Reply::Room { room }) = self.command(Command::CreateRoom) else { panic!("a room") };
        self.room = room;
    }

    pub(super) fn join(&mut self, participant: u64) -> PeerId {
        self.join_with(participant, |_| {})
    }

    /// Someone with whom something else was agreed on.
    pub(super) fn join_with(&mut self, participant: u64, change: impl FnOnce(&mut NegotiatedSession)) -> PeerId {
        let address: SocketAddr = ([198, 51, 100, participant as u8], 40_000).into();
        let profile = SrtpProfile::AeadAes128Gcm;
        let material: Vec<u8> = (0..56).map(|n| n ^ participant as u8).collect();
        let keys = SrtpKeys::new(profile, &material).expect("56 bytes");
        let ssrc_base = 0x1000 * participant as u32;
        let mut session = session(ssrc_base);
        change(&mut session);
        let id = ParticipantId(participant);
        let peer =
            self.engine.create_keyed_peer(self.room, id, address, &keys, &session, self.now).expect("room for one");
        let desk = Desk {
            address,
            seals: SrtpOutbound::new(profile, &keys.client.key, &keys.client.salt),
            opens: SrtpInbound::new(profile, &keys.server.key, &keys.server.salt),
            transport_cc: 0,
            ssrc_base,
            extensions: session.extensions,
            feedback: FeedbackBuilder::new(Ssrc(1)),
            arrived: BTreeMap::new(),
        };
        self.desks.insert(peer, desk);
        peer
    }

    /// Lets somebody in who has negotiated and is not connected yet.
    pub(super) fn knock(&mut self, participant: u64) -> PeerId {
        let create = Command::CreatePeer { room: self.room, participant: ParticipantId(participant) };
        let Ok(Reply::Peer { peer, local }) = self.command(create) else { panic!("room for one") };
        let session = Box::new(session(local.ssrc_base));
        self.command(Command::Connect { peer, session }).expect("a session");
        peer
    }

    /// What waits for `peer` to be sent.
    pub(super) fn waiting(&self, peer: PeerId) -> usize {
        self.engine.peers.find(peer).expect("a peer").outbound.pacer.len()
    }

    /// The handshakes of `peer` are done.
    pub(super) fn connect(&mut self, peer: PeerId) {
        let address = ([198, 51, 100, 99], 40_000).into();
        let keys = SrtpKeys::new(SrtpProfile::AeadAes128Gcm, &[7; 56]).expect("56 bytes");
        let link = Link::Network(Box::new(Peer::with_keys(address, &keys, DtlsRole::Server, self.now)));
        self.engine.peers.find_mut(peer).expect("a peer").link = link;
        crate::engine::control::drain_transport(&mut self.engine, peer, self.now);
        let desk = Desk {
            address,
            seals: SrtpOutbound::new(keys.profile, &keys.client.key, &keys.client.salt),
            opens: SrtpInbound::new(keys.profile, &keys.server.key, &keys.server.salt),
            transport_cc: 0,
            ssrc_base: self.engine.peers.find(peer).expect("a peer").ssrc_base,
            extensions: agreed::extensions(),
            feedback: FeedbackBuilder::new(Ssrc(1)),
            arrived: BTreeMap::new(),
        };
        self.desks.insert(peer, desk);
    }

    /// `peer` consents to no address any more, which nobody has noticed yet.
    pub(super) fn lose_route(&mut self, peer: PeerId) {
        self.engine.peers.find_mut(peer).expect("a peer").route = None;
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.engine.command(command, self.now)
    }

    pub(super) fn publish(&mut self, peer: PeerId, name: &str, source: TrackSource) -> TrackId {
        self.publish_as(peer, name, source, false)
    }

    pub(super) fn publish_as(&mut self, peer: PeerId, name: &str, source: TrackSource, encrypted: bool) -> TrackId {
        let publish = Command::Publish { peer, mid: mid(name), source, encrypted };
        let Ok(Reply::Track { track }) = self.command(publish) else { panic!("a track") };
        track
    }

    pub(super) fn subscribe(&mut self, peer: PeerId, name: &str, track: TrackId) {
        self.command(Command::Subscribe { peer, mid: mid(name), track }).expect("a subscription");
    }

    pub(super) fn allow(&mut self, track: TrackId, subscriber: PeerId) {
        self.command(Command::Allow { track, subscriber, echo: false }).expect("an edge");
    }

    pub(super) fn move_to_another_path(&mut self, peer: PeerId) {
        self.happens(peer, crate::peer::PeerEvent::PathChanged);
    }

    /// Something happens to the transport of a peer.
    pub(super) fn happens(&mut self, peer: PeerId, event: crate::peer::PeerEvent) {
        crate::engine::control::on_peer_event(&mut self.engine, peer, event, self.now);
    }

    pub(super) fn transport(&mut self, peer: PeerId) -> &mut crate::peer::Peer {
        self.engine.peers.find_mut(peer).and_then(Member::peer_mut).expect("a peer of the network")
    }

    pub(super) fn settle(&mut self, peer: PeerId) {
        crate::engine::control::drain_transport(&mut self.engine, peer, self.now);
    }

    pub(super) fn revoke(&mut self, track: TrackId, subscriber: PeerId) {
        self.command(Command::Revoke { track, subscriber }).expect("a revocation");
    }

    pub(super) fn kind_of(&mut self, track: TrackId) -> Option<MediaKind> {
        let Ok(Reply::Snapshot { snapshot }) = self.command(Command::Snapshot) else { return None };
        snapshot.tracks.iter().find(|known| known.track == track).map(|known| known.kind)
    }

    pub(super) fn stats(&mut self) -> Box<EngineStats> {
        let Ok(Reply::Stats { stats }) = self.command(Command::Stats) else { panic!("figures") };
        stats
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.engine.drain_events(&mut events);
        events
    }

    pub(super) fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.engine.tick(self.now);
            self.flush_to_the_tap();
            if next >= end {
                break;
            }
            self.now = next.max(self.now + Duration::from_millis(1)).min(end);
        }
        self.now = end;
        self.engine.tick(self.now);
    }

    /// The same as whole packets.
    pub(super) fn send_audio_seen(&mut self, from: PeerId, number: u16, payload: &[u8]) -> Vec<Seen> {
        self.ingest(from, OPUS, 1, number, u32::from(number) * 960, payload);
        self.flush()
    }

    pub(super) fn send_audio(&mut self, from: PeerId, number: u16, payload: &[u8]) -> Vec<(PeerId, Vec<u8>)> {
        self.ingest(from, OPUS, 1, number, u32::from(number) * 960, payload);
        self.flush().into_iter().map(|seen| (seen.to, seen.payload)).collect()
    }

    /// A packet of sound that leaves with the next flush.
    pub(super) fn send_unseen(&mut self, from: PeerId, number: u16) {
        self.ingest(from, OPUS, 1, number, u32::from(number) * 960, b"word");
    }

    /// A VP8 packet with a 15-bit picture id (RFC 7741 §4.2); each is a frame of its own.
    pub(super) fn ingest_video(&mut self, from: PeerId, number: u16, keyframe: bool, len: usize) {
        let mut payload = vec![0x90, 0x80, 0x80 | (number >> 8) as u8, number as u8, u8::from(!keyframe)];
        payload.resize(len, number as u8);
        self.ingest(from, VP8, 2, number, u32::from(number) * 3_000, &payload);
    }

    /// The same in the higher of the two encodings.
    pub(super) fn ingest_high(&mut self, from: PeerId, number: u16, keyframe: bool, len: usize) {
        let mut payload = vec![0x90, 0x80, 0x80 | (number >> 8) as u8, number as u8, u8::from(!keyframe)];
        payload.resize(len, number as u8);
        self.ingest(from, VP8, 3, number, u32::from(number) * 3_000, &payload);
    }

    fn ingest(&mut self, from: PeerId, payload_type: u8, ssrc: u32, number: u16, timestamp: u32, payload: &[u8]) {
        self.ingest_with(from, (payload_type, ssrc), number, timestamp, payload, &[]);
    }

    /// A packet of a payload type and SSRC with header extensions.
    pub(super) fn ingest_with(
        &mut self,
        from: PeerId,
        (payload_type, ssrc): (u8, u32),
        number: u16,
        timestamp: u32,
        payload: &[u8],
        extensions: &[(ExtensionKind, &[u8])],
    ) {
        let Some(desk) = self.desks.get_mut(&from) else { return };
        let mut packet = vec![0; 1_500];
        let two_byte = extensions.iter().any(|(_, value)| value.len() > 16);
        let mut writer = ExtensionWriter::new(&mut packet[Header::LEN..], two_byte);
        writer.push(3, &desk.transport_cc.to_be_bytes());
        for (kind, value) in extensions {
            writer.push(desk.extensions.id(*kind).expect("it was agreed on"), value).expect("room for it");
        }
        desk.transport_cc = desk.transport_cc.wrapping_add(1);
        let header_len = Header::LEN + writer.finish();
        let header = Header {
            marker: true,
            payload_type,
            sequence_number: number,
            timestamp,
            ssrc: Ssrc(desk.ssrc_base + ssrc),
        };
        header.write(true, packet.first_chunk_mut().expect("room for a header"));
        packet[header_len..header_len + payload.len()].copy_from_slice(payload);
        let len = desk.seals.seal_rtp(&mut packet, header_len, payload.len(), u64::from(number));
        let source = desk.address;
        self.datagram(source, &packet[..len]);
    }

    /// From here on the engine breaks whenever it serves `whom`.
    pub(super) fn break_for(&mut self, whom: Served) {
        self.engine.broken_for = Some(whom);
    }

    /// From here on the engine breaks whenever it fetches ahead what it needs for `whom`.
    pub(super) fn break_ahead_of(&mut self, whom: PeerId) {
        self.engine.broken_ahead = Some(whom);
    }

    /// Something that looks like RTP or RTCP from the address of a peer.
    pub(super) fn noise(&mut self, from: PeerId, second_byte: u8) {
        let source = self.desks[&from].address;
        self.datagram(source, &[&[0x80, second_byte][..], &[0; 40]].concat());
    }

    /// A datagram from the address of a peer.
    pub(super) fn send_from(&mut self, from: PeerId, bytes: &[u8]) {
        self.datagram(self.desks[&from].address, bytes);
    }

    /// What an engine hands to a bot and takes from it.
    pub(super) fn join_bot(&mut self, participant: u64) -> PeerId {
        let session = Box::new(session(0x1000 * participant as u32));
        let create = Command::CreateBot { room: self.room, participant: ParticipantId(participant), session };
        let Ok(Reply::Bot { peer }) = self.command(create) else { panic!("a bot") };
        peer
    }

    pub(super) fn ingest_bot(&mut self, bot: PeerId, packet: &[u8]) {
        self.engine.ingest_bot(bot, packet, self.now);
    }

    /// One turn of the worker: what is due, no more. Says when the next one is wanted.
    pub(super) fn tick(&mut self) -> Instant {
        self.engine.tick(self.now)
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    /// A peer that will connect over the network, with what was agreed on with it.
    pub(super) fn stranger(&mut self, participant: u64) -> (PeerId, LocalTransport) {
        let create = Command::CreatePeer { room: self.room, participant: ParticipantId(participant) };
        let Ok(Reply::Peer { peer, local }) = self.command(create) else { panic!("a peer") };
        let session = Box::new(session(local.ssrc_base));
        self.command(Command::Connect { peer, session }).expect("a negotiation");
        (peer, local)
    }

    /// The peer tells that everything sent to it since the last time came 10 ms later.
    pub(super) fn acknowledge(&mut self, from: PeerId) {
        let desk = self.desks.get_mut(&from).expect("a peer");
        let Some((&first, _)) = desk.arrived.first_key_value() else { return };
        let Some((&last, _)) = desk.arrived.last_key_value() else { return };
        let arrivals: Vec<_> = (first..=last).map(|number| desk.arrived.get(&number).copied()).collect();
        desk.arrived.clear();
        let mut packet = vec![0; 1_400];
        let built = desk.feedback.write(Ssrc(1), u64::from(first), arrivals, &mut packet).expect("it fits");
        let len = desk.seals.seal_rtcp(&mut packet, built.len);
        let (source, destination) = (desk.address, [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut packet[..len] }], self.now);
    }

    pub(super) fn nack(&mut self, from: PeerId, section: &str, number: u16) {
        self.nack_all(from, section, &[number]);
    }

    pub(super) fn nack_all(&mut self, from: PeerId, section: &str, numbers: &[u16]) {
        let media = Ssrc(self.desks[&from].ssrc_base + if section == "a" { 0 } else { 2 });
        self.rtcp(from, |out| nack::write(Ssrc(1), media, numbers, out));
    }

    /// RTCP from a peer.
    pub(super) fn rtcp(&mut self, from: PeerId, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let desk = self.desks.get_mut(&from).expect("a peer");
        let mut packet = vec![0; 1_400];
        let len = write(&mut packet).expect("it fits");
        let len = desk.seals.seal_rtcp(&mut packet, len);
        let (source, destination) = (desk.address, [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut packet[..len] }], self.now);
    }

    /// The peer tells what time it was at `timestamp` of its `ssrc`-th stream.
    pub(super) fn report(&mut self, from: PeerId, ssrc: u32, timestamp: u32) {
        let desk = self.desks.get_mut(&from).expect("a peer");
        let sender = Ssrc(desk.ssrc_base + ssrc);
        let ntp = NtpTime((1 << 40) + (u64::from(timestamp) << 10));
        let report = SenderReport { sender, ntp, timestamp, packets: 1, octets: 1, reports: ReportBlocks::new() };
        let mut packet = vec![0; 200];
        let len = report.write(&mut packet).expect("it fits");
        let len = desk.seals.seal_rtcp(&mut packet, len);
        let (source, destination) = (desk.address, [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut packet[..len] }], self.now);
    }

    fn flush_to_the_tap(&mut self) {
        let (sent, to_bots) = (&mut self.sent, &mut self.to_bots);
        self.engine.flush(&mut Tap { sent, to_bots, takes: self.kernel_takes, now: self.now }, self.now);
    }

    /// What media left by now.
    pub(super) fn flush(&mut self) -> Vec<Seen> {
        self.flush_to_the_tap();
        let mut seen = Vec::new();
        let epoch = Epoch { instant: self.begun, ntp: NtpTime(0) };
        for (destination, mut datagram, sent_at) in std::mem::take(&mut self.sent) {
            let Some((to, desk)) = self.desks.iter_mut().find(|(_, desk)| desk.address == destination) else {
                self.strays.push((destination, datagram));
                continue;
            };
            if classify(&datagram) == DatagramKind::Rtcp {
                let len = desk.opens.unprotect_rtcp(&mut datagram).expect("sealed for this peer");
                self.rtcp.entry(*to).or_default().push(datagram[..len].to_vec());
                continue;
            }
            let len = desk.opens.unprotect_rtp(&mut datagram).expect("sealed for this peer, once");
            let packet = Packet::parse(&datagram[..len]).expect("a packet");
            let read = packet.extensions.read(&desk.extensions);
            if let Some(number) = read.transport_cc {
                desk.arrived.insert(number, epoch.micros_at(sent_at) + 10_000);
            }
            let header = packet.header;
            self.numbers.entry(*to).or_default().push((header.ssrc.0, header.sequence_number));
            let passed_on = [
                (ExtensionKind::AbsSendTime, read.abs_send_time.map(|time| time.to_be_bytes()[1..].to_vec())),
                (ExtensionKind::AbsCaptureTime, read.abs_capture_time.map(<[u8]>::to_vec)),
                (ExtensionKind::VideoOrientation, read.video_orientation.map(|byte| vec![byte])),
                (ExtensionKind::PlayoutDelay, read.playout_delay.map(<[u8]>::to_vec)),
                (ExtensionKind::DependencyDescriptor, read.dependency_descriptor.map(<[u8]>::to_vec)),
            ];
            let passed_on = passed_on.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect();
            let two_byte = datagram[Header::LEN..].starts_with(&[0x10, 0]);
            seen.push(Seen { to: *to, header, payload: packet.payload.to_vec(), passed_on, two_byte });
        }
        seen
    }

    pub(super) fn numbers(&self, peer: PeerId) -> Vec<u16> {
        self.numbers.get(&peer).into_iter().flatten().map(|(_, number)| *number).collect()
    }

    /// Those of one SSRC.
    pub(super) fn numbers_of(&self, peer: PeerId, ssrc: u32) -> Vec<u16> {
        let numbers = self.numbers.get(&peer).into_iter().flatten();
        numbers.filter(|(of, _)| *of == ssrc).map(|(_, number)| *number).collect()
    }

    pub(super) fn rtcp_to(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        self.flush();
        self.rtcp.remove(&peer).unwrap_or_default()
    }
}
