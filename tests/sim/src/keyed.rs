//! A light participant whose SRTP keys are given: no ICE, no DTLS, no randomness but its seed's, so that a run with many of
//! them is quick and repeats to the bit. Its packets are made and read with the engine's own modules; the browsers
//! ([`crate::browser`]) check those against another implementation.

mod feedback;
mod negotiation;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;
mod timestamps;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::ids::{Rid, Ssrc};
use sfu_core::peer::srtp::{MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD, SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile};
use sfu_core::rtcp::pli::Pli;
use sfu_core::rtcp::remb::{MAX_REMB_SSRCS, Remb};
use sfu_core::rtcp::rr::ReceiverReport;
use sfu_core::rtcp::sr::{ReportBlocks, SenderReport};
use sfu_core::rtcp::{RtcpPacket, nack};
use sfu_core::rtp::ext::ExtensionMap;
use sfu_core::rtp::header::Packet;
use sfu_core::session::CongestionFeedback;
use sfu_core::units::{Bitrate, NtpTime};

use self::feedback::{Arrivals, Estimator};
pub use self::negotiation::{Sends, Wishes};
use self::receiving::Receiver;
use self::sending::{MAX_PLAIN, Plain, Sender, Stamped};
use crate::browser::Source;
use crate::media::Stamp;
use crate::oracle::{Arrival, Departure, Oracle, PictureNumbers};
use crate::random::{Random, mix};
use crate::remote::{Incoming, Outgoing};
use crate::stay::Stays;

/// Between two reports of one participant (RFC 3550 §6.2 allows 360 kbit/s / rate seconds; browsers send one a second).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// What browsers set apart for sound of all they may send.
const SOUND: Bitrate = Bitrate::kbps(40);
/// Wall clock at the start of every world: 2026-01-01 in seconds since 1900.
const NTP_AT_START: u64 = 3_976_214_400;
/// Bytes that one (S)RTCP datagram needs at most.
const MAX_RTCP: usize = 1_400;

/// One light participant.
#[derive(Debug)]
pub struct Keyed {
    /// Judges what it received.
    pub oracle: Oracle,
    /// Whether every packet is judged; a load generator spares the memory.
    pub judged: bool,
    /// How long the packets it received had stayed in the server, when somebody asks; retransmissions not counted.
    pub stays: Option<Stays>,
    /// Whether it sends less when asked to, as browsers do.
    pub obliging: bool,
    /// What was last told of the clock of each SSRC.
    pub clocks: BTreeMap<u32, SenderReport>,
    /// Keyframes it was asked for.
    pub keyframe_requests: u64,
    /// Packets received.
    pub received: u64,
    /// Packets that did not authenticate, were repeated, or could not be read.
    pub refused: u64,
    /// All clear RTP and RTCP it received and when, as one number.
    pub digest: u64,
    wishes: Wishes,
    keys: SrtpKeys,
    address: SocketAddr,
    server: SocketAddr,
    outbound: SrtpOutbound,
    inbound: SrtpInbound,
    extensions: ExtensionMap,
    senders: Vec<Sender>,
    receivers: BTreeMap<u32, Receiver>,
    arrivals: Arrivals,
    estimator: Estimator,
    next_transport_cc: u16,
    next_feedback: Instant,
    next_report: Instant,
    outgoing: VecDeque<Outgoing>,
    random: Random,
    start: Instant,
}

