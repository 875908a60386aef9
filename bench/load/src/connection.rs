//! One connection of one participant: opens what comes, seals what goes, and gives the feedback that a browser gives.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use sfu_core::demux::{DatagramKind, classify};
use sfu_core::ids::Ssrc;
use sfu_core::peer::dtls::Identity;
use sfu_core::peer::srtp::{MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD};
use sfu_core::rtcp::rr::ReceiverReport;
use sfu_core::rtcp::sr::{ReportBlocks, SenderReport};
use sfu_core::rtcp::{self, RtcpPacket, nack, sdes};
use sfu_core::rtp::ext::ExtensionMap;
use sfu_core::rtp::header::Packet;
use sfu_core::session::{CongestionFeedback, MediaKind, RemoteEncoding};
use sfu_core::units::NtpTime;

use crate::arrivals::Arrivals;
use crate::gaps::Gaps;
use crate::latest::Latest;
use crate::packet::{MAX_PACKET, Stamp, Track, TransportSequence};
use crate::reception::{Reception, Taken};
use crate::signalling::{Changed, Opened};
use crate::socket::{Arrived, Socket};
use crate::tally::Tally;
use crate::timetable::Due;
use crate::transport::{Local, Transport};

/// Services between two reports: a second.
const SERVICES_PER_REPORT: u32 = 20;
/// Room for any RTCP packet, sealed.
const MAX_RTCP: usize = 1_400;
/// Seconds from 1900 to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;
/// The first bytes of a retransmission: the number of what is sent again (RFC 4588 §4).
const OSN_LEN: usize = 2;

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Media(MediaKind),
    Retransmission,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) opened: Opened,
    transport: Transport,
    extensions: ExtensionMap,
    gives_feedback: bool,
    payloads: Vec<(u8, Payload)>,
    encodings: Vec<RemoteEncoding>,
    pub(crate) tracks: Vec<Track>,
    sequence: TransportSequence,
    pub(crate) receptions: Vec<Reception>,
    arrivals: Arrivals,
    /// RTP and RTCP.
    pub(crate) latest: Latest,
    /// Who we are in RTCP.
    sender: Ssrc,
    services: u32,
    /// Whether something is newly missing.
    pub(crate) misses: bool,
    /// When the first packet of media came, since 1970.
    pub(crate) first_media_ns: Option<u64>,
    /// The same of each publisher, by its number.
    heard: Vec<(u32, u64)>,
}

impl Connection {
    pub(crate) fn new(opened: Opened, identity: &Identity, port: u16, now: Instant) -> Self {
        let address = SocketAddr::new(IpAddr::V4(opened.address), port);
        let own = Local { credentials: &opened.local, address, leads: opened.leads };
        let session = &opened.session;
        let sender = Ssrc(opened.local.ssrc_base);
        let mut connection = Self {
            transport: Transport::new(identity, &own, session, opened.remote, now),
            extensions: session.extensions.clone(),
            gives_feedback: false,
            payloads: Vec::new(),
            encodings: Vec::new(),
            tracks: session.send.iter().filter_map(Track::new).collect(),
            sequence: TransportSequence::new(session),
            receptions: Vec::new(),
            arrivals: Arrivals::new(sender),
            latest: Latest::default(),
            sender,
            services: opened.address.to_bits(),
            misses: false,
            first_media_ns: None,
            heard: Vec::new(),
            opened,
        };
        connection.read_session();
        connection
    }

    /// Goes on as was agreed anew, maybe at another address.
    pub(crate) fn change(&mut self, changed: Changed, port: u16, now: Instant) {
        let opened = &mut self.opened;
        let renewed = (&changed.local.ufrag, &changed.session.remote.ufrag, changed.address)
            != (&opened.local.ufrag, &opened.session.remote.ufrag, opened.address);
        let Changed { local, address, session, remote, .. } = changed;
        (opened.local, opened.address, opened.session, opened.remote) = (local, address, session, remote);
        if renewed {
            let address = SocketAddr::new(IpAddr::V4(opened.address), port);
            let own = Local { credentials: &opened.local, address, leads: opened.leads };
            self.transport.restart(&own, &opened.session, opened.remote, now);
        }
        self.read_session();
    }

