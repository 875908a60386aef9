//! Two hostile participants of one room, connected like everybody. What they would say if they were honest is changed before it
//! is sealed and after, lost, repeated, held back, sent from elsewhere; what came earlier comes again; signalling asks for this
//! and that in between. Nobody else may notice: two honest pairs, one in the same room, hear each other throughout.

mod arrivals;
mod bounds;
pub(crate) mod honest;
pub(crate) mod hostile;
mod link;
pub(crate) mod orders;
pub(crate) mod room;
pub(crate) mod treatment;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::demux::{DatagramKind, classify};
use sfu_core::engine::Engine;
use sfu_core::engine::command::{Command, Reply};
use sfu_core::engine::event::Event;
use sfu_core::engine::transmit::Datagram;
use sfu_core::ids::{PeerId, RoomId};
use sfu_core::stats::EngineStats;

use self::bounds::Bounds;
use self::honest::{INTERVAL, Pair};
use self::hostile::{Hostile, Layer};
use self::orders::Rights;
use self::room::Options;
use self::treatment::Treatment;
use crate::bytes::Choices;
use crate::engine::remote::Wire;
use crate::engine::setup;
use crate::turns::{LAST_TURNS, MAX_STEPS, TURN, Turns};

/// Datagrams remembered, to come again.
const MAX_PAST: usize = 48;
/// Whose: what the hostile sent, or the server.
const OWN: usize = 0;
const THEIRS: usize = 1;
/// Datagrams that are held back at a time.
const MAX_HELD: usize = 32;

/// A datagram on its way to the server.
struct Arriving {
    from: SocketAddr,
    bytes: Vec<u8>,
}

struct World {
    engine: Engine,
    rooms: [RoomId; 2],
    now: Instant,
    next_media: Instant,
    turns: Turns,
    bounds: Bounds,
    hostile: [Hostile; 2],
    /// In the room of the hostile, and in another.
    pairs: [Pair; 2],
    rights: Rights,
    /// Under which SSRCs everybody is sent to.
    bases: BTreeMap<PeerId, u32>,
    arriving: VecDeque<Arriving>,
    /// What arrives when so many turns are over.
    held: Vec<(u8, Arriving)>,
    /// What the hostile sent, and what they were sent.
    past: [VecDeque<Vec<u8>>; 2],
    /// From where STUN has come, and from where a check was answered.
    spoken: BTreeSet<SocketAddr>,
    answered: BTreeSet<SocketAddr>,
    /// RTP that has come, each as it came and once.
    distinct: BTreeSet<Vec<u8>>,
    /// How many datagrams to a hostile one are lost.
    deaf: [u8; 2],
    wire: Wire,
    messages: u64,
}

/// What came of a run.
#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "tests look at all of it"))]
struct Outcome {
    stats: EngineStats,
    /// The longest call of the engine, in processor time.
    longest: Duration,
    /// Packets that the honest subscribers heard.
    heard: u64,
    /// Messages of the hostile that the server read.
    messages: u64,
    /// Addresses beside their own from which the hostile answered a check.
    proved: usize,
}

/// Input: how the hostile are let in, then steps: what one of them says and what happens to that, time, orders of signalling.
pub fn connected(input: &[u8]) {
    run(input);
}

/// The processor time that the longest call of the engine took while [`connected`] ran.
pub fn longest_call(input: &[u8]) -> Duration {
    run(input).longest
}

fn run(input: &[u8]) -> Outcome {
    let mut choices = Choices(input);
    let mut world = World::new(Options::read(choices.byte()));
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        if !world.step(&mut choices) {
            world.turn(TURN);
        }
    }
    world.finish()
}

/// Hands datagrams to the engine, in one batch.
fn hand_in(engine: &mut Engine, batch: &mut [(SocketAddr, &mut Vec<u8>)], now: Instant) {
    let destination = setup::address(0).ip();
    let mut datagrams: Vec<Datagram<'_>> =
        batch.iter_mut().map(|(source, bytes)| Datagram { source: *source, destination, bytes }).collect();
    engine.ingest(&mut datagrams, now);
}

