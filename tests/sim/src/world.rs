//! The loop that moves datagrams between the server and the participants, in virtual time. One seed is one run: events of the
//! same instant happen in a fixed order, server first, then participants in the order they came.

mod departures;
mod network;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu_core::engine::transmit::{Datagram, Sink};
use sfu_core::ids::PeerId;

use self::departures::Departures;
pub use self::network::{Fate, LinkId, MAX_STRAYS, Network, Passing, RemoteId};
use crate::browser::Browser;
use crate::clock::Clock;
use crate::keyed::Keyed;
use crate::link::LinkConfig;
use crate::random::Random;
use crate::remote::{Incoming, Remote};

/// Most datagrams handed over at once; what one `recvmmsg` of the driver takes.
const MAX_BATCH: usize = 64;
/// As many rounds in one instant mean that somebody asks for a deadline that has passed.
const MAX_ROUNDS_PER_INSTANT: u32 = 1_000;

/// What the world moves datagrams for: the media engine, or what stands in for it.
pub trait Server {
    /// Takes received datagrams.
    fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant);
    /// Does what is due and says when something next is.
    fn tick(&mut self, now: Instant) -> Instant;
    /// Sends what is ready.
    fn flush(&mut self, sink: &mut dyn Sink, now: Instant);
}

/// The two directions of one participant's path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Path {
    /// Towards the server.
    pub up: LinkConfig,
    /// From the server.
    pub down: LinkConfig,
}

impl Path {
    /// The same in both directions.
    pub fn both(link: LinkConfig) -> Self {
        Self { up: link.clone(), down: link }
    }

    /// A lossless path with this round-trip time.
    pub fn round_trip(time: Duration) -> Self {
        Self::both(LinkConfig::delayed(time / 2))
    }
}

/// A server, participants, and what lies between.
#[derive(Debug)]
pub struct World<S> {
    /// The server.
    pub server: S,
    /// Addresses and links.
    pub network: Network,
    /// Draws for the test's own decisions.
    pub random: Random,
    /// How many groups of datagrams the kernel takes per flush before it is full.
    pub kernel_takes: usize,
    /// Nothing happens between multiples of this: how long the server sleeps between two looks at its socket.
    pub grain: Duration,
    /// Clear packets handed to peers inside the server's process.
    pub delivered: Vec<(PeerId, Vec<u8>)>,
    clock: Clock,
    address: SocketAddr,
    remotes: Vec<Option<Remote>>,
    server_due: Instant,
}

