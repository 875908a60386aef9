//! One engine, keyed peers, and a view of every packet that leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::engine::transmit::TransmitBatch;
use crate::ids::{Mid, ParticipantId, Ssrc};
use crate::peer::dtls::{DtlsVersions, Identity};
use crate::peer::srtp::{SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile};
use crate::rtcp::nack;
use crate::rtcp::twcc::FeedbackBuilder;
use crate::rtp::ext::{ExtensionKind, ExtensionMap, ExtensionWriter};
use crate::rtp::header::{Header, Packet};
use crate::session::{
    Codec, CongestionFeedback, DtlsRole, NegotiatedSession, PayloadType, ReceiveMedia, RemoteEncoding, RemoteTransport,
    SendMedia,
};
use crate::units::NtpTime;

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
}

struct Desk {
    address: SocketAddr,
    seals: SrtpOutbound,
    opens: SrtpInbound,
    transport_cc: u16,
    ssrc_base: u32,
    feedback: FeedbackBuilder,
    /// Transport-wide numbers not yet acknowledged, and when they arrived in microseconds.
    arrived: BTreeMap<u16, u64>,
}

pub(super) struct Rig {
    begun: Instant,
    engine: Engine,
    pub(super) room: RoomId,
    now: Instant,
    desks: BTreeMap<PeerId, Desk>,
    sent: Vec<(SocketAddr, Vec<u8>, Instant)>,
    numbers: BTreeMap<PeerId, Vec<u16>>,
    rtcp: BTreeMap<PeerId, Vec<Vec<u8>>>,
}

struct Tap<'a>(&'a mut Vec<(SocketAddr, Vec<u8>, Instant)>, Instant);

impl Sink for Tap<'_> {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        for group in &batch.groups {
            for datagram in batch.bytes[group.range.clone()].chunks(group.segment_size) {
                self.0.push((group.destination, datagram.to_vec(), self.1));
            }
        }
        batch.groups.len()
    }

    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
}

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

impl Rig {
    pub(super) fn new() -> Self {
        let now = start();
        let transport = TransportConfig {
            identity: Identity::generate(DtlsVersions::Only12).expect("a certificate"),
            candidates: vec![([192, 0, 2, 1], 7443).into()],
            check_named: false,
        };
        let epoch = Epoch { instant: now, ntp: NtpTime(1 << 40) };
        let config = EngineConfig { transport, epoch, seed: [7; 32], initial_bitrate: Bitrate::kbps(2_000) };
        let mut engine = Engine::new(config, now);
        let Ok(Reply::Room { room }) = engine.command(Command::CreateRoom, now) else { panic!("a room") };
        let empty = BTreeMap::new;
        Self {
            begun: now,
            engine,
            room,
            now,
            desks: BTreeMap::new(),
            sent: Vec::new(),
            numbers: empty(),
            rtcp: BTreeMap::new(),
        }
    }

    pub(super) fn new_room(&mut self) {
        let Ok(Reply::Room { room }) = self.command(Command::CreateRoom) else { panic!("a room") };
        self.room = room;
    }

    pub(super) fn join(&mut self, participant: u64) -> PeerId {
        let address: SocketAddr = ([198, 51, 100, participant as u8], 40_000).into();
        let profile = SrtpProfile::AeadAes128Gcm;
        let material: Vec<u8> = (0..56).map(|n| n ^ participant as u8).collect();
        let keys = SrtpKeys::new(profile, &material).expect("56 bytes");
        let ssrc_base = 0x1000 * participant as u32;
        let session = session(ssrc_base);
        let id = ParticipantId(participant);
        let peer =
            self.engine.create_keyed_peer(self.room, id, address, &keys, &session, self.now).expect("room for one");
        let desk = Desk {
            address,
            seals: SrtpOutbound::new(profile, &keys.client.key, &keys.client.salt),
            opens: SrtpInbound::new(profile, &keys.server.key, &keys.server.salt),
            transport_cc: 0,
            ssrc_base,
            feedback: FeedbackBuilder::new(Ssrc(1)),
            arrived: BTreeMap::new(),
        };
        self.desks.insert(peer, desk);
        peer
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.engine.command(command, self.now)
    }

