use super::*;
use crate::engine::command::{Command, Reply};
use crate::engine::transmit::{Datagram, Sink, TransmitBatch};
use crate::engine::{Engine, EngineConfig};
use crate::ids::{ParticipantId, PeerId};
use crate::peer::TransportConfig;
use crate::sdp;
use crate::session::{MediaKind, TrackSource};
use crate::units::{Bitrate, Epoch, NtpTime};

const SERVER: &str = "192.0.2.1:7882";
const CALLER: &str = "198.51.100.7:40000";
/// One way.
const DELAY: Duration = Duration::from_millis(15);

type Passes = fn(DatagramKind) -> bool;

/// An engine that was called, and a network in virtual time.
struct Bench {
    now: Instant,
    engine: Engine,
    caller: EchoCaller,
    session: NegotiatedSession,
    to_engine: VecDeque<(Instant, Vec<u8>)>,
    to_caller: VecDeque<(Instant, Vec<u8>)>,
    /// What the network lets pass.
    passes: Passes,
}

struct Tap<'a>(&'a mut VecDeque<(Instant, Vec<u8>)>, Instant);

impl Sink for Tap<'_> {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        for group in &batch.groups {
            let datagrams = batch.bytes[group.range.clone()].chunks(group.segment_size);
            self.0.extend(datagrams.map(|datagram| (self.1 + DELAY, datagram.to_vec())));
        }
        batch.groups.len()
    }

    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Bench {
    fn new() -> Self {
        Self::speaking(DtlsVersions::Only12)
    }

    #[allow(clippy::disallowed_methods)]
    fn speaking(versions: DtlsVersions) -> Self {
        let now = Instant::now();
        let identity = Identity::generate(versions).expect("a certificate");
        let transport =
            TransportConfig { identity, candidates: vec![address(SERVER)], check_signalled: false, aead_only: false };
        let epoch = Epoch { instant: now, ntp: NtpTime(1 << 40) };
        let config = EngineConfig { transport, epoch, seed: [7; 32], initial_bitrate: Bitrate::kbps(2_000) };
        let mut engine = Engine::new(config, now);
        let caller = EchoCaller::new(versions).expect("randomness");
        let session = negotiate(&mut engine, &caller, now);
        let (to_engine, to_caller) = (VecDeque::new(), VecDeque::new());
        Self { now, engine, caller, session, to_engine, to_caller, passes: |_| true }
    }

    /// Runs the call to its end.
    fn run(&mut self) -> EchoOutcome {
        let mut call = Call::new(&self.caller, &self.session, address(CALLER), address(SERVER), self.now);
        let deadline = self.now + MAX_ECHO_CALL;
        loop {
            call.handle_timeout(self.now);
            if let Some(outcome) = call.outcome(self.now >= deadline) {
                return outcome;
            }
            let passes = self.passes;
            self.to_engine.extend(
                std::iter::from_fn(|| call.poll_transmit())
                    .filter(|datagram| passes(classify(datagram)))
                    .map(|datagram| (self.now + DELAY, datagram)),
            );
            while let Some((_, mut datagram)) = self.to_engine.pop_front_if(|(at, _)| *at <= self.now) {
                let (source, destination) = (address(CALLER), address(SERVER).ip());
                self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut datagram }], self.now);
            }
            self.engine.tick(self.now);
            self.engine.flush(&mut Tap(&mut self.to_caller, self.now), self.now);
            while let Some((_, mut datagram)) = self.to_caller.pop_front_if(|(at, _)| *at <= self.now) {
                call.on_datagram(&mut datagram, self.now);
            }
            self.now += Duration::from_millis(1);
        }
    }
}

/// Offer, answer and everything that lets a participant hear itself.
fn negotiate(engine: &mut Engine, caller: &EchoCaller, now: Instant) -> NegotiatedSession {
    let policy = sdp::MediaPolicy { audio: vec![crate::session::Codec::Opus], ..sdp::MediaPolicy::default() };
    let send = sdp::SendPlan {
        kind: MediaKind::Audio,
        publisher: ParticipantId(0),
        stream: "echo".into(),
        track: "voice".into(),
        mid: None,
    };
    let section = sdp::OfferSection::Media { kind: MediaKind::Audio, send: Some(send), receive: true, generation: 0 };
    let plan =
        sdp::OfferPlan { local: caller.local().clone(), policy: policy.clone(), sections: vec![section], version: 1 };
    let offered = sdp::offer(&plan).expect("an offer");
    let Ok(Reply::Room { room }) = engine.command(Command::CreateRoom, now) else { panic!("a room") };
    let create = Command::CreatePeer { room, participant: ParticipantId(1) };
    let Ok(Reply::Peer { peer, local }) = engine.command(create, now) else { panic!("a peer") };
    let plan = sdp::AnswerPlan { local, policy, send: vec![], data: false, previous: None };
    let answered = sdp::answer(&offered.sdp, &plan).expect("an answer");
    let mid = answered.session.receive[0].mid;
    engine.command(Command::Connect { peer, session: Box::new(answered.session) }, now).expect("a session");
    let publish = Command::Publish { peer, mid, source: TrackSource::Microphone, encrypted: false };
    let Ok(Reply::Track { track }) = engine.command(publish, now) else { panic!("a track") };
    engine.command(Command::Subscribe { peer, mid, track }, now).expect("a subscription");
    engine.command(Command::Allow { track, subscriber: peer, echo: true }, now).expect("an echo edge");
    sdp::accept(&offered.pending, &answered.sdp).expect("an answer to our offer")
}

#[test]
fn what_is_said_to_an_engine_comes_back_over_its_echo_edge() {
    let outcome = Bench::new().run();
    let EchoOutcome::Echoed { round_trip_us, srtp_profile, dtls_version } = outcome else { panic!("{outcome:?}") };
    assert!((30_000..33_000).contains(&round_trip_us), "{round_trip_us}");
    assert_eq!((srtp_profile.as_str(), dtls_version.as_str()), ("SRTP_AEAD_AES_256_GCM", "1.2"));
}

#[test]
fn a_call_is_made_with_the_version_of_dtls_that_is_spoken() {
    let outcome = Bench::speaking(DtlsVersions::UpTo13).run();
    let EchoOutcome::Echoed { dtls_version, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(dtls_version, "1.3");
}

#[test]
fn the_step_that_fails_is_named() {
    let cases: [(Passes, EchoOutcome); 3] = [
        (|_| false, EchoOutcome::NoAnswer),
        (|kind| kind == DatagramKind::Stun, EchoOutcome::NoHandshake),
        (|kind| kind != DatagramKind::Rtp, EchoOutcome::NoMedia),
    ];
    for (passes, expected) in cases {
        let mut bench = Bench::new();
        let begun = bench.now;
        bench.passes = passes;
        assert_eq!(bench.run(), expected);
        assert_eq!(bench.now - begun, MAX_ECHO_CALL, "there was hope until the end");
    }
}

#[test]
fn an_engine_with_another_certificate_than_announced_is_told_apart() {
    let mut bench = Bench::new();
    let begun = bench.now;
    bench.session.remote.fingerprints[0].value[0] ^= 1;
    assert_eq!(bench.run(), EchoOutcome::WrongCertificate);
    assert!(bench.now - begun < MAX_ECHO_CALL, "that is clear before the time is up");
}