impl Keyed {
    /// A participant at `address` with keys of its own, which follow from `seed` and its number. `start` is the start of the
    /// world.
    pub fn new(
        wishes: Wishes,
        profile: SrtpProfile,
        (address, server): (SocketAddr, SocketAddr),
        seed: u64,
        (start, now): (Instant, Instant),
    ) -> Self {
        let mut random = Random::new(mix(seed ^ mix(u64::from(wishes.number))));
        let keys = keys(profile, &mut random);
        // Spread out, so that not everybody reports in the same instant.
        let phase = |random: &mut Random, interval| now + random.span(interval);
        Self {
            oracle: Oracle::default(),
            judged: true,
            stays: None,
            obliging: true,
            clocks: BTreeMap::new(),
            keyframe_requests: 0,
            received: 0,
            refused: 0,
            digest: 0,
            outbound: SrtpOutbound::new(profile, &keys.client.key, &keys.client.salt),
            inbound: SrtpInbound::new(profile, &keys.server.key, &keys.server.salt),
            extensions: negotiation::extensions(),
            senders: Vec::new(),
            receivers: BTreeMap::new(),
            arrivals: Arrivals::new(wishes.own_ssrc(0, 0), start),
            estimator: Estimator::new(now),
            next_transport_cc: random.next_u64() as u16,
            next_feedback: phase(&mut random, feedback::INTERVAL),
            next_report: phase(&mut random, REPORT_INTERVAL),
            outgoing: VecDeque::new(),
            wishes,
            keys,
            address,
            server,
            random,
            start,
        }
    }

    /// What it agreed on with the server.
    pub const fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// The keys of both directions: this participant is the DTLS client.
    pub const fn keys(&self) -> &SrtpKeys {
        &self.keys
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `source` in the `section`-th section in which it sends, as the `encoding`-th encoding.
    pub fn publish(&mut self, section: usize, encoding: usize, source: impl Into<Source>) {
        let sends = self.wishes.sends[section];
        let rid = match sends {
            Sends::Video(_, rids) => rids.get(encoding).and_then(|rid| Rid::new(rid)),
            Sends::Audio => None,
        };
        let (number, rtx_number) = negotiation::payload_type(sends);
        let payload_types = (number, if self.wishes.rtx { rtx_number } else { 0 });
        let ssrcs = (self.wishes.own_ssrc(section, encoding), self.wishes.own_rtx_ssrc(section, encoding));
        let first_sequence = self.random.below(1 << 15) as u16;
        let labels = (Wishes::send_mid(section), rid);
        self.senders.push(Sender::new(ssrcs, labels, payload_types, source.into(), first_sequence));
    }

    /// What it sends, in the order it was published.
    pub fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.senders.iter_mut().map(|sender| &mut sender.source)
    }

    /// Packets sent so far of the track numbered `source`.
    pub fn sent_packets(&self, source: u32) -> u64 {
        let of_source = self.senders.iter().filter(|sender| sender.source.number() == source);
        of_source.map(Sender::packets).sum()
    }