    pub(super) fn publish(&mut self, peer: PeerId, name: &str, source: TrackSource) -> TrackId {
        let publish = Command::Publish { peer, mid: mid(name), source, encrypted: false };
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
        crate::engine::control::on_peer_event(&mut self.engine, peer, crate::peer::PeerEvent::PathChanged, self.now);
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
            self.engine.flush(&mut Tap(&mut self.sent, self.now), self.now);
            if next >= end {
                break;
            }
            self.now = next.max(self.now + Duration::from_millis(1)).min(end);
        }
        self.now = end;
        self.engine.tick(self.now);
    }

    pub(super) fn send_audio(&mut self, from: PeerId, number: u16, payload: &[u8]) -> Vec<(PeerId, Vec<u8>)> {
        self.ingest(from, OPUS, 1, number, u32::from(number) * 960, payload);
        self.flush().into_iter().map(|seen| (seen.to, seen.payload)).collect()
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
        let Some(desk) = self.desks.get_mut(&from) else { return };
        let mut packet = vec![0; 1_500];
        let mut writer = ExtensionWriter::new(&mut packet[Header::LEN..], false);
        writer.push(3, &desk.transport_cc.to_be_bytes());
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
        let (source, destination) = (desk.address, [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut packet[..len] }], self.now);
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
        let desk = self.desks.get_mut(&from).expect("a peer");
        let media = Ssrc(desk.ssrc_base + if section == "a" { 0 } else { 2 });
        let mut packet = vec![0; 200];
        let len = nack::write(Ssrc(1), media, &[number], &mut packet).expect("it fits");
        let len = desk.seals.seal_rtcp(&mut packet, len);
        let (source, destination) = (desk.address, [192, 0, 2, 1].into());
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut packet[..len] }], self.now);
    }

    /// What media left by now.
    pub(super) fn flush(&mut self) -> Vec<Seen> {
        self.engine.flush(&mut Tap(&mut self.sent, self.now), self.now);
        let mut seen = Vec::new();
        let epoch = Epoch { instant: self.begun, ntp: NtpTime(0) };
        for (destination, mut datagram, sent_at) in std::mem::take(&mut self.sent) {
            let (to, desk) = self.desks.iter_mut().find(|(_, desk)| desk.address == destination).expect("a peer");
            if classify(&datagram) == DatagramKind::Rtcp {
                let len = desk.opens.unprotect_rtcp(&mut datagram).expect("sealed for this peer");
                self.rtcp.entry(*to).or_default().push(datagram[..len].to_vec());
                continue;
            }
            let len = desk.opens.unprotect_rtp(&mut datagram).expect("sealed for this peer, once");
            let packet = Packet::parse(&datagram[..len]).expect("a packet");
            if let Some(number) = packet.extensions.read(&extensions()).transport_cc {
                desk.arrived.insert(number, epoch.micros_at(sent_at) + 10_000);
            }
            self.numbers.entry(*to).or_default().push(packet.header.sequence_number);
            seen.push(Seen { to: *to, header: packet.header, payload: packet.payload.to_vec() });
        }
        seen
    }

    pub(super) fn numbers(&self, peer: PeerId) -> Vec<u16> {
        self.numbers.get(&peer).cloned().unwrap_or_default()
    }

    pub(super) fn rtcp_to(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        self.flush();
        self.rtcp.remove(&peer).unwrap_or_default()
    }
}

fn extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::default();
    assert!(extensions.set(ExtensionKind::TransportCc, 3) && extensions.set(ExtensionKind::Mid, 4));
    extensions
}

/// Sends and receives one audio and one video section.
fn session(ssrc_base: u32) -> NegotiatedSession {
    let opus =
        PayloadType { number: OPUS, codec: Codec::Opus, clock_rate_hz: 48_000, rtx: None, format: String::new() };
    let vp8 = PayloadType {
        number: VP8,
        codec: Codec::Vp8,
        clock_rate_hz: 90_000,
        rtx: Some(VP8_RTX),
        format: String::new(),
    };
    let encoding = |n| RemoteEncoding { ssrc: Some(Ssrc(ssrc_base + n)), ..RemoteEncoding::default() };
    let receive = |name: &str, kind, payload: &PayloadType, ssrcs: &[u32]| ReceiveMedia {
        mid: mid(name),
        kind,
        payload_types: vec![payload.clone()],
        encodings: ssrcs.iter().copied().map(encoding).collect(),
        nack: true,
        pli: kind == MediaKind::Video,
        fir: false,
    };
    let send = |name: &str, kind, payload: &PayloadType, n: u32| SendMedia {
        mid: mid(name),
        kind,
        payload_types: vec![payload.clone()],
        ssrc: Ssrc(ssrc_base + 2 * n),
        rtx_ssrc: (kind == MediaKind::Video).then_some(Ssrc(ssrc_base + 2 * n + 1)),
        nack: kind == MediaKind::Video,
    };
    NegotiatedSession {
        remote: RemoteTransport {
            ufrag: "u".into(),
            pwd: "p".into(),
            fingerprints: Vec::new(),
            dtls_role: DtlsRole::Server,
            candidates: Vec::new(),
        },
        extensions: extensions(),
        feedback: CongestionFeedback::TransportCc,
        receive: vec![receive("a", MediaKind::Audio, &opus, &[1]), receive("v", MediaKind::Video, &vp8, &[2, 3])],
        send: vec![send("a", MediaKind::Audio, &opus, 0), send("v", MediaKind::Video, &vp8, 1)],
        data: None,
        reduced_size_rtcp: true,
    }
}
