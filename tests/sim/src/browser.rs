//! A simulated browser: str0m in RTP mode, which is another implementation than ours of ICE, DTLS, SRTP, NACK and SDP, with
//! synthetic microphones and cameras before it and the oracle behind it.

mod sending;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use sfu_core::units::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::config::DtlsVersion;
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaKind, Mid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use self::sending::Sender;
pub use self::sending::Source;
use crate::decoder::Decoder;
use crate::media::Stamp;
use crate::oracle::{Arrival, Departure, Oracle, PictureNumbers};
use crate::remote::{Incoming, Outgoing};

/// How a browser is set up.
#[derive(Debug, Clone)]
pub struct BrowserConfig {
    /// Its own address, inside any translation.
    pub address: SocketAddr,
    /// Which DTLS it speaks.
    pub dtls: DtlsVersion,
    /// Whether it estimates its uplink, starting here; otherwise it sends what its sources make.
    pub uplink_estimate: Option<Bitrate>,
}

impl BrowserConfig {
    /// A browser that speaks DTLS 1.2 and sends without estimating.
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, dtls: DtlsVersion::Dtls12, uplink_estimate: None }
    }
}

/// A media section that a browser wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// To send sound.
    SendAudio,
    /// To send pictures in one encoding.
    SendVideo,
    /// To send pictures in several encodings, lowest quality first.
    SendSimulcast(&'static [&'static str]),
    /// To receive sound.
    ReceiveAudio,
    /// To receive pictures.
    ReceiveVideo,
    /// A data channel with this label.
    Channel(&'static str),
}

/// A message that came on a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The channel's label.
    pub label: String,
    /// What.
    pub payload: Vec<u8>,
    /// Whether it is binary rather than text.
    pub binary: bool,
}

/// One browser with one peer connection.
#[derive(Debug)]
pub struct Browser {
    /// Judges what it received.
    pub oracle: Oracle,
    /// Messages that came on data channels.
    pub messages: Vec<Message>,
    /// Keyframes it was asked for.
    pub keyframe_requests: u64,
    /// When media could first flow.
    pub connected_at: Option<Instant>,
    /// What ICE says now.
    pub ice: IceConnectionState,
    /// Whether the other end closed DTLS.
    pub closed: bool,
    rtc: Rtc,
    address: SocketAddr,
    pending: Option<SdpPendingOffer>,
    senders: Vec<Sender>,
    channels: BTreeMap<String, ChannelId>,
    /// Of the pictures it receives, by SSRC.
    decoders: BTreeMap<u32, Decoder>,
    outgoing: VecDeque<Outgoing>,
    due: Option<Instant>,
    start: Instant,
}

impl Browser {
    /// A browser that has not connected yet. `now` is the start of its life; `start` that of the world.
    pub fn new(config: &BrowserConfig, start: Instant, now: Instant) -> Self {
        let builder = Rtc::builder()
            .set_crypto_provider(str0m::crypto::from_feature_flags().into())
            .set_rtp_mode(true)
            .set_dtls_version(config.dtls)
            .set_stats_interval(None);
        let builder = match config.uplink_estimate {
            Some(estimate) => builder.enable_bwe(Some(str0m::bwe::Bitrate::bps(estimate.as_bps()))),
            None => builder,
        };
        let mut rtc = builder.build(now);
        rtc.add_local_candidate(candidate(config.address));
        Self {
            oracle: Oracle::default(),
            messages: Vec::new(),
            keyframe_requests: 0,
            connected_at: None,
            ice: IceConnectionState::New,
            closed: false,
            rtc,
            address: config.address,
            pending: None,
            senders: Vec::new(),
            channels: BTreeMap::new(),
            decoders: BTreeMap::new(),
            outgoing: VecDeque::new(),
            due: Some(now),
            start,
        }
    }