    /// Takes over what the remote may send.
    fn read_session(&mut self) {
        let session = &self.opened.session;
        self.extensions = session.extensions.clone();
        self.gives_feedback = session.feedback == CongestionFeedback::TransportCc;
        self.encodings = session.receive.iter().flat_map(|media| media.encodings.clone()).collect();
        self.payloads.clear();
        for media in &session.receive {
            for payload in &media.payload_types {
                self.payloads.push((payload.number, Payload::Media(media.kind)));
                self.payloads.extend(payload.rtx.map(|number| (number, Payload::Retransmission)));
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.transport.is_connected()
    }

    /// How media is protected, and in which version of DTLS that was agreed on.
    pub(crate) fn protection(&self) -> Option<(&'static str, &'static str)> {
        Some((self.transport.srtp.as_ref()?.profile.name(), self.transport.dtls_version))
    }

    /// Takes in a datagram.
    pub(crate) fn take(&mut self, arrived: &mut Arrived<'_>, now: Instant, tally: &mut Tally) {
        let kind = classify(arrived.bytes);
        if matches!(kind, DatagramKind::Rtp | DatagramKind::Rtcp) {
            self.latest.note(arrived.at_ns);
        }
        match kind {
            DatagramKind::Rtp => {
                if self.take_rtp(arrived.bytes, arrived.at_ns, tally).is_none() {
                    tally.unreadable += 1;
                }
            }
            DatagramKind::Rtcp => self.take_rtcp(arrived.bytes, arrived.at_ns, tally),
            DatagramKind::Stun => self.transport.on_stun(arrived.bytes, arrived.from, now),
            DatagramKind::Dtls => self.transport.on_dtls(arrived.bytes, now),
            DatagramKind::Unknown => tally.unreadable += 1,
        }
    }

    /// `None` for what cannot be read.
    fn take_rtp(&mut self, sealed: &mut [u8], at_ns: u64, tally: &mut Tally) -> Option<()> {
        let sealed_len = sealed.len();
        let len = self.transport.srtp.as_mut()?.inbound.unprotect_rtp(sealed).ok()?;
        let packet = Packet::parse(&sealed[..len]).ok()?;
        let header = packet.header;
        let (_, payload) = *self.payloads.iter().find(|(number, _)| *number == header.payload_type)?;
        if self.gives_feedback
            && let Some(number) = packet.extensions.read(&self.extensions).transport_cc
        {
            self.arrivals.note(number, header.ssrc, at_ns / 1_000);
        }
        match payload {
            Payload::Media(kind) => {
                let reception = reception(&mut self.receptions, header.ssrc, kind, header.sequence_number, at_ns);
                let taken = take(reception, header.sequence_number, header.timestamp, at_ns, &mut tally.gaps);
                self.misses |= reception.is_missing_something();
                if packet.payload.is_empty() {
                    tally.padding += 1;
                } else if taken == Taken::New {
                    self.first_media_ns.get_or_insert(at_ns);
                    self.note_heard(Stamp::of(packet.payload)?.source, at_ns);
                    self.count(kind, Stamp::of(packet.payload)?, sealed_len, Some(at_ns), tally);
                }
            }
            Payload::Retransmission => {
                tally.retransmissions += 1;
                let Some((number, original)) = packet.payload.split_first_chunk::<OSN_LEN>() else { return Some(()) };
                let of = self.encodings.iter().find(|encoding| encoding.rtx_ssrc == Some(header.ssrc));
                let ssrc = of.and_then(|encoding| encoding.ssrc);
                let found = self.receptions.iter_mut().find(|one| ssrc == Some(one.ssrc));
                if let Some(reception) = found {
                    let kind = reception.kind;
                    let number = u16::from_be_bytes(*number);
                    if take(reception, number, header.timestamp, at_ns, &mut tally.gaps) == Taken::New {
                        self.count(kind, Stamp::of(original)?, sealed_len, None, tally);
                    }
                }
            }
        }
        Some(())
    }

    fn note_heard(&mut self, source: u32, at_ns: u64) {
        if self.heard.iter().all(|(known, _)| *known != source) {
            self.heard.push((source, at_ns));
        }
    }

    /// From asking to hearing the last of those who published already; `None` while one of them is not heard.
    pub(crate) fn waited_ns(&self) -> Option<u64> {
        let heard_at = |source: &u32| self.heard.iter().find(|(known, _)| known == source).map(|(_, at_ns)| *at_ns);
        let all: Option<Vec<u64>> = self.opened.awaits.iter().map(heard_at).collect();
        Some(all?.into_iter().max()?.saturating_sub(self.opened.asked_ns))
    }

    /// Counts a packet of media; its delay only when that is the server's, and not that of a repair.
    fn count(&self, kind: MediaKind, stamp: Stamp, bytes: usize, at_ns: Option<u64>, tally: &mut Tally) {
        let sent_in_span = (tally.span_ns.0..tally.span_ns.1).contains(&stamp.sent_ns);
        if sent_in_span && !self.opened.late {
            tally.delivered += 1;
        }
        if !tally.counting {
            return;
        }
        tally.bytes += bytes as u64;
        let received = if self.opened.late { &mut tally.received_late } else { &mut tally.received };
        *received.of(kind) += 1;
        if let Some(at_ns) = at_ns {
            let delay = match kind {
                MediaKind::Audio => &mut tally.delay_audio,
                MediaKind::Video => &mut tally.delay_video,
            };
            delay.add(at_ns.saturating_sub(stamp.sent_ns));
        }
    }

    fn take_rtcp(&mut self, sealed: &mut [u8], at_ns: u64, tally: &mut Tally) {
        let Some(Ok(len)) = self.transport.srtp.as_mut().map(|srtp| srtp.inbound.unprotect_rtcp(sealed)) else {
            tally.unreadable += 1;
            return;
        };
        let (tracks, receptions) = (&mut self.tracks, &mut self.receptions);
        let read = rtcp::visit(&sealed[..len], |packet| {
            tally.rtcp_received += 1;
            match packet {
                RtcpPacket::SenderReport(report) => {
                    if let Some(reception) = receptions.iter_mut().find(|one| one.ssrc == report.sender) {
                        reception.note_sender_report(report.ntp.middle(), at_ns);
                    }
                }
                RtcpPacket::Pli(_) | RtcpPacket::Fir(_) => {
                    tally.keyframes_wanted += 1;
                    for track in tracks.iter_mut() {
                        track.keyframe_wanted = true;
                    }
                }
                RtcpPacket::Nack(nack) => tally.repeats_wanted += nack.lost().count() as u64,
                _ => {}
            }
        });
        tally.unreadable += u64::from(read.is_err());
    }

    /// Sends the packet that is due, stamped with `sent_ns`. Says whether it could.
    pub(crate) fn send_media(&mut self, due: Due, sent_ns: u64, socket: &mut Socket) -> bool {
        let Some(srtp) = self.transport.outbound() else { return false };
        let Some(track) = self.tracks.iter_mut().find(|track| track.kind == due.kind) else { return false };
        let mut out = [0; MAX_PACKET];
        let written = track.write(due.part, due.source, &mut self.sequence, sent_ns, &mut out);
        let end = written.header_len + written.payload_len + MAX_SRTP_OVERHEAD;
        let len = srtp.outbound.seal_rtp(&mut out[..end], written.header_len, written.payload_len, written.index);
        socket.push(self.transport.remote, Some(self.opened.address), &out[..len]);
        true
    }

    /// Goes on with ICE and DTLS; says whether they are done.
    pub(crate) fn connect(&mut self, now: Instant, socket: &mut Socket) -> bool {
        self.transport.handle_timeout(now);
        self.pass_on(socket);
        self.is_connected()
    }

    /// Every 50 ms: what is due of ICE and DTLS, feedback, and once a second reports.
    pub(crate) fn service(&mut self, wall_ns: u64, now: Instant, socket: &mut Socket, tally: &mut Tally) {
        self.transport.handle_timeout(now);
        self.pass_on(socket);
        let mut out = [0; MAX_RTCP];
        while let Some(len) = self.arrivals.write(&mut out[..MAX_RTCP - MAX_SRTCP_OVERHEAD]) {
            tally.feedbacks += 1;
            self.send_rtcp(&mut out, len, socket);
        }
        self.services = self.services.wrapping_add(1);
        if self.services.is_multiple_of(SERVICES_PER_REPORT) {
            self.report(wall_ns, socket, tally);
        }
        self.ask(wall_ns, socket, tally);
    }

    /// Whether there is something to send at once.
    pub(crate) fn speaks(&self) -> bool {
        self.misses || self.transport.speaks()
    }

    /// Sends what ICE and DTLS have to say.
    pub(crate) fn pass_on(&mut self, socket: &mut Socket) {
        while let Some(datagram) = self.transport.poll_transmit() {
            socket.push(self.transport.remote, Some(self.opened.address), &datagram);
        }
    }

    /// Asks for what is missing.
    pub(crate) fn ask(&mut self, wall_ns: u64, socket: &mut Socket, tally: &mut Tally) {
        if !std::mem::take(&mut self.misses) {
            return;
        }
        let mut out = [0; MAX_RTCP];
        for at in 0..self.receptions.len() {
            let lost = self.receptions[at].take_askable(wall_ns);
            self.misses |= self.receptions[at].is_missing_something();
            let media = self.receptions[at].ssrc;
            if let Some(len) = nack::write(self.sender, media, &lost, &mut out[..MAX_RTCP - MAX_SRTCP_OVERHEAD]) {
                tally.nacks += 1;
                self.send_rtcp(&mut out, len, socket);
            }
        }
    }

    fn report(&mut self, wall_ns: u64, socket: &mut Socket, tally: &mut Tally) {
        let blocks: ReportBlocks = self.receptions.iter_mut().take(31).map(|one| one.report(wall_ns)).collect();
        let (seconds, rest) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
        let ntp = NtpTime((seconds + NTP_OFFSET) << 32 | (rest << 32).div_euclid(1_000_000_000));
        let mut packets: Vec<RtcpPacket<'_>> = self
            .tracks
            .iter()
            .map(|track| {
                RtcpPacket::SenderReport(SenderReport {
                    sender: track.ssrc,
                    ntp,
                    timestamp: track.timestamp(),
                    packets: track.packets,
                    octets: track.octets,
                    reports: ReportBlocks::new(),
                })
            })
            .collect();
        if packets.is_empty() {
            packets.push(RtcpPacket::ReceiverReport(ReceiverReport { sender: self.sender, reports: blocks }));
        }
        for packet in packets {
            let mut out = [0; MAX_RTCP];
            let room = MAX_RTCP - MAX_SRTCP_OVERHEAD;
            let sender = match &packet {
                RtcpPacket::SenderReport(report) => report.sender,
                _ => self.sender,
            };
            let Some(first) = packet.write(&mut out[..room]) else { continue };
            let Some(second) = sdes::write(sender, "bench-load", &mut out[first..room]) else { continue };
            tally.reports += 1;
            self.send_rtcp(&mut out, first + second, socket);
        }
    }

    fn send_rtcp(&mut self, out: &mut [u8], len: usize, socket: &mut Socket) {
        let Some(srtp) = self.transport.outbound() else { return };
        let sealed = srtp.outbound.seal_rtcp(&mut out[..len + MAX_SRTCP_OVERHEAD], len);
        socket.push(self.transport.remote, Some(self.opened.address), &out[..sealed]);
    }

    /// Our address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.opened.address
    }
}

/// Takes a packet in; what was before it is a gap of its stream.
fn take(reception: &mut Reception, number: u16, timestamp: u32, at_ns: u64, gaps: &mut Gaps) -> Taken {
    let before_ns = reception.last_ns();
    let taken = reception.take(number, timestamp, at_ns);
    if taken == Taken::New {
        gaps.note(before_ns, at_ns);
    }
    taken
}

fn reception(
    receptions: &mut Vec<Reception>,
    ssrc: Ssrc,
    kind: MediaKind,
    sequence_number: u16,
    at_ns: u64,
) -> &mut Reception {
    let place = receptions.iter().position(|one| one.ssrc == ssrc).unwrap_or_else(|| {
        receptions.push(Reception::new(ssrc, kind, sequence_number, at_ns));
        receptions.len() - 1
    });
    &mut receptions[place]
}
