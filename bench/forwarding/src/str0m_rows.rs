//! The same load through str0m 0.25: the server's half of 51 connections forwards RTP. Only what the server's halves do is
//! timed; the remotes' halves are whole str0m instances too, so that all feedback is real.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::clock::Clock;
use sim::random::Random;
use str0m::bwe::Bitrate;
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::cpu::SpanClock;
use crate::gcm128;
use crate::shape::{DELAY, FRAME, LOSS, PACKETS_PER_FRAME, PAYLOAD, SAMPLE, STEP, SUBSCRIBERS, WARM_UP, vp8_payload};

/// Connecting takes well under a second.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Enough that the pacer never holds anything back: the load is 1.4 Mbit/s.
const ESTIMATE: Bitrate = Bitrate::mbps(5);
const FIRST_SSRC: u32 = 1_000;
const FIRST_RTX_SSRC: u32 = 2_000;
/// The connection on which media comes in; the others are subscribers.
const PUBLISHER: usize = 0;

/// A datagram under way.
struct Passing {
    arrives: Instant,
    connection: usize,
    bytes: Vec<u8>,
}

/// One half of a connection.
struct Half {
    rtc: Rtc,
    due: Instant,
    local: SocketAddr,
    remote: SocketAddr,
}

/// 51 connections and the time between them.
pub(crate) struct Str0m {
    servers: Vec<Half>,
    remotes: Vec<Half>,
    to_servers: VecDeque<Passing>,
    to_remotes: VecDeque<Passing>,
    tracks: u32,
    pt: Pt,
    frame: u32,
    next_frame: Instant,
    received: u64,
    connected: usize,
    random: Random,
    clock: Clock,
    spans: SpanClock,
}

impl Str0m {
    /// Connects everybody, with this many tracks from the publisher to every subscriber, and lets media flow for a while.
    pub(crate) fn warmed_up(tracks: u32) -> Self {
        let clock = Clock::new();
        let halves = |server: bool| (0..=SUBSCRIBERS).map(move |index| half(index, server, clock.now()));
        let (mut servers, mut remotes): (Vec<Half>, Vec<Half>) = (halves(true).collect(), halves(false).collect());
        for (server, remote) in servers.iter_mut().zip(&mut remotes) {
            introduce(&mut server.rtc, &mut remote.rtc);
        }
        for (index, (server, remote)) in servers.iter_mut().zip(&mut remotes).enumerate() {
            let (sender, receiver) = if index == PUBLISHER { (remote, server) } else { (server, remote) };
            declare(&mut sender.rtc, &mut receiver.rtc, tracks);
        }
        let vp8 = servers[PUBLISHER].rtc.codec_config().find(|params| params.spec().codec == Codec::Vp8);
        let pt = vp8.expect("VP8 is on by default").pt();
        let mut this = Self {
            servers,
            remotes,
            to_servers: VecDeque::new(),
            to_remotes: VecDeque::new(),
            tracks,
            pt,
            frame: 0,
            next_frame: clock.now() + CONNECT_WITHIN,
            received: 0,
            connected: 0,
            random: Random::new(u64::from(tracks)),
            clock,
            spans: SpanClock::calibrated(),
        };
        this.advance(CONNECT_WITHIN + WARM_UP);
        assert_eq!(this.connected, 2 * (SUBSCRIBERS + 1), "everybody connects");
        this
    }

    /// Nanoseconds of the server's CPU per packet that arrived at a subscriber.
    pub(crate) fn run(&mut self) -> f64 {
        (self.received, _) = (0, self.spans.take_ns());
        self.advance(SAMPLE);
        let expected = SAMPLE.as_nanos() / FRAME.as_nanos() * u128::from(PACKETS_PER_FRAME) * SUBSCRIBERS as u128;
        assert!(u128::from(self.received) * 100 > expected * 98, "{} of {expected} arrived", self.received);
        self.spans.take_ns() as f64 / self.received as f64
    }

