//! Two engines with relays between them. Those of one publisher are hostile at both ends and between: what they carry is
//! changed, lost, repeated, held back and made up; rights are taken and given, ends removed and made anew. Nothing leaves that
//! may not, and what an honest publisher relays beside it arrives as it was said.

mod orders;
mod setup;
mod way;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::demux::{DatagramKind, classify};
use sfu_core::engine::Engine;
use sfu_core::engine::command::{Command, Reply};
use sfu_core::engine::event::Event;
use sfu_core::engine::transmit::{Datagram, RelayNotice};
use sfu_core::ids::{RelayId, RoomId};
use sfu_core::rtcp::fir::Fir;
use sfu_core::rtcp::nack;
use sfu_core::rtcp::pli::Pli;
use sfu_core::rtcp::remb::Remb;
use sfu_core::stats::EngineStats;
use sfu_core::units::Bitrate;

use self::setup::Tie;
use self::way::{Carried, FrameKind, Said, Way};
use crate::bounds::Bounds;
use crate::bytes::Choices;
use crate::connected::honest::{INTERVAL, Pair};
use crate::connected::hostile::{Hostile, own_ssrc};
use crate::connected::orders::Rights;
use crate::connected::treatment::{MAX_DATAGRAM, Treatment};
use crate::heap;
use crate::turns::{LAST_TURNS, MAX_STEPS, TURN, Turns};

/// Where the publishers are, and where what they say is relayed to.
const NEAR: usize = 0;
const FAR: usize = 1;
/// Bytes that two engines without rooms may keep of what there was.
const MAX_KEPT: i64 = 512 << 10;
/// Notices back and forth, of which each is about one relay further on.
const MAX_TOLD: usize = 16;
/// Longest feedback.
const MAX_COMPOUND: usize = 1_200;

struct World {
    engines: [Engine; 2],
    empty: i64,
    rooms: [RoomId; 2],
    now: Instant,
    next_media: Instant,
    turns: Turns,
    bounds: Bounds,
    /// Publishes near; what it says goes over hostile relays.
    hostile: Hostile,
    /// Publishes near, and hears the same far, and of the hostile one what comes.
    pair: Pair,
    /// Of the hostile one's sound and pictures.
    ties: [Tie; 2],
    /// Numbers of the relays that nobody touches.
    honest: [RelayId; 2],
    /// Who may hear what at the far side.
    rights: Rights,
    way: Way,
    arriving: [VecDeque<(SocketAddr, Vec<u8>)>; 2],
    said: [Said; 2],
    more: usize,
    next_relay: u64,
    closed: u64,
}

/// What came of a run.
#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "tests look at all of it"))]
struct Outcome {
    stats: [EngineStats; 2],
    /// Packets that the honest subscriber heard of the honest publisher.
    heard: u64,
    /// Ends that were closed because the other one was gone.
    closed: u64,
}

/// Input: steps. What the hostile publisher says and what happens to it between the engines; frames that nobody said; time;
/// orders to either engine.
pub fn relays(input: &[u8]) {
    run(input);
}

