//! Peers inside this process: clear RTP and RTCP between the engine and whoever plays the bot, through two capped rings.
//! The worker never waits for a lock: what it cannot hand over now it hands over on its next turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wake::Wake;
use crate::ids::{PeerId, RoomId, Ssrc};

/// Most bytes that wait for a bot, and again for the engine: two seconds of 4 Mbit/s.
pub const MAX_BOT_BYTES: usize = 1_000_000;
/// Most packets that wait, however short they are: as many as fit of a quiet voice.
pub const MAX_BOT_PACKETS: usize = 10_000;
/// Largest packet a bot may send: what fits an Ethernet frame after our own headers.
pub const MAX_BOT_PACKET: usize = 1_400;

/// Packets one after the other; when full the oldest make room.
#[derive(Debug, Default)]
pub struct PacketQueue {
    bytes: VecDeque<u8>,
    lengths: VecDeque<usize>,
    dropped: u64,
}

impl PacketQueue {
    /// Adds a packet.
    pub fn push(&mut self, packet: &[u8]) {
        if packet.len() > MAX_BOT_BYTES {
            self.dropped += 1;
            return;
        }
        while (self.bytes.len() + packet.len() > MAX_BOT_BYTES || self.lengths.len() >= MAX_BOT_PACKETS)
            && self.drop_oldest()
        {}
        self.bytes.extend(packet);
        self.lengths.push_back(packet.len());
    }

    /// Takes the oldest packet, into `packet`.
    pub fn pop(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(length) = self.lengths.pop_front() else { return false };
        packet.clear();
        packet.extend(self.bytes.drain(..length));
        true
    }

    /// Moves everything behind what `other` holds.
    pub fn move_to(&mut self, other: &mut Self) {
        other.dropped += std::mem::take(&mut self.dropped);
        if other.lengths.is_empty() {
            std::mem::swap(&mut self.bytes, &mut other.bytes);
            std::mem::swap(&mut self.lengths, &mut other.lengths);
            return;
        }
        let mut packet = Vec::new();
        while self.pop(&mut packet) {
            other.push(&packet);
        }
    }

    /// Drops the packets of one sender.
    pub fn discard(&mut self, ssrc: Ssrc) {
        let mut kept = Self { dropped: self.dropped, ..Self::default() };
        let mut packet = Vec::new();
        while self.pop(&mut packet) {
            if ssrc_of(&packet) != Some(ssrc) {
                kept.push(&packet);
            }
        }
        *self = kept;
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How many packets made room since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Makes room; false when there was nothing to drop.
    fn drop_oldest(&mut self) -> bool {
        let Some(length) = self.lengths.pop_front() else { return false };
        self.bytes.drain(..length);
        self.dropped += 1;
        true
    }
}

/// Whose packet it is (RFC 3550 §5.1). RTCP is nobody's here, whatever stands in that place (RFC 5761 §4).
fn ssrc_of(packet: &[u8]) -> Option<Ssrc> {
    if matches!(packet, [_, 192..=223, ..]) {
        return None;
    }
    packet.get(8..12)?.try_into().ok().map(|bytes| Ssrc(u32::from_be_bytes(bytes)))
}

fn lock(ring: &Mutex<PacketQueue>) -> MutexGuard<'_, PacketQueue> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the worker and a bot's player share.
#[derive(Debug)]
pub struct BotLink {
    to_engine: Mutex<PacketQueue>,
    to_bot: Mutex<PacketQueue>,
    bell: Wake,
    worker: Arc<Wake>,
}

impl BotLink {
    /// Sends a clear RTP packet into the engine; false when it is too large.
    pub fn send(&self, packet: &[u8]) -> bool {
        if packet.len() > MAX_BOT_PACKET {
            return false;
        }
        lock(&self.to_engine).push(packet);
        self.worker.raise();
        true
    }

    /// Takes all packets that came from the engine.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        self.bell.lower();
        let mut taken = PacketQueue::default();
        lock(&self.to_bot).move_to(&mut taken);
        let mut packets = Vec::new();
        let mut packet = Vec::new();
        while taken.pop(&mut packet) {
            packets.push(std::mem::take(&mut packet));
        }
        packets
    }

    /// Drops what waits of one sender, whose right to be heard has ended. What the worker holds back it drops itself.
    pub fn discard(&self, ssrc: Ssrc) {
        lock(&self.to_bot).discard(ssrc);
    }

