//! Two engines, as of two workers or nodes, each in a world of its own, and the transport of relays between them: it carries
//! frames every millisecond, in order, and may lose some.

use std::time::Duration;

use sfu_core::engine::command::{Command, Reply};
use sfu_core::engine::transmit::{RelayEnd, RelayNotice};
use sfu_core::ids::{ParticipantId, PeerId, RelayId};

use crate::meeting::{Meeting, Published};
use crate::random::Random;
use crate::server::Said;
use crate::world::RemoteId;

/// How often frames are carried.
const STEP: Duration = Duration::from_millis(1);
/// Participants whose tracks come from elsewhere are numbered from here on, so that nobody is taken for themself.
const ELSEWHERE: u64 = 1_000_000;

/// One relay.
#[derive(Debug, Clone, Copy)]
pub struct Relayed {
    /// Its number.
    pub id: RelayId,
    /// The end where the publisher is.
    pub near: PeerId,
    /// The end where the track is published anew.
    pub far: PeerId,
    /// What is relayed, as it is known there.
    pub original: Published,
    /// The same, as it is known here.
    pub published: Published,
}

/// Two meetings, with publishers in the first and more subscribers in the second.
#[derive(Debug)]
pub struct Pair {
    /// Where publishers are.
    pub first: Meeting,
    /// Where their tracks are relayed to.
    pub second: Meeting,
    /// This share of the packets on their way to the second is lost.
    pub losing: f64,
    /// How many were.
    pub lost: u64,
    /// Packets on their way to the second.
    pub carried: u64,
    random: Random,
    next: u64,
}

impl Pair {
    /// Two engines with one room each.
    pub fn new(seed: u64) -> Self {
        Self {
            first: Meeting::new(seed),
            second: Meeting::new(seed ^ 0x5eed),
            losing: 0.0,
            lost: 0,
            carried: 0,
            random: Random::new(seed),
            next: 1,
        }
    }

    /// Relays a track of the first to the second, and grants it.
    pub fn relay(&mut self, original: Published) -> Relayed {
        let relayed = self.connect(original);
        self.allow(&relayed);
        relayed
    }

    /// Makes both ends of a relay, without a right to anything.
    pub fn connect(&mut self, original: Published) -> Relayed {
        let id = RelayId(self.next);
        self.next += 1;
        let reply = self.first.command(Command::RelayOut { track: original.track, relay: id });
        let Reply::Relay { peer: near, description } = reply else { panic!("no relay: {reply:?}") };
        let (room, participant) = (self.second.room, ParticipantId(ELSEWHERE + u64::from(original.source / 2)));
        let reply = self.second.command(Command::RelayIn { room, participant, relay: id, description });
        let Reply::Relayed { peer: far, track } = reply else { panic!("no relay: {reply:?}") };
        let published = Published { track, publisher: RemoteId::new(usize::MAX), ..original };
        Relayed { id, near, far, original, published }
    }

    /// Grants the relay its track.
    pub fn allow(&mut self, relayed: &Relayed) {
        self.first.command(Command::Allow { track: relayed.original.track, subscriber: relayed.near, echo: false });
    }

    /// Takes the track from the relay. From here on nobody in the second meeting may get anything of it.
    pub fn revoke(&mut self, relayed: &Relayed) {
        let now = self.first.now();
        let command = Command::Revoke { track: relayed.original.track, subscriber: relayed.near };
        self.first.world.server.command(command, now).expect("a right can be taken away");
        self.tell();
        let departures = self.second.world.network.departures();
        self.second.permissions.revoke_all(relayed.published.source, departures);
        self.first.world.step_server();
    }

    /// Mutes the track for everybody, or lets it flow again.
    pub fn mute(&mut self, relayed: &Relayed, muted: bool) {
        let now = self.first.now();
        let command = Command::Mute { track: relayed.original.track, muted };
        self.first.world.server.command(command, now).expect("a track can be muted");
        self.tell();
        for meeting in [&mut self.first, &mut self.second] {
            let departures = meeting.world.network.departures();
            meeting.permissions.mute(relayed.published.source, muted, departures);
        }
        self.first.world.step_server();
    }

    /// Runs both for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        for _ in 0..span.as_millis() / STEP.as_millis() {
            self.first.run_for(STEP);
            self.carry();
            self.second.run_for(STEP);
            self.carry();
        }
    }

    /// Tells each what the other's ends of relays have to say first, as a transport must before a revocation is answered.
    pub fn tell(&mut self) {
        tell(&mut self.first, &mut self.second);
        tell(&mut self.second, &mut self.first);
    }

    fn carry(&mut self) {
        self.tell();
        let now = self.second.now();
        for (relay, said) in std::mem::take(&mut self.first.world.server.relayed) {
            let is_lost = matches!(said, Said::Rtp(_)) && self.losing > 0.0 && self.random.chance(self.losing);
            self.carried += u64::from(matches!(said, Said::Rtp(_)));
            self.lost += u64::from(is_lost);
            if !is_lost {
                self.second.world.server.ingest_relay(relay, &said, now);
            }
        }
        let now = self.first.now();
        for (relay, said) in std::mem::take(&mut self.second.world.server.relayed) {
            self.first.world.server.ingest_relay(relay, &said, now);
        }
        self.first.world.step_server();
        self.second.world.step_server();
    }
}

fn tell(from: &mut Meeting, to: &mut Meeting) {
    for notice in std::mem::take(&mut from.world.server.notices) {
        let engine = &mut to.world.server.engine;
        match notice {
            RelayNotice::Cut(relay) => engine.cut_relay(relay),
            RelayNotice::Closed(relay, end) => engine.close_relay(relay, RelayEnd::other(end)),
        }
    }
}