impl World {
    /// One step; true when the next happens in the same turn.
    fn step(&mut self, choices: &mut Choices<'_>) -> bool {
        let kind = choices.byte();
        let who = usize::from(kind >> 7);
        match kind & 31 {
            say @ 0..=14 => {
                let treatment = Treatment::read(choices);
                if let Some((layer, plain)) = self.hostile[who].say(say, choices, self.now) {
                    self.send(who, layer, plain, &treatment);
                }
                return treatment.stays;
            }
            again @ 15..=17 => {
                let (back, treatment) = (usize::from(choices.byte()), Treatment::read(choices));
                let past = &self.past[if again == 17 { THEIRS } else { OWN }];
                let before = past.len().checked_sub(1 + back % MAX_PAST);
                if let Some(bytes) = before.and_then(|place| past.get(place)).cloned() {
                    self.on_its_way(who, bytes, &treatment);
                }
                return treatment.stays;
            }
            18 => self.turns.wait(choices.byte()).for_each(|turn| self.turn(turn)),
            19 => self.deaf[who] = choices.byte() & 31,
            20 => {
                let answers = choices.byte() & 1 == 0;
                self.hostile[who].link.iter_mut().for_each(|link| link.answers = answers);
            }
            21 if choices.byte() == 0xff => {
                let goodbye = self.hostile[who].link.as_mut().map(|link| link.close(self.now));
                for bytes in goodbye.into_iter().flatten() {
                    self.on_its_way(who, bytes, &Treatment::default());
                }
            }
            _ => self.order(who, choices),
        }
        false
    }

    /// Changes, seals, changes again and sends.
    fn send(&mut self, who: usize, layer: Layer, mut plain: Vec<u8>, treatment: &Treatment) {
        treatment.before(&mut plain);
        for sealed in self.hostile[who].seal(layer, plain, self.now) {
            self.remember(OWN, &sealed);
            self.on_its_way(who, sealed, treatment);
        }
    }

    /// A datagram leaves for the server, and gets there or not.
    fn on_its_way(&mut self, who: usize, mut sealed: Vec<u8>, treatment: &Treatment) {
        treatment.after(&mut sealed);
        if treatment.lost {
            return;
        }
        let from = treatment.elsewhere.map_or(self.hostile[who].media.address, elsewhere);
        for _ in 0..=usize::from(treatment.twice) {
            let arriving = Arriving { from, bytes: sealed.clone() };
            if treatment.delay > 0 && self.held.len() < MAX_HELD {
                self.held.push((treatment.delay, arriving));
            } else if treatment.first {
                self.arriving.push_front(arriving);
            } else {
                self.arriving.push_back(arriving);
            }
        }
    }

    fn remember(&mut self, whose: usize, bytes: &[u8]) {
        let past = &mut self.past[whose];
        past.push_back(bytes.to_vec());
        if past.len() > MAX_PAST {
            past.pop_front();
        }
    }

    /// Time passes, what is under way arrives, and the driver has its turn; then a look at everything that left.
    fn turn(&mut self, span: Duration) {
        self.now += span;
        self.say_honestly();
        self.take_in();
        let (engine, wire, now) = (&mut self.engine, &mut self.wire, self.now);
        self.bounds.step(|| engine.tick(now));
        self.bounds.step(|| engine.flush(wire, now));
        let sent = std::mem::take(&mut self.wire.sent);
        let leaving = sent.len();
        for (destination, datagram) in sent {
            self.receive(destination, datagram);
        }
        let mut events = Vec::new();
        self.engine.drain_events(&mut events);
        self.messages += events.iter().filter(|event| matches!(event, Event::DataReceived { .. })).count() as u64;
        self.bounds.check(leaving, events.len());
        self.pairs.iter().for_each(|pair| pair.check(false));
    }

    /// What honest ends send by themselves; the hostile ones' transports are that for as long as nothing else was chosen.
    fn say_honestly(&mut self) {
        if self.now >= self.next_media {
            self.next_media = self.now + INTERVAL;
            let said = self.pairs.iter_mut().flat_map(Pair::say);
            self.arriving.extend(said.map(|(from, bytes)| Arriving { from, bytes }));
        }
        for who in 0..self.hostile.len() {
            let link = self.hostile[who].link.as_mut();
            for bytes in link.map(|link| link.datagrams(self.now)).into_iter().flatten() {
                self.remember(OWN, &bytes);
                let from = self.hostile[who].media.address;
                self.arriving.push_back(Arriving { from, bytes });
            }
        }
        for (turns, _) in &mut self.held {
            *turns -= 1;
        }
        self.arriving.extend(self.held.extract_if(.., |(turns, _)| *turns == 0).map(|(_, arriving)| arriving));
    }

    /// All that arrives in this turn, in one batch.
    fn take_in(&mut self) {
        let mut batch: Vec<Arriving> = self.arriving.drain(..).collect();
        for Arriving { from, bytes } in &batch {
            match classify(bytes) {
                DatagramKind::Stun => {
                    self.spoken.insert(*from);
                }
                DatagramKind::Rtp => {
                    self.distinct.insert(bytes.clone());
                }
                _ => {}
            }
        }
        let mut parts: Vec<_> = batch.iter_mut().map(|arriving| (arriving.from, &mut arriving.bytes)).collect();
        let (engine, now) = (&mut self.engine, self.now);
        self.bounds.step(|| hand_in(engine, &mut parts, now));
    }