    fn advance(&mut self, span: Duration) {
        let until = self.clock.now() + span;
        while self.clock.now() < until {
            self.clock.advance_to(self.clock.now() + STEP);
            self.step_remotes();
            self.spans.start();
            self.step_servers();
            self.spans.stop();
        }
    }

    fn step_servers(&mut self) {
        let now = self.clock.now();
        while let Some(passing) = take_arrived(&mut self.to_servers, now) {
            let media =
                self.servers[passing.connection].receive(&passing, &mut self.to_remotes, &mut self.connected, now);
            for packet in media {
                self.forward(&packet, now);
            }
        }
        for index in 0..self.servers.len() {
            let server = &mut self.servers[index];
            while server.due <= now {
                server.handle_timeout(index, &mut self.to_remotes, &mut self.connected, now);
            }
        }
    }

    fn forward(&mut self, packet: &RtpPacket, now: Instant) {
        for (index, subscriber) in self.servers.iter_mut().enumerate() {
            if index == PUBLISHER {
                continue;
            }
            let mut direct = subscriber.rtc.direct_api();
            let stream = direct.stream_tx(&packet.header.ssrc).expect("the track was declared");
            let header = &packet.header;
            let write = RtpWrite::new(self.pt, packet.seq_no, header.timestamp, now, packet.payload.clone());
            stream.write_rtp(write.marker(header.marker).nackable(true));
            subscriber.drain(index, &mut self.to_remotes, &mut self.connected, now);
            while subscriber.due <= now {
                subscriber.handle_timeout(index, &mut self.to_remotes, &mut self.connected, now);
            }
        }
    }

    fn step_remotes(&mut self) {
        let now = self.clock.now();
        while let Some(passing) = take_arrived(&mut self.to_remotes, now) {
            let is_rtp = matches!(passing.bytes[..], [0x80..=0xbf, second, ..] if !(192..=223).contains(&second));
            if is_rtp && self.random.chance(LOSS) {
                continue;
            }
            let remote = &mut self.remotes[passing.connection];
            let media = remote.receive(&passing, &mut self.to_servers, &mut self.connected, now);
            self.received += media.iter().filter(|packet| packet.payload.len() == PAYLOAD).count() as u64;
        }
        self.publish(now);
        for (index, remote) in self.remotes.iter_mut().enumerate() {
            while remote.due <= now {
                remote.handle_timeout(index, &mut self.to_servers, &mut self.connected, now);
            }
        }
    }

    /// Sends the frame that is due; the tracks take turns.
    fn publish(&mut self, now: Instant) {
        if self.next_frame > now {
            return;
        }
        let (track, picture) = (self.frame % self.tracks, self.frame / self.tracks);
        for index in 0..PACKETS_PER_FRAME {
            let payload = vp8_payload(picture as u16 & 0x7fff, index, picture == 0);
            let sequence = 1_000 + u64::from(picture) * u64::from(PACKETS_PER_FRAME) + u64::from(index);
            let timestamp = self.frame.wrapping_mul(3_000);
            let publisher = &mut self.remotes[PUBLISHER];
            let mut direct = publisher.rtc.direct_api();
            let stream = direct.stream_tx(&Ssrc::from(FIRST_SSRC + track)).expect("the track was declared");
            let write = RtpWrite::new(self.pt, sequence.into(), timestamp, now, payload);
            stream.write_rtp(write.marker(index + 1 == PACKETS_PER_FRAME).nackable(true));
            publisher.drain(PUBLISHER, &mut self.to_servers, &mut self.connected, now);
        }
        self.frame += 1;
        self.next_frame += FRAME;
    }
}

