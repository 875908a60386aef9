//! Addresses, address translation, links and the server's doorstep, where datagrams can be copied, held or injected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use sfu_core::demux::{DatagramKind, classify};

use crate::link::{Link, LinkConfig};
use crate::oracle::Departure;
use crate::random::Random;
use crate::remote::Outgoing;

/// IPv4 and UDP headers, which take their time on a link too.
const HEADERS: usize = 28;
/// The record type of what SCTP sends (RFC 6347 §4.1).
const DTLS_APPLICATION_DATA: u8 = 23;
/// Datagrams to nobody that are kept for the test to look at.
pub const MAX_STRAYS: usize = 10_000;

/// One participant's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(usize);

impl RemoteId {
    pub(crate) const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Which place, counted from 0; a place is used again after its participant vanished.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// One link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(usize);

/// A datagram under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    /// Where it seems to come from: the address outside any translation.
    pub from: SocketAddr,
    /// Where it goes to, likewise.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// When it left the server, if it came from there.
    pub departure: Option<Departure>,
}

/// What happens to a datagram at the server's doorstep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes in.
    Pass,
    /// It goes in, and a copy is kept.
    Copy,
    /// It is kept and does not go in.
    Hold,
    /// It is gone.
    Drop,
}

/// Decides at the doorstep.
pub(super) type Checkpoint = Box<dyn FnMut(&Passing) -> Fate>;

#[derive(Debug)]
struct Place {
    up: LinkId,
    down: LinkId,
    /// Inside address → outside address, for those that are translated or cut off.
    translations: BTreeMap<SocketAddr, Option<SocketAddr>>,
    inbox: VecDeque<(Passing, SocketAddr)>,
}

/// Everything between the server and the participants.
pub struct Network {
    server: SocketAddr,
    links: Vec<Link<Passing>>,
    free_links: Vec<LinkId>,
    places: Vec<Option<Place>>,
    /// Outside address → whose, and which inside address it is.
    owners: BTreeMap<SocketAddr, (RemoteId, SocketAddr)>,
    doorstep: VecDeque<Passing>,
    checkpoint: Option<Checkpoint>,
    kept: Vec<Passing>,
    strays: Vec<Passing>,
    /// Where those are or were whom the server has removed.
    dismissed: BTreeSet<SocketAddr>,
    sent_to_dismissed: u64,
    departures: u64,
    random: Random,
}

impl Network {
    pub(super) fn new(server: SocketAddr, random: Random) -> Self {
        Self {
            server,
            links: Vec::new(),
            free_links: Vec::new(),
            places: Vec::new(),
            owners: BTreeMap::new(),
            doorstep: VecDeque::new(),
            checkpoint: None,
            kept: Vec::new(),
            strays: Vec::new(),
            dismissed: BTreeSet::new(),
            sent_to_dismissed: 0,
            departures: 0,
            random,
        }
    }

    /// Lays a link, which several participants may share.
    pub fn add_link(&mut self, config: LinkConfig, now: Instant) -> LinkId {
        let link = Link::new(config, self.random.split(), now);
        if let Some(free) = self.free_links.pop() {
            self.links[free.0] = link;
            return free;
        }
        self.links.push(link);
        LinkId(self.links.len() - 1)
    }

    /// A link.
    pub fn link(&self, id: LinkId) -> &Link<Passing> {
        &self.links[id.0]
    }

    /// Changes how a link behaves.
    pub fn reconfigure(&mut self, id: LinkId, config: LinkConfig, now: Instant) {
        self.links[id.0].reconfigure(config, now);
    }

    /// The links of a participant, towards the server and from it.
    pub fn links_of(&self, id: RemoteId) -> (LinkId, LinkId) {
        let place = self.place(id);
        (place.up, place.down)
    }

    /// Blocks or unblocks both directions of a participant's path.
    pub fn set_blocked(&mut self, id: RemoteId, blocked: bool, now: Instant) {
        let (up, down) = self.links_of(id);
        for link in [up, down] {
            let config = LinkConfig { blocked, ..self.link(link).config().clone() };
            self.reconfigure(link, config, now);
        }
    }

    /// Gives `inside` another address outside, as a translator does that has forgotten it: what is sent to the old one reaches
    /// nobody.
    pub fn rebind(&mut self, id: RemoteId, inside: SocketAddr, outside: SocketAddr) {
        self.owners.retain(|_, owner| *owner != (id, inside));
        self.owners.insert(outside, (id, inside));
        self.place_mut(id).translations.insert(inside, Some(outside));
    }

    /// Opens another interface of a participant.
    pub fn open_address(&mut self, id: RemoteId, address: SocketAddr) {
        self.owners.insert(address, (id, address));
        self.place_mut(id).translations.remove(&address);
    }

    /// Cuts off an interface of a participant.
    pub fn close_address(&mut self, id: RemoteId, inside: SocketAddr) {
        self.owners.retain(|_, owner| *owner != (id, inside));
        self.place_mut(id).translations.insert(inside, None);
    }

    /// Puts a guard at the server's doorstep; `None` lets everything in again.
    pub fn set_checkpoint(&mut self, checkpoint: Option<Checkpoint>) {
        self.checkpoint = checkpoint;
    }

    /// What the guard kept since the last call.
    pub fn take_kept(&mut self) -> Vec<Passing> {
        std::mem::take(&mut self.kept)
    }

