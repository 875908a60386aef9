//! A test call over UDP to our own engine, for `pysfu doctor`: ICE in the controlling role (RFC 8445), the DTLS client (RFC
//! 5764), and sound that must come back over an echo edge. Engines never call: they wait to be called.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use serde::{Deserialize, Serialize};

use crate::demux::{DatagramKind, classify};
use crate::ids::Ssrc;
use crate::peer::SrtpPair;
use crate::peer::dtls::{Dtls, DtlsEvent, DtlsVersions, Identity};
use crate::peer::ice::AwsHmac;
use crate::peer::srtp::{MAX_SRTP_OVERHEAD, SrtpKeys, SrtpProfile};
use crate::rtp::header::{Header, Packet};
use crate::session::{DtlsRole, LocalTransport, NegotiatedSession};

/// Longest call.
pub const MAX_ECHO_CALL: Duration = Duration::from_secs(5);
/// Packets of sound that must come back; their median is the round trip, so that one hiccup does not count.
const ECHOES: usize = 9;
/// Packets of sound sent at most: more than go into [`MAX_ECHO_CALL`].
const MAX_PACKETS: usize = 256;
/// What Opus is sent in.
const PACKET_INTERVAL: Duration = Duration::from_millis(20);
/// The same in ticks of 48 kHz.
const PACKET_TICKS: u32 = 960;
/// Random bytes by which we know our own sound.
const TOKEN_LEN: usize = 16;
/// One stereo frame of 20 ms (RFC 6716 §3.1); what follows is no sound, and nobody decodes it.
const OPUS_HEAD: u8 = 0xfc;
/// Longest datagram read.
const MAX_DATAGRAM: usize = 2_048;
/// Longest wait for one datagram, so that the clock is looked at.
const MAX_WAIT: Duration = Duration::from_millis(50);

static HMAC: AwsHmac = AwsHmac;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EchoOutcome {
    /// Sound went there and came back.
    Echoed {
        /// How long that took.
        round_trip_us: u64,
        /// How it was protected.
        srtp_profile: String,
        /// `1.2` or `1.3`
        dtls_version: String,
    },
    /// There is no way to the address.
    Unreachable {
        /// What the kernel says.
        reason: String,
    },
    /// The host answers that nobody listens on the port.
    PortClosed,
    /// Nobody answered on UDP.
    NoAnswer,
    /// The addresses work, the DTLS handshake did not finish.
    NoHandshake,
    /// Somebody else answered: the certificate is not the one that the answer announced.
    WrongCertificate,
    /// The handshake is done, but of the sound nothing came back.
    NoMedia,
}

/// The end that calls, before it knows whom.
pub struct EchoCaller {
    identity: Identity,
    local: LocalTransport,
    token: [u8; TOKEN_LEN],
}

impl EchoCaller {
    /// Draws certificate, credentials and token. Speaks DTLS up to a version, as the browsers do that the engine is for.
    ///
    /// # Errors
    /// When the cryptographic library lacks something.
    #[allow(clippy::disallowed_methods)]
    pub fn new(versions: DtlsVersions) -> io::Result<Self> {
        let identity = Identity::generate(versions).map_err(io::Error::other)?;
        let (mut token, mut name, mut secret) = ([0; TOKEN_LEN], [0; 4], [0; 16]);
        for bytes in [&mut token[..], &mut name[..], &mut secret[..]] {
            aws_lc_rs::rand::fill(bytes).map_err(|_| io::Error::other("no randomness"))?;
        }
        let local = LocalTransport {
            ufrag: format!("{:08x}", u32::from_be_bytes(name)),
            pwd: format!("{:032x}", u128::from_be_bytes(secret)),
            fingerprint: identity.fingerprint(),
            candidates: Vec::new(),
            ssrc_base: 0x100,
        };
        Ok(Self { identity, local, token })
    }

    /// What the offer must say of this end.
    pub fn local(&self) -> &LocalTransport {
        &self.local
    }

