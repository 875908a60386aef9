//! A whole engine with a hostile participant: it sends anything, sealed with its own keys, and asks for anything. Nobody else
//! may notice, nothing may leave that was not allowed, and nothing may panic.

mod bounds;
mod offered;
pub(crate) mod remote;
pub(crate) mod setup;

use std::time::{Duration, Instant};

use sfu_core::engine::Engine;
use sfu_core::engine::command::{Command, LayerLimit, Reply};
use sfu_core::engine::transmit::Datagram;
use sfu_core::ids::{RoomId, Ssrc, TrackId};
use sfu_core::rtcp::nack;
use sfu_core::session::MediaKind;
use sfu_core::stats::EngineStats;

pub use self::offered::sdp_session;
use self::remote::{Received, Remote, Wire};
pub(crate) use self::setup::{AV1, H264, MIDS, OPUS, PUBLISHED, RECEIVED, RED, RIDS, VP8};
use crate::bounds::Bounds;
use crate::bytes::Choices;

/// Most things that happen in one run.
const MAX_STEPS: usize = 48;
/// Longest datagram.
const MAX_DATAGRAM: usize = 1_500;
/// Packets by which the publisher shows at the end that it is still heard.
const LAST_WORDS: u8 = 5;
const TURN: Duration = Duration::from_millis(20);

/// A room of three: who attacks, who publishes to both others, who only receives.
struct World {
    engine: Engine,
    room: RoomId,
    bounds: Bounds,
    now: Instant,
    hostile: Remote,
    publisher: Remote,
    subscriber: Remote,
    /// What the hostile one publishes: sound and pictures.
    tracks: [Hostile; 2],
    /// What the publisher publishes: sound and pictures.
    honest: [TrackId; 2],
    next_packet: u16,
    wire: Wire,
    heard: Vec<Vec<u8>>,
}

/// A track of the hostile participant, and whether the subscriber may have it.
#[derive(Debug, Clone, Copy)]
struct Hostile {
    track: TrackId,
    allowed: bool,
    muted: bool,
    /// The subscriber's SSRCs for it.
    ssrcs: [Ssrc; 2],
}

/// Input: steps. RTP or RTCP of the hostile participant, sealed, and requests for what it got; datagrams in the
/// clear from its address or a stranger's;
/// time; commands of signalling about it, and what it negotiates anew.
pub fn engine(input: &[u8]) {
    run(input);
}