impl<S: Server> World<S> {
    /// A world of `seed` in which the server listens at `address`.
    pub fn new(server: S, address: SocketAddr, clock: Clock, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            network: Network::new(address, random.split()),
            server,
            random,
            kernel_takes: usize::MAX,
            grain: Duration::ZERO,
            delivered: Vec::new(),
            address,
            remotes: Vec::new(),
            server_due: clock.now(),
            clock,
        }
    }

    /// The time here.
    pub const fn now(&self) -> Instant {
        self.clock.now()
    }

    /// When it all began.
    pub const fn start(&self) -> Instant {
        self.clock.start()
    }

    /// Where the server listens.
    pub const fn server_address(&self) -> SocketAddr {
        self.address
    }

    /// Lets a participant in at `address`, over a path of its own.
    pub fn join(&mut self, remote: impl Into<Remote>, address: SocketAddr, path: Path) -> RemoteId {
        let now = self.now();
        let (up, down) = (self.network.add_link(path.up, now), self.network.add_link(path.down, now));
        self.join_over(remote, address, up, down)
    }

    /// Lets a participant in at `address`, over links it shares with others.
    pub fn join_over(&mut self, remote: impl Into<Remote>, address: SocketAddr, up: LinkId, down: LinkId) -> RemoteId {
        let id = self.network.add_place(address, up, down);
        if self.remotes.len() <= id.index() {
            self.remotes.resize_with(id.index() + 1, || None);
        }
        self.remotes[id.index()] = Some(remote.into());
        id
    }

    /// Takes a participant away without a word to the server, as a crash does.
    pub fn vanish(&mut self, id: RemoteId) -> Option<Remote> {
        self.network.remove_place(id);
        self.remotes.get_mut(id.index())?.take()
    }

    /// The participant.
    pub fn remote(&self, id: RemoteId) -> &Remote {
        self.remotes[id.index()].as_ref().expect("the participant has not vanished")
    }

    /// The participant, to change.
    pub fn remote_mut(&mut self, id: RemoteId) -> &mut Remote {
        self.remotes[id.index()].as_mut().expect("the participant has not vanished")
    }

    /// The participant, which is a browser.
    pub fn browser(&mut self, id: RemoteId) -> &mut Browser {
        let Remote::Browser(browser) = self.remote_mut(id) else {
            panic!("{id:?} is no browser");
        };
        browser
    }

    /// The participant, which is one with given keys.
    pub fn keyed(&mut self, id: RemoteId) -> &mut Keyed {
        let Remote::Keyed(keyed) = self.remote_mut(id) else {
            panic!("{id:?} has no given keys");
        };
        keyed
    }

    /// All participants that are there.
    pub fn remotes(&self) -> impl Iterator<Item = (RemoteId, &Remote)> {
        let places = self.remotes.iter().enumerate();
        places.filter_map(|(index, remote)| Some((RemoteId::new(index), remote.as_ref()?)))
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now() + span);
    }

    /// Runs until `deadline`, that instant included.
    pub fn run_until(&mut self, deadline: Instant) {
        let mut rounds = 0;
        loop {
            self.round();
            let next = self.next_event();
            if next > deadline {
                return self.clock.advance_to(deadline);
            }
            rounds = if next <= self.now() { rounds + 1 } else { 0 };
            assert!(rounds < MAX_ROUNDS_PER_INSTANT, "somebody is never done at {:?}", self.clock.elapsed());
            self.clock.advance_to(next);
        }
    }

    /// Runs until `done` or for `at_most`, looking every millisecond; says whether it was.
    pub fn run_until_true(&mut self, at_most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.now() + at_most;
        while !done(self) {
            if self.now() >= deadline {
                return false;
            }
            self.run_for(Duration::from_millis(1));
        }
        true
    }

    /// Lets the server act now, as the driver does after every command; what it sends is on its way when this returns.
    pub fn step_server(&mut self) {
        let now = self.now();
        self.ingest(now);
        self.server_due = self.server.tick(now);
        let mut sink = Departures::new(&mut self.network, &mut self.delivered, self.kernel_takes, now);
        self.server.flush(&mut sink, now);
    }

    fn round(&mut self) {
        let now = self.now();
        self.network.carry(now);
        self.step_server();
        for index in 0..self.remotes.len() {
            let Some(remote) = &mut self.remotes[index] else { continue };
            let id = RemoteId::new(index);
            while let Some((passing, destination)) = self.network.arrival(id) {
                let departure = passing.departure.expect("only the server sends to participants");
                let incoming = Incoming { source: passing.from, destination, bytes: &passing.bytes, departure };
                remote.receive(incoming, now);
            }
            if remote.poll_timeout().is_some_and(|due| due <= now) {
                remote.handle_timeout(now);
            }
            while let Some(outgoing) = remote.poll_transmit() {
                self.network.send_up(id, outgoing, now);
            }
        }
    }

    fn ingest(&mut self, now: Instant) {
        loop {
            let mut arrived = self.network.take_doorstep(MAX_BATCH);
            if arrived.is_empty() {
                return;
            }
            let destination = self.address.ip();
            let mut batch: Vec<Datagram<'_>> = arrived
                .iter_mut()
                .map(|passing| Datagram { source: passing.from, destination, bytes: &mut passing.bytes })
                .collect();
            self.server.ingest(&mut batch, now);
        }
    }

    fn next_event(&self) -> Instant {
        let remotes = self.remotes.iter().flatten().filter_map(Remote::poll_timeout);
        let others = remotes.chain(self.network.poll_timeout()).min();
        self.rounded_up(others.map_or(self.server_due, |other| other.min(self.server_due)))
    }

    fn rounded_up(&self, instant: Instant) -> Instant {
        let grain = self.grain.as_nanos() as u64;
        let since = instant.saturating_duration_since(self.start()).as_nanos() as u64;
        if grain == 0 { instant } else { self.start() + Duration::from_nanos(since.next_multiple_of(grain)) }
    }
}