impl Half {
    fn receive(
        &mut self,
        passing: &Passing,
        out: &mut VecDeque<Passing>,
        connected: &mut usize,
        now: Instant,
    ) -> Vec<RtpPacket> {
        let Ok(contents) = passing.bytes.as_slice().try_into() else { return Vec::new() };
        let receive = Receive { proto: Protocol::Udp, source: self.remote, destination: self.local, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).expect("str0m talks to str0m");
        self.drain(passing.connection, out, connected, now)
    }

    fn handle_timeout(&mut self, index: usize, out: &mut VecDeque<Passing>, connected: &mut usize, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).expect("time passes");
        self.drain(index, out, connected, now);
    }

    /// Takes out everything it has to say; returns the media it received.
    fn drain(
        &mut self,
        index: usize,
        out: &mut VecDeque<Passing>,
        connected: &mut usize,
        now: Instant,
    ) -> Vec<RtpPacket> {
        let mut media = Vec::new();
        loop {
            match self.rtc.poll_output().expect("str0m talks to str0m") {
                Output::Timeout(due) => {
                    self.due = due;
                    return media;
                }
                Output::Transmit(transmit) => {
                    out.push_back(Passing { arrives: now + DELAY, connection: index, bytes: transmit.contents.into() });
                }
                Output::Event(Event::RtpPacket(packet)) => media.push(packet),
                Output::Event(Event::Connected) => *connected += 1,
                Output::Event(_) => {}
            }
        }
    }
}

fn take_arrived(queue: &mut VecDeque<Passing>, now: Instant) -> Option<Passing> {
    queue.front().is_some_and(|passing| passing.arrives <= now).then(|| queue.pop_front())?
}

fn half(index: usize, server: bool, now: Instant) -> Half {
    let end = |host: [u8; 4]| SocketAddr::from((host, 10_000 + index as u16));
    let (here, there) = (end([192, 0, 2, 1]), end([198, 51, 100, 1]));
    let (local, remote) = if server { (here, there) } else { (there, here) };
    let mut builder = Rtc::builder().set_crypto_provider(gcm128::provider()).set_rtp_mode(true);
    if server {
        builder = builder.enable_bwe(Some(ESTIMATE));
    }
    let mut rtc = builder.build(now);
    rtc.add_local_candidate(Candidate::host(local, "udp").expect("an address"));
    rtc.add_remote_candidate(Candidate::host(remote, "udp").expect("an address"));
    if server {
        rtc.bwe().set_bitrate(Bitrate::ZERO, ESTIMATE);
    }
    Half { rtc, due: now, local, remote }
}

/// What signalling would carry.
fn introduce(server: &mut Rtc, remote: &mut Rtc) {
    let [server_half, remote_half] = [&mut *server, &mut *remote].map(|rtc| {
        let direct = rtc.direct_api();
        (direct.local_ice_credentials(), direct.local_dtls_fingerprint().clone())
    });
    for (rtc, (credentials, fingerprint), active) in [(server, remote_half, false), (remote, server_half, true)] {
        let mut direct = rtc.direct_api();
        direct.set_remote_ice_credentials(credentials);
        direct.set_remote_fingerprint(fingerprint);
        direct.set_ice_controlling(active);
        direct.start_dtls(active).expect("a fresh connection");
    }
}

/// Lets the tracks flow from one end to the other.
fn declare(sender: &mut Rtc, receiver: &mut Rtc, tracks: u32) {
    receiver.direct_api().enable_twcc_feedback();
    for track in 0..tracks {
        let mid: Mid = format!("v{track}").as_str().into();
        let (ssrc, rtx) = (Ssrc::from(FIRST_SSRC + track), Some(Ssrc::from(FIRST_RTX_SSRC + track)));
        let mut direct = sender.direct_api();
        direct.declare_media(mid, MediaKind::Video);
        direct.declare_stream_tx(ssrc, rtx, mid, None);
        let mut direct = receiver.direct_api();
        direct.declare_media(mid, MediaKind::Video);
        direct.expect_stream_rx(ssrc, rtx, mid, None);
    }
}