fn run(input: &[u8]) -> EngineStats {
    let mut choices = Choices(input);
    let mut world = World::new();
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
        world.turn();
    }
    world.finish()
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        match kind & 7 {
            0 => {
                let sealed = self.hostile.seal_rtp(choices.chunk(MAX_DATAGRAM));
                self.ingest(sealed, true);
            }
            1 => self.ask_again(choices.byte()),
            2 => {
                let sealed = self.hostile.seal_rtcp(choices.chunk(MAX_DATAGRAM));
                self.ingest(sealed, true);
            }
            3 => self.ingest(choices.chunk(MAX_DATAGRAM).to_vec(), true),
            4 => self.ingest(choices.chunk(MAX_DATAGRAM).to_vec(), false),
            5 => self.publish_video(),
            6 => self.wait(Duration::from_millis(u64::from(choices.byte()) * 4)),
            _ => self.command(kind >> 3, choices),
        }
    }

    /// Whatever happened, nobody else noticed.
    fn finish(mut self) -> EngineStats {
        self.assert_publisher_is_heard();
        let Ok(Reply::Stats { stats }) = self.engine.command(Command::Stats, self.now) else { panic!("no figures") };
        assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0));
        *stats
    }

    /// Hands one datagram to the engine, from the hostile participant or a stranger.
    fn ingest(&mut self, mut bytes: Vec<u8>, known: bool) {
        let source = if known { self.hostile.address } else { setup::address(99) };
        let destination = setup::address(0).ip();
        self.engine.ingest(&mut [Datagram { source, destination, bytes: &mut bytes }], self.now);
    }

    /// The hostile participant asks again for a picture it got.
    fn ask_again(&mut self, back: u8) {
        let lost = self.hostile.last_number.wrapping_sub(u16::from(back));
        let mut out = [0; 16];
        let len = nack::write(Ssrc(1), setup::RECEIVED[0], &[lost], &mut out).expect("room for one");
        let sealed = self.hostile.seal_rtcp(&out[..len]);
        self.ingest(sealed, true);
    }

    /// A keyframe of the publisher in one packet, so that there is something to ask for again.
    fn publish_video(&mut self) {
        let number = self.next_packet;
        let mut payload = vec![0x90, 0x80, 0x80 | (number >> 8) as u8, number as u8, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
        payload.resize(400, 1);
        self.publish(setup::VP8, setup::PUBLISHED[1], &payload);
    }

    fn publish(&mut self, payload_type: u8, ssrc: Ssrc, payload: &[u8]) {
        let number = self.next_packet;
        self.next_packet = number.wrapping_add(1);
        let mut bytes = self.publisher.packet(payload_type, ssrc, number, payload);
        let datagram =
            Datagram { source: self.publisher.address, destination: setup::address(0).ip(), bytes: &mut bytes };
        self.engine.ingest(&mut [datagram], self.now);
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = end.min(self.now + TURN);
            self.turn();
        }
    }

    /// What signalling may ask about the hostile participant; refusals are fine.
    fn command(&mut self, kind: u8, choices: &mut Choices<'_>) {
        let choice = choices.byte();
        let which = usize::from(choice & 1);
        let (hostile, subscriber) = (&mut self.tracks[which], self.subscriber.id);
        let limit = LayerLimit { encoding: choice >> 1 & 3, temporal: choice >> 3 & 7 };
        let track = hostile.track;
        let mid = setup::mid(setup::SUBSCRIBED[which]);
        let command = match kind & 7 {
            0 => {
                hostile.muted = choice & 2 != 0;
                Command::Mute { track, muted: hostile.muted }
            }
            1 => {
                hostile.allowed = false;
                Command::Revoke { track, subscriber }
            }
            2 => {
                hostile.allowed = true;
                Command::Allow { track, subscriber, echo: false }
            }
            3 => Command::LimitLayer { track, subscriber, limit },
            4 => Command::LimitLayer { track: self.honest[which], subscriber: self.hostile.id, limit },
            5 => Command::RequestKeyframe { track },
            6 if choice & 0x80 != 0 => {
                let session = Box::new(setup::negotiated_anew(choice));
                Command::Connect { peer: self.hostile.id, session }
            }
            6 => Command::Unsubscribe { peer: subscriber, mid },
            7 if choice & 0x80 != 0 => return self.publish_encrypted(which),
            _ => Command::Subscribe { peer: subscriber, mid, track },
        };
        // Some of these are refused, which changes nothing.
        let _ = self.engine.command(command, self.now);
        let _ = self.engine.command(Command::PeerStats { peer: self.hostile.id }, self.now);
    }

    /// What the hostile participant publishes ends and begins again, end-to-end encrypted.
    fn publish_encrypted(&mut self, which: usize) {
        let kind = [MediaKind::Audio, MediaKind::Video][which];
        self.engine.command(Command::Unpublish { track: self.tracks[which].track }, self.now).ok();
        self.tracks[which].allowed = false;
        // Refused where it has negotiated that it sends nothing there.
        let Some(track) = Self::try_publish(&mut self.engine, &self.hostile, (kind, true), self.now) else { return };
        let hostile = &mut self.tracks[which];
        (hostile.track, hostile.allowed, hostile.muted) = (track, true, false);
        let (subscriber, mid) = (self.subscriber.id, setup::mid(setup::SUBSCRIBED[which]));
        for command in
            [Command::Subscribe { peer: subscriber, mid, track }, Command::Allow { track, subscriber, echo: false }]
        {
            // Refused where they have no codec in common now.
            let _ = self.engine.command(command, self.now);
        }
    }

    /// One turn of the driver, and a look at everything that left.
    fn turn(&mut self) {
        let next = self.engine.tick(self.now);
        assert!(next >= self.now || next + TURN > self.now, "the next turn is not long past");
        self.engine.flush(&mut self.wire, self.now);
        let sent = std::mem::take(&mut self.wire.sent);
        let leaving = sent.len();
        for (destination, mut datagram) in sent {
            if destination == self.hostile.address {
                self.hostile.receive(&mut datagram);
            } else if destination == self.publisher.address {
                let received = self.publisher.receive(&mut datagram);
                assert!(received.is_none(), "the publisher receives no media");
            } else {
                assert_eq!(destination, self.subscriber.address, "nothing goes to strangers");
                if let Some(received) = self.subscriber.receive(&mut datagram) {
                    self.judge(received);
                }
            }
        }
        let mut events = Vec::new();
        self.engine.drain_events(&mut events);
        self.bounds.check(leaving, events.len());
    }

    /// Whether the subscriber may have what it got.
    fn judge(&mut self, received: Received) {
        for hostile in &self.tracks {
            let is_its = hostile.ssrcs.contains(&received.ssrc);
            assert!(!is_its || (hostile.allowed && !hostile.muted), "{hostile:?} left");
        }
        self.heard.push(received.payload);
    }

    /// Whatever happened before, what the publisher says now reaches the subscriber.
    fn assert_publisher_is_heard(&mut self) {
        self.wait(Duration::from_secs(1));
        self.heard.clear();
        for number in 0..LAST_WORDS {
            let payload = [0xfc, number].repeat(40);
            self.publish(setup::OPUS, setup::PUBLISHED[0], &payload);
            self.wait(TURN);
        }
        self.wait(5 * TURN);
        for number in 0..LAST_WORDS {
            assert!(self.heard.contains(&[0xfc, number].repeat(40)), "word {number} of the publisher is missing");
        }
    }

    /// Makes a track of what the peer sends under `mid`.
    fn publish_track(engine: &mut Engine, remote: &Remote, kind: MediaKind, now: Instant) -> TrackId {
        Self::try_publish(engine, remote, (kind, false), now).expect("nothing is published there")
    }

    fn try_publish(
        engine: &mut Engine,
        remote: &Remote,
        (kind, encrypted): (MediaKind, bool),
        now: Instant,
    ) -> Option<TrackId> {
        let (mid, source) = setup::section(kind);
        let answer = engine.command(Command::Publish { peer: remote.id, mid, source, encrypted }, now);
        if let Ok(Reply::Track { track }) = answer { Some(track) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    fn seed(name: &str) -> EngineStats {
        let seeds = seeds::all();
        let seed = seeds.iter().find(|seed| seed.target == "engine" && seed.name == name);
        run(&seed.expect("a seed of that name").bytes)
    }

    #[test]
    fn the_seeds_reach_what_they_are_named_after() {
        let (silent, simulcast) = (run(&[]), seed("simulcast"));
        assert_eq!(silent.rtp_packets_out, 2 * u64::from(LAST_WORDS), "the publisher's words to two others");
        assert!(simulcast.rtp_packets_out > silent.rtp_packets_out, "{simulcast:?}");
        assert!(simulcast.layer_switches > 0 && simulcast.drops.unauthenticated == 0, "{simulcast:?}");
        assert!(seed("sound").rtp_packets_out >= silent.rtp_packets_out + 4);
        let repeated = seed("lost_and_repeated");
        assert!(repeated.nacked_packets_in == 5 && repeated.rtx_packets_out > 0, "{repeated:?}");
        assert!(seed("negotiated_anew").rtx_packets_out >= 2, "what was asked for before and after, not between");
        let encrypted = seed("encrypted");
        assert!(encrypted.rtp_packets_out >= silent.rtp_packets_out + 5, "from the first keyframe on: {encrypted:?}");
        assert!(seed("encrypted_and_hidden").rtp_packets_out > silent.rtp_packets_out, "any frame may be the first");
        assert!(seed("keyframes_wanted").keyframe_requests_in > 0);
        assert!(seed("in_the_clear").drops.unauthenticated > 0 && seed("in_the_clear").drops.unknown_source > 0);
        assert!(seed("sources_of_another").drops.not_published > 0);
    }
}