    /// Puts a datagram at the server's doorstep, past all links and the guard.
    pub fn inject(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.doorstep.push_back(Passing { from, to: self.server, bytes, departure: None });
    }

    /// What the server sent to addresses at which nobody is, the first [`MAX_STRAYS`].
    pub fn strays(&self) -> &[Passing] {
        &self.strays
    }

    /// Forgets what was sent to nobody, and who was dismissed: what the world remembers of them takes memory.
    pub fn forget_the_gone(&mut self) {
        (self.strays, self.dismissed) = (Vec::new(), BTreeSet::new());
    }

    /// From here on no media and no message may leave for any address of this participant, whether it listens or not.
    pub fn dismiss(&mut self, id: RemoteId) {
        let own = self.owners.iter().filter(|(_, owner)| owner.0 == id);
        self.dismissed.extend(own.map(|(&outside, _)| outside));
    }

    /// Media and messages that left for the addresses of those who were dismissed.
    pub const fn sent_to_dismissed(&self) -> u64 {
        self.sent_to_dismissed
    }

    /// How many datagrams have left the server.
    pub const fn departures(&self) -> u64 {
        self.departures
    }

    pub(super) fn add_place(&mut self, address: SocketAddr, up: LinkId, down: LinkId) -> RemoteId {
        let place = Place { up, down, translations: BTreeMap::new(), inbox: VecDeque::new() };
        let free = self.places.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[index] = Some(place);
        self.owners.insert(address, (RemoteId(index), address));
        RemoteId(index)
    }

    pub(super) fn remove_place(&mut self, id: RemoteId) {
        self.owners.retain(|_, owner| owner.0 != id);
        let Some(place) = self.places[id.0].take() else { return };
        let used = |link| self.places.iter().flatten().any(|other| other.up == link || other.down == link);
        let free = [place.up, place.down].into_iter().filter(|&link| !used(link));
        self.free_links.extend(free);
    }

    /// Sends what the server put on the wire.
    pub(super) fn send_down(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        let departure = Some(Departure { serial: self.departures, at: now });
        self.departures += 1;
        self.sent_to_dismissed += u64::from(carries_something(bytes) && self.dismissed.contains(&to));
        let passing = Passing { from: self.server, to, bytes: bytes.to_vec(), departure };
        match self.owners.get(&to) {
            Some(&(id, _)) => {
                let down = self.place(id).down;
                self.links[down.0].send(passing, bytes.len() + HEADERS, now);
            }
            None if self.strays.len() < MAX_STRAYS => self.strays.push(passing),
            None => {}
        }
    }

    /// Sends what a participant put on the wire; only the server can be reached.
    pub(super) fn send_up(&mut self, id: RemoteId, outgoing: Outgoing, now: Instant) {
        let Outgoing { source, destination, bytes } = outgoing;
        let place = self.place(id);
        let outside = place.translations.get(&source).copied().unwrap_or(Some(source));
        let (Some(from), true) = (outside, destination == self.server) else {
            return;
        };
        let (up, size) = (place.up, bytes.len() + HEADERS);
        self.links[up.0].send(Passing { from, to: destination, bytes, departure: None }, size, now);
    }

    /// Moves what has arrived off the links.
    pub(super) fn carry(&mut self, now: Instant) {
        for index in 0..self.links.len() {
            while let Some(passing) = self.links[index].receive(now) {
                if passing.departure.is_some() {
                    self.deliver(passing);
                } else {
                    self.admit(passing);
                }
            }
        }
    }

    pub(super) fn arrival(&mut self, id: RemoteId) -> Option<(Passing, SocketAddr)> {
        self.places[id.0].as_mut()?.inbox.pop_front()
    }

    pub(super) fn take_doorstep(&mut self, most: usize) -> Vec<Passing> {
        let count = self.doorstep.len().min(most);
        self.doorstep.drain(..count).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.links.iter().filter_map(Link::poll_timeout).min()
    }

    fn deliver(&mut self, passing: Passing) {
        // Looked up again: the address may have been given up while the datagram was under way.
        if let Some(&(id, inside)) = self.owners.get(&passing.to) {
            self.place_mut(id).inbox.push_back((passing, inside));
        }
    }

    fn admit(&mut self, passing: Passing) {
        let fate = self.checkpoint.as_mut().map_or(Fate::Pass, |decide| decide(&passing));
        if matches!(fate, Fate::Copy | Fate::Hold) {
            self.kept.push(passing.clone());
        }
        if matches!(fate, Fate::Pass | Fate::Copy) {
            self.doorstep.push_back(passing);
        }
    }

    fn place(&self, id: RemoteId) -> &Place {
        self.places[id.0].as_ref().expect("the participant has not vanished")
    }

    fn place_mut(&mut self, id: RemoteId) -> &mut Place {
        self.places[id.0].as_mut().expect("the participant has not vanished")
    }
}

/// Whether a datagram is RTP, RTCP or application data of DTLS 1.2, rather than a check or a goodbye.
fn carries_something(bytes: &[u8]) -> bool {
    match classify(bytes) {
        DatagramKind::Rtp | DatagramKind::Rtcp => true,
        DatagramKind::Dtls => bytes.first() == Some(&DTLS_APPLICATION_DATA),
        DatagramKind::Stun | DatagramKind::Unknown => false,
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("links", &self.links.len())
            .field("owners", &self.owners)
            .finish_non_exhaustive()
    }
}