    /// A datagram of the server's reaches somebody, who must be meant.
    fn receive(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        let kind = classify(&datagram);
        if kind == DatagramKind::Stun {
            assert!(self.spoken.contains(&to), "a check goes to {to}, from where nobody has asked");
            return self.answer(to, &datagram);
        }
        let pair = self.pairs.iter_mut().find(|pair| pair.publisher.address == to || pair.subscriber.address == to);
        if let Some(pair) = pair {
            return pair.receive(to, datagram, &self.rights, self.now);
        }
        let home = self.hostile.iter().position(|hostile| hostile.media.address == to);
        assert!(home.is_some() || self.answered.contains(&to), "{kind:?} goes to {to}, where nobody has answered");
        let first = home.unwrap_or(0);
        for who in [first, 1 - first] {
            if self.hear(who, &datagram) {
                return;
            }
        }
        panic!("{kind:?} for {to} can be opened by nobody");
    }

    /// Whether the datagram is for that hostile one.
    fn hear(&mut self, who: usize, datagram: &[u8]) -> bool {
        let (hostile, now) = (&mut self.hostile[who], self.now);
        if classify(datagram) == DatagramKind::Dtls {
            let lost = self.deaf[who] > 0;
            self.deaf[who] = self.deaf[who].saturating_sub(1);
            let Some(link) = hostile.link.as_mut() else { return false };
            if !lost {
                link.receive(datagram, now);
            }
        } else {
            let mut bytes = datagram.to_vec();
            let Ok(received) = hostile.media.open(&mut bytes) else { return false };
            assert!(!hostile.gone, "something goes to one who was removed");
            if let Some(received) = received {
                self.rights.check(hostile.media.id, received.ssrc);
                hostile.hear(&received, now);
            }
        }
        self.remember(THEIRS, datagram);
        true
    }

    /// A check of the server's is answered by whom it asks.
    fn answer(&mut self, to: SocketAddr, check: &[u8]) {
        self.remember(THEIRS, check);
        let honest = self.pairs.iter().any(|pair| pair.publisher.address == to || pair.subscriber.address == to);
        let asked = self.hostile.iter().filter_map(|hostile| hostile.link.as_ref()).find(|link| link.is_asked(check));
        // Nobody but the honest gets what is sent to them.
        let Some(link) = asked.filter(|link| link.answers && !honest) else { return };
        if let Some(bytes) = link.answer(check, to) {
            self.answered.insert(to);
            self.remember(OWN, &bytes);
            self.arriving.push_back(Arriving { from: to, bytes });
        }
    }

    /// Whatever happened, nobody else noticed, and nothing is left of it.
    fn finish(mut self) -> Outcome {
        self.held.iter_mut().for_each(|(turns, _)| *turns = 1);
        for _ in 0..LAST_TURNS {
            self.next_media = self.now + 2 * INTERVAL;
            self.turn(INTERVAL);
        }
        self.pairs.iter().for_each(|pair| pair.check(true));
        let Some(Reply::Stats { stats }) = self.carry_out(Command::Stats) else { panic!("no figures") };
        assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0), "{stats:?}");
        assert!(stats.rtp_packets_in <= self.distinct.len() as u64, "something was taken in twice");
        for room in self.rooms {
            self.carry_out(Command::RemoveRoom { room }).expect("it is there");
        }
        self.turn(INTERVAL);
        let heard = self.pairs.iter().map(Pair::heard).sum();
        let home = |address: &&SocketAddr| self.hostile.iter().any(|hostile| hostile.media.address == **address);
        let (messages, proved) = (self.messages, self.answered.iter().filter(|address| !home(address)).count());
        let Self { mut engine, bounds, now, hostile, pairs, past, held, wire, rights, bases, distinct, .. } = self;
        drop((hostile, pairs, past, held, wire, rights, bases, distinct));
        engine.tick(now);
        bounds.check_kept();
        Outcome { stats: *stats, longest: bounds.longest, heard, messages, proved }
    }
}

/// Another address: two of the hostile ones' own, then those of everybody, then a stranger's.
fn elsewhere(choice: u8) -> SocketAddr {
    match choice & 15 {
        0 | 1 => setup::address(101),
        2 | 3 => setup::address(102),
        number @ 4..=9 => setup::address(number - 3),
        10 => setup::address(0),
        _ => setup::address(99),
    }
}

#[cfg(test)]
mod tests;