    /// Offers these sections besides those it has; says the offer and the name of each new section.
    pub fn offer(&mut self, sections: &[Section]) -> (String, Vec<Mid>) {
        let mut change = self.rtc.sdp_api();
        let mut mids = Vec::new();
        for &section in sections {
            let (kind, direction, rids): (_, _, &[&str]) = match section {
                Section::SendAudio => (MediaKind::Audio, Direction::SendOnly, &[]),
                Section::SendVideo => (MediaKind::Video, Direction::SendOnly, &[]),
                Section::SendSimulcast(rids) => (MediaKind::Video, Direction::SendOnly, rids),
                Section::ReceiveAudio => (MediaKind::Audio, Direction::RecvOnly, &[]),
                Section::ReceiveVideo => (MediaKind::Video, Direction::RecvOnly, &[]),
                Section::Channel(label) => {
                    let channel = change.add_channel(label.to_owned());
                    self.channels.insert(label.to_owned(), channel);
                    continue;
                }
            };
            mids.push(change.add_media(kind, direction, None, None, simulcast(rids)));
        }
        let (offer, pending) = change.apply().expect("there is something to offer");
        self.pending = Some(pending);
        self.due = None;
        (offer.to_sdp_string(), mids)
    }

    /// Offers to restart ICE (RFC 8445 §9).
    pub fn offer_restart(&mut self) -> String {
        let mut change = self.rtc.sdp_api();
        change.ice_restart(true);
        let (offer, pending) = change.apply().expect("a restart is a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// Takes the answer to its offer.
    ///
    /// # Panics
    /// When the answer does not fit the offer: the server under test made it.
    pub fn accept(&mut self, answer: &str, now: Instant) {
        let answer = SdpAnswer::from_sdp_string(answer).expect("an answer");
        let pending = self.pending.take().expect("an offer was made");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer to this offer");
        self.run(None, now);
    }

    /// Answers the server's offer.
    ///
    /// # Panics
    /// When the offer cannot be answered: the server under test made it.
    pub fn answer(&mut self, offer: &str, now: Instant) -> String {
        let offer = SdpOffer::from_sdp_string(offer).expect("an offer");
        let answer = self.rtc.sdp_api().accept_offer(offer).expect("an acceptable offer");
        self.run(None, now);
        answer.to_sdp_string()
    }

    /// Sends `source` in section `mid`, as encoding `rid` of it.
    pub fn publish(&mut self, mid: Mid, rid: Option<&str>, source: impl Into<Source>) {
        self.senders.push(Sender::new(mid, rid.map(Into::into), source.into()));
        self.due = self.next_due(self.due);
    }

    /// What it sends, in the order it was published.
    pub fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.senders.iter_mut().map(|sender| &mut sender.source)
    }

    /// Packets sent so far of the track numbered `source`.
    pub fn sent_packets(&self, source: u32) -> u64 {
        self.senders.iter().map(|sender| sender.sent(source)).sum()
    }

    /// Whether media can flow.
    pub const fn is_connected(&self) -> bool {
        self.connected_at.is_some()
    }

    /// The names of all its media sections that carry `kind` towards it.
    pub fn receiving_mids(&self, mids: &[Mid], kind: MediaKind) -> Vec<Mid> {
        let receiving = |mid: &&Mid| {
            let media = self.rtc.media(**mid);
            media.is_some_and(|media| media.kind() == kind && media.direction() == Direction::RecvOnly)
        };
        mids.iter().filter(receiving).copied().collect()
    }

    /// Asks for a keyframe in section `mid`.
    pub fn request_keyframe(&mut self, mid: Mid, now: Instant) {
        let mut direct = self.rtc.direct_api();
        if let Some(stream) = direct.stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.run(None, now);
    }

    /// Sends a message on the data channel with this label; false while it is not open or its buffer is full.
    pub fn send_message(&mut self, label: &str, binary: bool, payload: &[u8], now: Instant) -> bool {
        let channel = self.channels.get(label).and_then(|&id| self.rtc.channel(id));
        let sent = channel.is_some_and(|mut channel| channel.write(binary, payload).unwrap_or(false));
        self.run(None, now);
        sent
    }

    /// Goes on from another address of its own, as a telephone does that leaves its Wi-Fi; the old one is gone.
    pub fn move_to(&mut self, address: SocketAddr, now: Instant) {
        let old = candidate(self.address);
        self.rtc.add_local_candidate(candidate(address));
        self.rtc.direct_api().invalidate_candidate(&old);
        self.address = address;
        self.run(None, now);
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Instant) {
        self.rtc.close().expect("it is open");
        self.run(None, now);
    }

    /// Takes a datagram.
    pub fn receive(&mut self, incoming: Incoming<'_>, now: Instant) {
        let Ok(contents) = incoming.bytes.try_into() else { return };
        let (proto, source) = (Protocol::Udp, incoming.source);
        let receive = Receive { proto, source, destination: incoming.destination, contents };
        // What does not belong to it is no reason to fail: an attacker may have sent it.
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
        self.run(Some(incoming.departure), now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.rtc.handle_input(Input::Timeout(now)).is_err() {
            self.closed = true;
        }
        self.run(None, now);
        self.request_keyframes(now);
        for index in 0..self.senders.len() {
            while self.senders[index].write_due(&mut self.rtc, self.connected_at.is_some(), now) {
                self.run(None, now);
            }
        }
    }

    /// When something is due.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// Takes everything out of str0m that it has to say.
    fn run(&mut self, departure: Option<Departure>, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(due)) => {
                    // A deadline that has passed would stop the world.
                    let due = due.max(now + std::time::Duration::from_micros(1));
                    self.due = self.next_due(self.rtc.is_alive().then_some(due));
                    return;
                }
                Ok(Output::Transmit(transmit)) => self.outgoing.push_back(Outgoing {
                    source: transmit.source,
                    destination: transmit.destination,
                    bytes: transmit.contents.to_vec(),
                }),
                Ok(Output::Event(event)) => self.on_event(event, departure, now),
                Err(_) => {
                    (self.closed, self.due) = (true, None);
                    return;
                }
            }
        }
    }

    fn on_event(&mut self, event: Event, departure: Option<Departure>, now: Instant) {
        match event {
            Event::Connected => self.connected_at = Some(now),
            Event::IceConnectionStateChange(state) => self.ice = state,
            Event::Closed => self.closed = true,
            Event::RtpPacket(packet) => {
                let departure = departure.expect("media comes with a datagram");
                let ssrc = *packet.header.ssrc;
                let arrival = arrival(&packet, departure, now);
                if let Some(stamp) = arrival.stamp.filter(|_| packet.time.frequency() == Frequency::NINETY_KHZ) {
                    self.decoders.entry(ssrc).or_default().on_packet(stamp, arrival.timestamp, now);
                }
                self.oracle.record(ssrc, arrival);
            }
            Event::KeyframeRequest(request) => {
                self.keyframe_requests += 1;
                for sender in &mut self.senders {
                    sender.on_keyframe_request(request.mid, request.rid);
                }
            }
            Event::ChannelOpen(id, label) => {
                self.channels.insert(label, id);
            }
            Event::ChannelData(message) => {
                let named = self.channels.iter().find(|(_, id)| **id == message.id);
                let label = named.map(|(label, _)| label.clone()).unwrap_or_default();
                self.messages.push(Message { label, payload: message.data, binary: message.binary });
            }
            Event::ChannelClose(id) => self.channels.retain(|_, open| *open != id),
            _ => {}
        }
    }

    fn next_due(&self, rtc: Option<Instant>) -> Option<Instant> {
        let sources = self.senders.iter().map(|sender| sender.source.poll_timeout());
        let decoders = self.decoders.values().filter_map(Decoder::poll_timeout);
        // Who is gone asks for nothing.
        sources.chain(decoders.filter(|_| rtc.is_some())).chain(rtc).min()
    }

    /// Asks for the keyframes without which its decoders cannot go on: str0m leaves that to who decodes.
    fn request_keyframes(&mut self, now: Instant) {
        let stuck =
            self.decoders.iter_mut().filter_map(|(&ssrc, decoder)| decoder.requests_keyframe(now).then_some(ssrc));
        let stuck: Vec<u32> = stuck.collect();
        if stuck.is_empty() {
            return;
        }
        for ssrc in stuck {
            if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        self.run(None, now);
    }

    /// When the world began.
    pub const fn start(&self) -> Instant {
        self.start
    }
}

fn candidate(address: SocketAddr) -> Candidate {
    Candidate::host(address, "udp").expect("an address a host can have")
}

fn simulcast(rids: &[&str]) -> Option<Simulcast> {
    if rids.is_empty() {
        return None;
    }
    let mut simulcast = Simulcast::new();
    for rid in rids {
        simulcast.add_send_layer(SimulcastLayer::new(rid));
    }
    Some(simulcast)
}

fn arrival(packet: &RtpPacket, departure: Departure, now: Instant) -> Arrival {
    Arrival {
        at: now,
        departure,
        sequence: *packet.seq_no,
        timestamp: packet.time.numer(),
        marker: packet.header.marker,
        payload_type: *packet.header.payload_type,
        picture: PictureNumbers::read(&packet.payload),
        stamp: Stamp::read(&packet.payload),
    }
}