    /// Rings while there are packets to drain.
    pub fn bell(&self) -> &Wake {
        &self.bell
    }
}

/// Bots by id, for those outside the worker.
pub type BotRegistry = Arc<Mutex<BTreeMap<PeerId, Arc<BotLink>>>>;

#[derive(Debug)]
struct Bot {
    room: RoomId,
    link: Arc<BotLink>,
    waiting: PacketQueue,
}

/// The worker's bots.
#[derive(Debug)]
pub struct Bots {
    bots: BTreeMap<PeerId, Bot>,
    registry: BotRegistry,
    worker: Arc<Wake>,
    packet: Vec<u8>,
    received: PacketQueue,
    /// Whether there is anything to publish for any of them.
    waiting: bool,
    /// Packets of or for them that made room for newer ones.
    dropped: u64,
}

impl Bots {
    /// No bots yet. New ones are told to `registry`.
    pub fn new(registry: BotRegistry, worker: Arc<Wake>) -> Self {
        Self {
            bots: BTreeMap::new(),
            registry,
            worker,
            packet: Vec::new(),
            received: PacketQueue::default(),
            waiting: false,
            dropped: 0,
        }
    }

    /// A bot came to life.
    ///
    /// # Errors
    /// When the kernel has no file descriptor left.
    pub fn insert(&mut self, peer: PeerId, room: RoomId) -> std::io::Result<()> {
        let link = Arc::new(BotLink {
            to_engine: Mutex::default(),
            to_bot: Mutex::default(),
            bell: Wake::new()?,
            worker: Arc::clone(&self.worker),
        });
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, Arc::clone(&link));
        self.bots.insert(peer, Bot { room, link, waiting: PacketQueue::default() });
        Ok(())
    }

    /// A peer is gone; it may have been a bot.
    pub fn remove(&mut self, peer: PeerId) {
        if self.bots.remove(&peer).is_some() {
            self.registry.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        }
    }

    /// A room is gone with all its bots.
    pub fn remove_room(&mut self, room: RoomId) {
        let gone: Vec<PeerId> = self.bots.iter().filter(|(_, bot)| bot.room == room).map(|(&peer, _)| peer).collect();
        for peer in gone {
            self.remove(peer);
        }
    }

    /// Takes what bots have sent. A ring that its player is writing to is left for the next turn: its bell rings after.
    pub fn receive(&mut self, mut ingest: impl FnMut(PeerId, &[u8])) {
        for (&peer, bot) in &mut self.bots {
            if let Ok(mut ring) = bot.link.to_engine.try_lock() {
                ring.move_to(&mut self.received);
            }
            while self.received.pop(&mut self.packet) {
                ingest(peer, &self.packet);
            }
            self.dropped += self.received.take_dropped();
        }
    }

    /// Keeps a packet for a bot until [`publish`](Self::publish).
    pub fn deliver(&mut self, peer: PeerId, packet: &[u8]) {
        if let Some(bot) = self.bots.get_mut(&peer) {
            bot.waiting.push(packet);
            self.waiting = true;
        }
    }

    /// Drops what [`publish`](Self::publish) has held back: a right has ended, and it may be to some of that. Hardly ever is
    /// there anything, so that it does not matter whose it is; a keyframe asked for is asked for again.
    pub fn drop_held_back(&mut self) {
        if !std::mem::take(&mut self.waiting) {
            return;
        }
        for bot in self.bots.values_mut() {
            self.dropped += bot.waiting.take_dropped();
            while bot.waiting.drop_oldest() {}
            bot.waiting.take_dropped(); // these made room for nothing
        }
    }

    /// Hands over what was delivered; true when some must wait for the next turn.
    pub fn publish(&mut self) -> bool {
        let mut held_back = false;
        for bot in self.bots.values_mut().filter(|bot| !bot.waiting.is_empty()) {
            let Ok(mut ring) = bot.link.to_bot.try_lock() else {
                held_back = true;
                continue;
            };
            bot.waiting.move_to(&mut ring);
            self.dropped += ring.take_dropped();
            drop(ring);
            bot.link.bell.raise();
        }
        self.waiting = held_back;
        held_back
    }

    /// How many packets of or for bots made room for newer ones since this was last asked: nobody took them in time.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
#[path = "bots/tests.rs"]
mod tests;
