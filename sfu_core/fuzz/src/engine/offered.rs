//! Offers applied to what is live: text that claims to be an offer is answered, and what was agreed on is applied to a
//! participant who is connected and to one who is about to connect; then packets flow.

use sfu_core::engine::command::{Command, Reply, TrackSource};
use sfu_core::ids::{ParticipantId, PeerId, Ssrc};
use sfu_core::sdp::{self, AnswerPlan, Answered, MediaPolicy, SendPlan};
use sfu_core::session::{Fingerprint, LocalTransport, MediaKind, NegotiatedSession};
use sfu_core::stats::EngineStats;

use super::{MAX_STEPS, World, setup};
use crate::bytes::Choices;

/// Longest offer; a browser's with simulcast has 6 KiB.
const MAX_OFFER: usize = 7 << 10;
/// Packets in each section that the hostile participant agreed to send in.
const PACKETS: u16 = 3;

/// Input: an offer, then steps as of the target `engine`.
pub fn sdp_session(input: &[u8]) {
    run(input);
}

pub(super) fn run(input: &[u8]) -> Option<EngineStats> {
    let mut choices = Choices(input);
    let offer = std::str::from_utf8(choices.chunk(MAX_OFFER)).ok()?;
    let mut world = World::new();
    let session = world.negotiate(offer)?;
    world.turn();
    world.use_all(&session);
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
        world.turn();
    }
    // The same once more is no change, for those who are there and for those who come.
    world.negotiate(offer)?;
    world.turn();
    Some(world.finish())
}

impl World {
    /// Answers the offer for both, and applies what was agreed on; `None` when it cannot be answered.
    fn negotiate(&mut self, offer: &str) -> Option<NegotiatedSession> {
        let local = LocalTransport {
            ufrag: "ufrag".to_owned(),
            pwd: "a-password-of-22-chars".to_owned(),
            fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![7; 32] },
            candidates: vec![setup::address(0)],
            ssrc_base: setup::HOSTILE_SSRCS,
        };
        let before = Some(Box::new(setup::hostile_session()));
        let Answered { session, .. } = sdp::answer(offer, &plan(local, before)).ok()?;
        let live = self.engine.command(connect(self.hostile.id, &session), self.now);
        assert_eq!(live, Ok(Reply::Done), "what was agreed on can be applied to who is connected");
        self.join_and_leave(offer);
        Some(session)
    }

    /// Somebody comes with the same offer, restarts ICE and goes. Who is new must want something; who is there need not.
    fn join_and_leave(&mut self, offer: &str) {
        let (room, participant) = (self.room, ParticipantId(9));
        let created = self.engine.command(Command::CreatePeer { room, participant }, self.now);
        let Ok(Reply::Peer { peer, local }) = created else { panic!("no peer: {created:?}") };
        if let Ok(Answered { session, .. }) = sdp::answer(offer, &plan(local, None)) {
            for _ in 0..2 {
                let connected = self.engine.command(connect(peer, &session), self.now);
                assert_eq!(connected, Ok(Reply::Done), "what was agreed on can be applied to who comes");
                let restarted = self.engine.command(Command::RestartIce { peer }, self.now);
                assert!(matches!(restarted, Ok(Reply::Peer { .. })), "{restarted:?}");
                self.turn();
            }
        }
        assert_eq!(self.engine.command(Command::RemovePeer { peer }, self.now), Ok(Reply::Done));
    }

    /// Publishes and receives wherever that was agreed on; refusals are fine. Then everybody sends.
    fn use_all(&mut self, session: &NegotiatedSession) {
        let peer = self.hostile.id;
        for section in &session.receive {
            let (mid, source) = (section.mid, TrackSource::Camera);
            let _ = self.engine.command(Command::Publish { peer, mid, source, encrypted: false }, self.now);
        }
        for section in &session.send {
            let track = self.honest[usize::from(section.kind == MediaKind::Video)];
            let _ = self.engine.command(Command::Subscribe { peer, mid: section.mid, track }, self.now);
        }
        for number in 0..PACKETS {
            for section in &session.receive {
                let announced = section.encodings.iter().filter_map(|encoding| encoding.ssrc);
                for ssrc in announced.chain([Ssrc(0x7000)]) {
                    let numbers = section.payload_types.iter().flat_map(|payload| [Some(payload.number), payload.rtx]);
                    for payload_type in numbers.flatten() {
                        let sealed = self.hostile.packet(payload_type & 0x7f, ssrc, number, &[0x90; 60]);
                        self.ingest(sealed, true);
                    }
                }
            }
            self.publish_video();
            self.turn();
        }
    }
}

fn connect(peer: PeerId, session: &NegotiatedSession) -> Command {
    Command::Connect { peer, session: Box::new(session.clone()) }
}

fn plan(local: LocalTransport, previous: Option<Box<NegotiatedSession>>) -> AnswerPlan {
    let send = |(kind, name): (MediaKind, &str)| SendPlan {
        kind,
        publisher: ParticipantId(2),
        stream: "s".to_owned(),
        track: name.to_owned(),
        mid: None,
    };
    let send = [(MediaKind::Audio, "pa"), (MediaKind::Video, "pv")].map(send).to_vec();
    AnswerPlan { local, policy: MediaPolicy::default(), send, data: true, previous }
}