    /// Calls `target`, which answered with `session`, for at most `limit`.
    #[allow(clippy::disallowed_methods)]
    pub fn call(&self, target: SocketAddr, session: &NegotiatedSession, limit: Duration) -> EchoOutcome {
        let unreachable = |error: io::Error| EchoOutcome::Unreachable { reason: error.to_string() };
        let (socket, local) = match connect(target) {
            Ok(connected) => connected,
            Err(error) => return unreachable(error),
        };
        let deadline = Instant::now() + limit.min(MAX_ECHO_CALL);
        let mut call = Call::new(self, session, local, target, Instant::now());
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            let now = Instant::now();
            call.handle_timeout(now);
            if let Some(outcome) = call.outcome(now >= deadline) {
                call.close(now);
                let _nobody_may_be_left = exchange(&socket, &mut call, None, &mut buffer);
                return outcome;
            }
            let due = call.poll_timeout().map_or(MAX_WAIT, |due| due.saturating_duration_since(now));
            match exchange(&socket, &mut call, Some(due.min(MAX_WAIT)), &mut buffer) {
                Ok(len) => call.on_datagram(&mut buffer[..len], Instant::now()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return EchoOutcome::PortClosed,
                Err(error) => return unreachable(error),
            }
        }
    }
}

/// A socket that hears `target` alone, and its address towards it.
fn connect(target: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let any = if target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// Sends what there is, then waits for one datagram, if at all.
fn exchange(socket: &UdpSocket, call: &mut Call, wait: Option<Duration>, buffer: &mut [u8]) -> io::Result<usize> {
    while let Some(datagram) = call.poll_transmit() {
        socket.send(&datagram)?;
    }
    let Some(wait) = wait else { return Ok(0) };
    socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
    socket.recv(buffer)
}

/// One call, without socket or clock.
struct Call {
    agent: IceAgent,
    dtls: Dtls,
    role: DtlsRole,
    srtp: Option<SrtpPair>,
    dtls_version: &'static str,
    local: SocketAddr,
    target: SocketAddr,
    /// Whether the target has answered a check.
    reached: bool,
    wrong_certificate: bool,
    voice: TestTone,
    transmits: VecDeque<Vec<u8>>,
}

impl Call {
    fn new(
        caller: &EchoCaller,
        session: &NegotiatedSession,
        local: SocketAddr,
        target: SocketAddr,
        now: Instant,
    ) -> Self {
        let creds = IceCreds { ufrag: caller.local.ufrag.clone(), pass: caller.local.pwd.clone() };
        let mut agent = IceAgent::with_hmac(creds, &HMAC);
        agent.set_controlling(true);
        let remote = &session.remote;
        agent.set_remote_credentials(IceCreds { ufrag: remote.ufrag.clone(), pass: remote.pwd.clone() });
        // An address that cannot be a candidate is one that does not answer.
        if let (Ok(own), Ok(theirs)) = (Candidate::host(local, Protocol::Udp), Candidate::host(target, Protocol::Udp)) {
            agent.add_local_candidate(own);
            agent.add_remote_candidate(theirs);
        }
        agent.handle_timeout(now);
        let payload_type = session.send.first().and_then(|send| send.payload_types.first());
        Self {
            agent,
            dtls: Dtls::new(caller.identity.clone(), remote.dtls_role, remote.fingerprints.clone()),
            role: remote.dtls_role,
            srtp: None,
            dtls_version: "1.2",
            local,
            target,
            reached: false,
            wrong_certificate: false,
            voice: TestTone {
                token: caller.token,
                ssrc: Ssrc(caller.local.ssrc_base),
                payload_type: payload_type.map_or(0, |payload_type| payload_type.number),
                sent: ArrayVec::new(),
                due: None,
                round_trips: ArrayVec::new(),
            },
            transmits: VecDeque::new(),
        }
    }

    fn on_datagram(&mut self, datagram: &mut [u8], now: Instant) {
        match classify(datagram) {
            DatagramKind::Stun => {
                let Ok(message) = StunMessage::parse(datagram) else { return };
                let (source, destination) = (self.target, self.local);
                self.agent.handle_packet(now, StunPacket { proto: Protocol::Udp, source, destination, message });
            }
            DatagramKind::Dtls => {
                self.dtls.on_datagram(datagram, now);
                while self.dtls.advance(now) {}
            }
            DatagramKind::Rtp => {
                let opened = self.srtp.as_mut().and_then(|srtp| srtp.inbound.unprotect_rtp(datagram).ok());
                if let Some(len) = opened {
                    self.voice.hear(&datagram[..len], now);
                }
            }
            DatagramKind::Rtcp | DatagramKind::Unknown => {}
        }
        self.handle_timeout(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            if matches!(event, IceAgentEvent::NominatedSend { .. }) && !std::mem::replace(&mut self.reached, true) {
                self.dtls.start(now);
            }
        }
        self.dtls.handle_timeout(now);
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected { profile, keys, version } => {
                    let keys = SrtpProfile::try_from(profile).ok().and_then(|profile| SrtpKeys::new(profile, &keys));
                    self.srtp = keys.map(|keys| SrtpPair::new(&keys, self.role));
                    self.dtls_version = version;
                    self.voice.due = Some(now);
                }
                DtlsEvent::WrongCertificate => self.wrong_certificate = true,
                DtlsEvent::Application(_) | DtlsEvent::Closed => {}
            }
        }
        if let Some(srtp) = self.srtp.as_mut().filter(|_| self.voice.due.is_some_and(|due| due <= now)) {
            self.transmits.extend(self.voice.speak(srtp, now));
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if let Some(transmit) = self.agent.poll_transmit() {
            return Some(transmit.contents.to_vec());
        }
        self.dtls.poll_transmit().or_else(|| self.transmits.pop_front())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let agent = self.agent.poll_timeout();
        [agent, self.dtls.poll_timeout(), self.voice.due].into_iter().flatten().min()
    }

    /// What came of it; before the time `is_up` only when that is clear already.
    fn outcome(&self, is_up: bool) -> Option<EchoOutcome> {
        if let (Some(round_trip), Some(srtp)) = (self.voice.round_trip(is_up), &self.srtp) {
            return Some(EchoOutcome::Echoed {
                round_trip_us: round_trip.as_micros() as u64,
                srtp_profile: srtp.profile.name().to_owned(),
                dtls_version: self.dtls_version.to_owned(),
            });
        }
        match (self.wrong_certificate, self.reached, &self.srtp) {
            (true, _, _) => Some(EchoOutcome::WrongCertificate),
            (_, false, _) => is_up.then_some(EchoOutcome::NoAnswer),
            (_, _, None) => is_up.then_some(EchoOutcome::NoHandshake),
            (_, _, Some(_)) => is_up.then_some(EchoOutcome::NoMedia),
        }
    }

    fn close(&mut self, now: Instant) {
        self.transmits.clear();
        self.dtls.close(now);
    }
}