    /// Seals a datagram of the test's own making with this participant's keys and sends it: what a forger with valid keys
    /// could do. `index` is the packet index of its sequence number.
    pub fn send_forged(&mut self, plain: &[u8], header_len: usize, index: u64) {
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + MAX_SRTP_OVERHEAD, 0);
        let len = self.outbound.seal_rtp(&mut bytes, header_len, plain.len() - header_len, index);
        bytes.truncate(len);
        self.send(bytes);
    }

    /// Takes a datagram.
    pub fn receive(&mut self, incoming: Incoming<'_>, now: Instant) {
        let mut bytes = incoming.bytes.to_vec();
        let is_rtcp = bytes.get(1).is_some_and(|second| (192..=223).contains(second));
        let plain =
            if is_rtcp { self.inbound.unprotect_rtcp(&mut bytes) } else { self.inbound.unprotect_rtp(&mut bytes) };
        let Ok(len) = plain else {
            self.refused += 1;
            return;
        };
        bytes.truncate(len);
        self.note(&bytes, now);
        if is_rtcp {
            self.on_rtcp(&bytes, now);
        } else if self.on_rtp(&bytes, incoming.departure, now).is_none() {
            self.refused += 1;
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.senders.len() {
            while self.senders[index].source.poll_timeout() <= now {
                for packet in self.senders[index].source.poll_packets(now) {
                    self.send_rtp(now, |sender, stamped, out| Some(sender.write(packet, stamped, out)), index);
                }
            }
        }
        if self.next_feedback <= now {
            self.next_feedback = now + feedback::INTERVAL;
            self.send_feedback(now);
        }
        self.request_lost(now);
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            self.send_reports(now);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sources = self.senders.iter().map(|sender| sender.source.poll_timeout());
        let lost = self.receivers.values().filter_map(Receiver::poll_timeout);
        sources.chain(lost).chain([self.next_feedback, self.next_report]).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    fn on_rtp(&mut self, bytes: &[u8], departure: Departure, now: Instant) -> Option<()> {
        let packet = Packet::parse(bytes).ok()?;
        let extensions = packet.extensions.read(&self.extensions);
        if let Some(number) = extensions.transport_cc {
            self.arrivals.record(number, now);
        }
        self.received += 1;
        let is_rtx = [negotiation::VP8.1, negotiation::H264.1].contains(&packet.header.payload_type);
        let (ssrc, sequence, payload) = if is_rtx {
            // An empty payload is a probe.
            let Some((original, payload)) = packet.payload.split_first_chunk() else { return Some(()) };
            (packet.header.ssrc.0 - 1, u16::from_be_bytes(*original), payload)
        } else {
            (packet.header.ssrc.0, packet.header.sequence_number, packet.payload)
        };
        let recovers = packet.header.payload_type != negotiation::OPUS;
        if recovers {
            self.estimator.on_packet(packet.payload.len());
        }
        let receiver = self.receivers.entry(ssrc).or_insert_with(|| Receiver::new(recovers));
        let Some((sequence, timestamp)) = receiver.on_packet(sequence, packet.header.timestamp, is_rtx, now) else {
            return Some(());
        };
        let stamp = Stamp::read(payload);
        if let Some(stamp) = stamp {
            receiver.on_picture(stamp, timestamp, now);
        }
        if let (Some(stays), Some(stamp), false) = (&mut self.stays, &stamp, is_rtx) {
            stays.record(stamp, !recovers, departure.at, self.start);
        }
        if self.judged {
            let (marker, payload_type) = (packet.header.marker, packet.header.payload_type);
            let picture = PictureNumbers::read(payload).filter(|_| recovers);
            let arrival = Arrival { at: now, departure, sequence, timestamp, marker, payload_type, picture, stamp };
            self.oracle.record(ssrc, arrival);
        }
        Some(())
    }

    fn on_rtcp(&mut self, bytes: &[u8], now: Instant) {
        for packet in sfu_core::rtcp::packets(bytes) {
            match packet {
                Ok(RtcpPacket::SenderReport(report)) => {
                    if let Some(receiver) = self.receivers.get_mut(&report.sender.0) {
                        receiver.on_sender_report(report.ntp.middle(), now);
                    }
                    self.clocks.insert(report.sender.0, report);
                }
                Ok(RtcpPacket::Nack(request)) => {
                    let asked = self.senders.iter().position(|sender| sender.ssrc == request.media);
                    let Some(index) = asked else { continue };
                    for lost in request.lost() {
                        self.send_rtp(now, |sender, stamped, out| sender.write_again(lost, stamped, out), index);
                    }
                }
                Ok(RtcpPacket::Pli(request)) => self.on_keyframe_request(request.media),
                Ok(RtcpPacket::Remb(limit)) if self.obliging => {
                    // Each picture takes an equal part, as in libwebrtc when all are as important.
                    let pictures = self.sources().filter(|source| matches!(source, Source::Camera(_))).count();
                    let each = (limit.bitrate - SOUND) * (1.0 / pictures.max(1) as f64);
                    self.sources().for_each(|source| source.set_ceiling(each));
                }
                Ok(_) => {}
                Err(_) => self.refused += 1,
            }
        }
    }

    fn on_keyframe_request(&mut self, media: Ssrc) {
        self.keyframe_requests += 1;
        for sender in self.senders.iter_mut().filter(|sender| sender.ssrc == media) {
            sender.source.request_keyframe();
        }
    }

    fn send_rtp(
        &mut self,
        now: Instant,
        write: impl FnOnce(&mut Sender, Stamped<'_>, &mut [u8]) -> Option<Plain>,
        index: usize,
    ) {
        let seconds = (now - self.start).as_secs_f64();
        let abs_send_time = (seconds * 262_144.0) as u32 & 0x00ff_ffff;
        let stamped = Stamped { extensions: &self.extensions, transport_cc: self.next_transport_cc, abs_send_time };
        let mut bytes = vec![0; MAX_PLAIN + MAX_SRTP_OVERHEAD];
        let Some(plain) = write(&mut self.senders[index], stamped, &mut bytes) else { return };
        self.next_transport_cc = self.next_transport_cc.wrapping_add(1);
        let len = self.outbound.seal_rtp(&mut bytes, plain.header_len, plain.payload_len, plain.index);
        bytes.truncate(len);
        self.send(bytes);
    }

    fn send_feedback(&mut self, now: Instant) {
        let mut out = [0; MAX_RTCP];
        match self.wishes.feedback {
            CongestionFeedback::TransportCc => {
                let media = self.receivers.keys().next().map_or(Ssrc(0), |&ssrc| Ssrc(ssrc));
                while let Some(len) = self.arrivals.write(media, &mut out) {
                    self.send_rtcp(&out[..len]);
                }
            }
            CongestionFeedback::Remb => {
                let Some(bitrate) = self.estimator.poll(now) else { return };
                let pictures = self.receivers.iter().filter(|(_, receiver)| receiver.recovers());
                let ssrcs = pictures.map(|(&ssrc, _)| Ssrc(ssrc)).take(MAX_REMB_SSRCS).collect();
                let estimate = Remb { sender: self.wishes.own_ssrc(0, 0), bitrate, ssrcs };
                let len = estimate.write(&mut out).expect("the buffer holds an estimate");
                self.send_rtcp(&out[..len]);
            }
            CongestionFeedback::None => {}
        }
    }

    fn request_lost(&mut self, now: Instant) {
        let sender = self.wishes.own_ssrc(0, 0);
        let mut out = [0; MAX_RTCP];
        let mut datagrams = Vec::new();
        for (&ssrc, receiver) in &mut self.receivers {
            let media = Ssrc(ssrc);
            let mut lost = receiver.requests(now);
            lost.sort_unstable();
            if let (false, Some(len)) = (lost.is_empty(), nack::write(sender, media, &lost, &mut out)) {
                datagrams.push(out[..len].to_vec());
            }
            if receiver.requests_keyframe(now)
                && let Some(len) = (Pli { sender, media }).write(&mut out)
            {
                datagrams.push(out[..len].to_vec());
            }
        }
        for datagram in &datagrams {
            self.send_rtcp(datagram);
        }
    }

    fn send_reports(&mut self, now: Instant) {
        let ntp = NtpTime(NTP_AT_START << 32).plus(now - self.start);
        let mut out = [0; MAX_RTCP];
        let mut len = 0;
        for sender in &self.senders {
            len += sender.report(ntp).write(&mut out[len..]).expect("the buffer holds all reports");
        }
        let reports: Vec<_> =
            self.receivers.iter_mut().filter_map(|(&ssrc, receiver)| receiver.report(Ssrc(ssrc), now)).collect();
        for reports in reports.chunks(ReportBlocks::new().capacity()) {
            let report =
                ReceiverReport { sender: self.wishes.own_ssrc(0, 0), reports: reports.iter().copied().collect() };
            len += report.write(&mut out[len..]).expect("the buffer holds all reports");
        }
        if len > 0 {
            self.send_rtcp(&out[..len]);
        }
    }

    fn send_rtcp(&mut self, plain: &[u8]) {
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + MAX_SRTCP_OVERHEAD, 0);
        let len = self.outbound.seal_rtcp(&mut bytes, plain.len());
        bytes.truncate(len);
        self.send(bytes);
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.outgoing.push_back(Outgoing { source: self.address, destination: self.server, bytes });
    }

    fn note(&mut self, bytes: &[u8], now: Instant) {
        self.digest = mix(self.digest ^ (now - self.start).as_nanos() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.digest = mix(self.digest ^ u64::from_le_bytes(word));
        }
    }
}

fn keys(profile: SrtpProfile, random: &mut Random) -> SrtpKeys {
    let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
    random.fill(&mut material);
    SrtpKeys::new(profile, &material).expect("the material has the length of the profile")
}