fn run(input: &[u8]) -> Outcome {
    let mut choices = Choices(input);
    let mut world = World::new();
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
        world.turn(TURN);
    }
    world.finish()
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        match kind & 31 {
            say @ 0..=9 => {
                self.way.treatment = Treatment::read(choices);
                if let Some((layer, plain)) = self.hostile.say(say, choices, self.now) {
                    for sealed in self.hostile.seal(layer, plain, self.now) {
                        self.arriving[NEAR].push_back((self.hostile.media.address, sealed));
                    }
                }
            }
            10..=12 => {
                let relay = self.number(kind >> 5);
                let bytes = choices.chunk(MAX_DATAGRAM).to_vec();
                let kind = [FrameKind::Rtp, FrameKind::Rtcp, FrameKind::Feedback][usize::from(kind & 31) - 10];
                self.way.push(Carried::new(relay, kind, bytes));
            }
            13 => {
                let (back, treatment) = (usize::from(choices.byte()), Treatment::read(choices));
                self.way.again(back, &treatment);
            }
            14 => {
                let relay = self.number(kind >> 5);
                let bytes = feedback(choices);
                self.way.push(Carried::new(relay, FrameKind::Feedback, bytes));
            }
            15 => self.turns.wait(choices.byte()).for_each(|turn| self.turn(turn)),
            16 => self.way.treatment = Treatment::read(choices),
            _ => self.order(choices),
        }
    }

    /// A relay that need not be there; never one that is not to be touched.
    fn number(&self, choice: u8) -> RelayId {
        match choice & 7 {
            which @ 0..=3 => self.ties[usize::from(which & 1)].relay,
            4 => RelayId(u64::MAX),
            other => RelayId(self.next_relay.wrapping_sub(u64::from(other))),
        }
    }

    /// Time passes, and both drivers have their turn.
    fn turn(&mut self, span: Duration) {
        self.now += span;
        self.say_honestly();
        self.way.advance();
        let (mut leaving, mut events) = (0, Vec::new());
        for side in [NEAR, FAR] {
            self.take_in(side);
            let (engine, now) = (&mut self.engines[side], self.now);
            engine.tick(now);
            engine.flush(&mut self.said[side], now);
            let frames = std::mem::take(&mut self.said[side].frames);
            for mut frame in frames {
                frame.to = 1 - side;
                self.judge(side, &frame);
                let is_honest = self.honest.contains(&frame.relay);
                self.way.carry(frame, is_honest);
            }
            self.heed(side);
            let sent = std::mem::take(&mut self.said[side].wire.sent);
            leaving += sent.len();
            for (destination, datagram) in sent {
                self.receive(side, destination, datagram);
            }
            self.engines[side].drain_events(&mut events);
        }
        self.closed += events.iter().filter(|event| matches!(event, Event::PeerClosed { .. })).count() as u64;
        self.bounds.check(leaving, events.len());
        drop(events);
        self.pair.check(false);
    }

    fn say_honestly(&mut self) {
        if self.now >= self.next_media {
            self.next_media = self.now + INTERVAL;
            for (from, bytes) in self.pair.say() {
                let side = if from == self.pair.publisher.address { NEAR } else { FAR };
                self.arriving[side].push_back((from, bytes));
            }
        }
    }

    /// All that arrives at one engine, from the network and from the other engine.
    fn take_in(&mut self, side: usize) {
        let destination = crate::engine::setup::address(0).ip();
        let mut batch: Vec<(SocketAddr, Vec<u8>)> = self.arriving[side].drain(..).collect();
        let datagrams = batch.iter_mut();
        let mut datagrams: Vec<Datagram<'_>> =
            datagrams.map(|(source, bytes)| Datagram { source: *source, destination, bytes }).collect();
        let (engine, now) = (&mut self.engines[side], self.now);
        engine.ingest(&mut datagrams, now);
        for carried in self.way.arrived(side) {
            engine.ingest_relay(carried.relay, carried.frame(), now);
        }
    }

    /// Whether an end may say that.
    fn judge(&self, side: usize, frame: &Carried) {
        frame.check();
        if self.honest.contains(&frame.relay) {
            return;
        }
        let is_near = frame.kind != FrameKind::Feedback;
        assert_eq!(side == NEAR, is_near, "{frame:?} at the wrong end");
        let tie = self.ties.iter().find(|tie| tie.relay == frame.relay);
        let tie = tie.unwrap_or_else(|| panic!("{frame:?} of a relay that is no more"));
        if is_near {
            assert!(tie.may_send(), "{frame:?} left without a right to it: {tie:?}");
        }
    }

    /// What a transport does first: what came before a right ended is not delivered, and the other end is told.
    fn heed(&mut self, side: usize) {
        let mut told = 0;
        while self.heed_once([side, 1 - side][told % 2]) || told == 0 {
            told += 1;
            assert!(told < MAX_TOLD, "both sides tell each other the same for ever");
        }
    }

    /// Whether one side had something to tell.
    fn heed_once(&mut self, side: usize) -> bool {
        let mut notices = Vec::new();
        self.engines[side].drain_relay_notices(&mut notices);
        for notice in &notices {
            match *notice {
                RelayNotice::Cut(relay) => {
                    assert_eq!(side, NEAR, "rights are given where the publisher is");
                    self.way.drop_all(relay);
                    self.engines[1 - side].cut_relay(relay);
                    self.ties.iter_mut().filter(|tie| tie.relay == relay).for_each(|tie| tie.cuts += 1);
                }
                RelayNotice::Closed(relay, end) => {
                    self.way.drop_all(relay);
                    self.engines[1 - side].close_relay(relay, end.other());
                    self.ties.iter_mut().filter(|tie| tie.relay == relay).for_each(|tie| tie.is_open = false);
                }
            }
        }
        !notices.is_empty()
    }

    /// A datagram of one engine reaches somebody, who must be there.
    fn receive(&mut self, side: usize, to: SocketAddr, mut datagram: Vec<u8>) {
        if to == self.hostile.media.address {
            assert_eq!(side, NEAR, "nobody of that address is at the other side");
            assert_eq!(classify(&datagram), DatagramKind::Rtcp, "it is sent no media");
            self.hostile.media.open(&mut datagram).expect("it can open what it is sent");
            return;
        }
        let home = if to == self.pair.publisher.address { NEAR } else { FAR };
        assert!(side == home && (home == NEAR || to == self.pair.subscriber.address), "{to} is sent something");
        self.pair.receive(to, datagram, &self.rights, self.now);
    }

    /// Whatever happened, nobody else noticed, and nothing is left of it.
    fn finish(mut self) -> Outcome {
        self.way.treatment = Treatment::default();
        for _ in 0..LAST_TURNS {
            self.next_media = self.now + 2 * INTERVAL;
            self.turn(INTERVAL);
        }
        self.pair.check(true);
        let stats = [NEAR, FAR].map(|side| {
            let Ok(Reply::Stats { stats }) = self.engines[side].command(Command::Stats, self.now) else {
                panic!("no figures")
            };
            assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0), "{stats:?}");
            *stats
        });
        let (heard, closed) = (self.pair.heard(), self.closed);
        for side in [NEAR, FAR] {
            let room = self.rooms[side];
            self.engines[side].command(Command::RemoveRoom { room }, self.now).expect("it is there");
            self.heed(side);
        }
        self.turn(INTERVAL);
        let Self { mut engines, empty, now, hostile, pair, rights, way, arriving, said, .. } = self;
        drop((hostile, pair, rights, way, arriving, said));
        for engine in &mut engines {
            engine.tick(now);
        }
        let kept = heap::held() - empty;
        assert!(kept <= MAX_KEPT, "{kept} bytes are kept of rooms that are gone");
        Outcome { stats, heard, closed }
    }
}

/// What the far end of a relay may say of what the hostile one publishes, and of what nobody does.
fn feedback(choices: &mut Choices<'_>) -> Vec<u8> {
    let (choice, number) = (choices.byte(), choices.word());
    let media = own_ssrc(0, usize::from(choice >> 2 & 3));
    let sender = own_ssrc(1, 0);
    let mut out = [0; MAX_COMPOUND];
    let len = match choice & 3 {
        0 => Pli { sender, media }.write(&mut out),
        1 => Fir::of_one(sender, media, choice >> 4).write(&mut out),
        2 => {
            let bitrate = Bitrate::kbps(u64::from(number));
            Remb { sender, bitrate, ssrcs: [media].into_iter().collect() }.write(&mut out)
        }
        _ => {
            let lost: Vec<u16> = (0..=u16::from(choice >> 4)).map(|n| number.wrapping_add(n)).collect();
            nack::write(sender, media, &lost, &mut out)
        }
    };
    out[..len.expect("room for feedback")].to_vec()
}

#[cfg(test)]
mod tests;