/// The sound that goes there and back.
struct TestTone {
    token: [u8; TOKEN_LEN],
    ssrc: Ssrc,
    payload_type: u8,
    /// When each packet left; nothing once it is back.
    sent: ArrayVec<Option<Instant>, MAX_PACKETS>,
    due: Option<Instant>,
    round_trips: ArrayVec<Duration, ECHOES>,
}

impl TestTone {
    /// The next packet: the token, and the packet's number.
    fn speak(&mut self, srtp: &mut SrtpPair, now: Instant) -> Option<Vec<u8>> {
        let number = self.sent.len() as u16;
        self.due = Some(now + PACKET_INTERVAL).filter(|_| !self.sent.is_full());
        self.sent.try_push(Some(now)).ok()?;
        let header = Header {
            marker: number == 0,
            payload_type: self.payload_type,
            sequence_number: number,
            timestamp: u32::from(number) * PACKET_TICKS,
            ssrc: self.ssrc,
        };
        let mut packet = vec![0; Header::LEN];
        header.write(false, packet.first_chunk_mut()?);
        packet.push(OPUS_HEAD);
        packet.extend(self.token);
        packet.extend(number.to_be_bytes());
        let plain_len = packet.len() - Header::LEN;
        packet.resize(packet.len() + MAX_SRTP_OVERHEAD, 0);
        let len = srtp.outbound.seal_rtp(&mut packet, Header::LEN, plain_len, u64::from(number));
        packet.truncate(len);
        Some(packet)
    }

    fn hear(&mut self, packet: &[u8], now: Instant) {
        let Ok(packet) = Packet::parse(packet) else { return };
        let Some(rest) = packet.payload.strip_prefix(&[OPUS_HEAD]).and_then(|rest| rest.strip_prefix(&self.token))
        else {
            return;
        };
        let Some(number) = rest.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes))) else { return };
        if let Some(sent) = self.sent.get_mut(number).and_then(Option::take) {
            // More than are wanted change nothing.
            let _ = self.round_trips.try_push(now.saturating_duration_since(sent));
        }
    }

    /// The median, once enough came back; when the time `is_up` anything will do.
    fn round_trip(&self, is_up: bool) -> Option<Duration> {
        let mut sorted = self.round_trips.clone();
        sorted.sort_unstable();
        (is_up || sorted.is_full()).then(|| sorted.get(sorted.len() / 2).copied()).flatten()
    }
}

#[cfg(test)]
mod tests;
