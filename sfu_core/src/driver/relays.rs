//! Relays between the workers of one process: the transport below `engine/relay.rs`. A pair of workers has one ring each way, of
//! bytes, frame after frame; what a turn has to say goes into it at its end, all at once, and then the other worker is woken.
//!
//! What takes a right away does not wait in the ring: every frame carries how often its relay had been cut before, which both
//! ends see in one place ([`Shared`]), so that older frames are dropped; the other worker is told to look there ([`Orders`]), and
//! the answer to a revocation waits until it has.

mod orders;
mod registry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rtrb::{Consumer, CopyToUninit as _, Producer, RingBuffer};

use self::orders::Orders;
use self::registry::Shared;
pub(super) use self::registry::{RelayRegistry, claim};
use super::wake::Wake;
use super::worker::Drive;
use crate::engine::transmit::{Frame, RelayEnd, RelayNotice};
use crate::ids::RelayId;

/// Bytes on their way from one worker to another: 8 ms of 1 Gbit/s, several turns of a busy worker. The memory is taken from the
/// system only where it is written to.
const MAX_RELAY_BYTES: usize = 1 << 20;
/// Before each frame: its length, what it is, how often its relay was cut, and its relay.
const HEADER_LEN: usize = 16;
/// What a frame may be.
const RTP: u8 = 0;
const RTCP: u8 = 1;
const FEEDBACK: u8 = 2;

/// The way to another worker.
struct Out {
    ring: Producer<u8>,
    /// What this turn has to say.
    staged: Vec<u8>,
    orders: Arc<Orders>,
    wake: Arc<Wake>,
}

/// The way from another worker.
struct In {
    ring: Consumer<u8>,
    orders: Arc<Orders>,
    wake: Arc<Wake>,
}

/// An end of a relay in this worker.
#[derive(Debug)]
struct End {
    shared: Arc<Shared>,
    /// How often it was cut, as far as this end knows.
    cuts: usize,
}

/// Until another worker has heeded an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    worker: usize,
    order: usize,
}

/// The ends of relays in one worker, and the ways to all workers, itself among them.
pub(super) struct Relays {
    worker: usize,
    registry: RelayRegistry,
    ends: BTreeMap<(RelayId, RelayEnd), End>,
    to: Vec<Out>,
    from: Vec<In>,
    wake: Arc<Wake>,
    /// Scratch of [`receive`](Self::receive).
    received: Vec<u8>,
    notices: Vec<RelayNotice>,
    /// Frames that found no room.
    dropped: u64,
}

/// The relays of so many workers.
///
/// # Errors
/// When the kernel has no file descriptor left.
pub(super) fn mesh(workers: usize) -> std::io::Result<Vec<Relays>> {
    let registry = RelayRegistry::default();
    let mut wakes = Vec::new();
    for _ in 0..workers {
        wakes.push(Arc::new(Wake::new()?));
    }
    let make = |(worker, wake): (usize, &Arc<Wake>)| Relays {
        worker,
        registry: Arc::clone(&registry),
        ends: BTreeMap::new(),
        to: Vec::new(),
        from: Vec::new(),
        wake: Arc::clone(wake),
        received: Vec::new(),
        notices: Vec::new(),
        dropped: 0,
    };
    let mut relays: Vec<Relays> = wakes.iter().enumerate().map(make).collect();
    for from in 0..workers {
        for to in 0..workers {
            let (producer, consumer) = RingBuffer::new(MAX_RELAY_BYTES);
            let orders = Arc::new(Orders::new());
            let wake = Arc::clone(&wakes[to]);
            relays[from].to.push(Out { ring: producer, staged: Vec::new(), orders: Arc::clone(&orders), wake });
            relays[to].from.push(In { ring: consumer, orders, wake: Arc::clone(&wakes[from]) });
        }
    }
    Ok(relays)
}

impl Relays {
    /// What wakes this worker.
    pub(super) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Takes note of an end that a command is about to make; false when there is such an end in some worker.
    pub(super) fn open(&mut self, relay: RelayId, end: RelayEnd) -> bool {
        let Some(shared) = claim(&self.registry, relay, end, self.worker) else { return false };
        let cuts = shared.cuts();
        self.ends.insert((relay, end), End { shared, cuts });
        true
    }

    /// The command was refused: there is no such end, and another command may make it, in this worker or another one.
    pub(super) fn retract(&mut self, relay: RelayId, end: RelayEnd) {
        if let Some(end_here) = self.ends.remove(&(relay, end)) {
            registry::retract(&self.registry, relay, end, &end_here.shared);
        }
    }

    fn forget(&mut self, relay: RelayId, end: RelayEnd) {
        if let Some(end_here) = self.ends.remove(&(relay, end)) {
            registry::release(&self.registry, relay, end, &end_here.shared);
        }
    }

    /// Keeps a frame for the worker with the other end until [`publish`](Self::publish). Before there is one, nobody misses it.
    pub(super) fn send(&mut self, relay: RelayId, frame: Frame<'_>) {
        let taker = frame.taker();
        let Some(end) = self.ends.get(&(relay, taker.other())) else { return };
        let Some(out) = end.shared.worker_of(taker).and_then(|worker| self.to.get_mut(worker)) else { return };
        let (kind, bytes) = match frame {
            Frame::Rtp(bytes) => (RTP, bytes),
            Frame::Rtcp(bytes) => (RTCP, bytes),
            Frame::Feedback(bytes) => (FEEDBACK, bytes),
        };
        if out.staged.len() + HEADER_LEN + bytes.len() > MAX_RELAY_BYTES {
            self.dropped += 1;
            return;
        }
        out.staged.extend_from_slice(&(bytes.len() as u16).to_ne_bytes());
        out.staged.extend_from_slice(&[kind, 0]);
        out.staged.extend_from_slice(&(end.cuts as u32).to_ne_bytes());
        out.staged.extend_from_slice(&relay.0.to_ne_bytes());
        out.staged.extend_from_slice(bytes);
    }

    /// Hands over what was said in this turn, as far as there is room, and wakes those who are to hear it.
    pub(super) fn publish(&mut self) {
        for out in self.to.iter_mut().filter(|out| !out.staged.is_empty()) {
            let (len, left_out) = fitting(&out.staged, out.ring.slots());
            self.dropped += left_out;
            if let Ok(mut chunk) = out.ring.write_chunk_uninit(len) {
                let (first, second) = chunk.as_mut_slices();
                let (before, after) = out.staged[..len].split_at(first.len());
                before.copy_to_uninit(first);
                after.copy_to_uninit(second);
                // SAFETY: both slices were written whole just now, and they are all of the chunk.
                unsafe { chunk.commit_all() };
            }
            out.staged.clear();
            out.wake.raise();
        }
    }

    /// Takes in what other workers have said.
    pub(super) fn receive(&mut self, engine: &mut impl Drive, now: Instant) {
        let mut received = std::mem::take(&mut self.received);
        for from in 0..self.from.len() {
            let ring = &mut self.from[from].ring;
            let Ok(chunk) = ring.read_chunk(ring.slots()) else { continue };
            if chunk.is_empty() {
                continue;
            }
            let (first, second) = chunk.as_slices();
            received.clear();
            received.extend_from_slice(first);
            received.extend_from_slice(second);
            chunk.commit_all();
            for (relay, cuts, frame) in frames(&received) {
                self.take(engine, (relay, cuts, frame), now);
            }
        }
        self.received = received;
    }

    fn take(&mut self, engine: &mut impl Drive, (relay, cuts, frame): (RelayId, u32, Frame<'_>), now: Instant) {
        let Some(end) = self.ends.get_mut(&(relay, frame.taker())) else { return };
        if frame.taker() == RelayEnd::Far {
            let ahead = cuts.wrapping_sub(end.cuts as u32) as i32;
            if ahead < 0 {
                return; // from before a right ended
            }
            if ahead > 0 {
                end.cuts = end.shared.cuts();
                engine.cut_relay(relay);
            }
        }
        engine.ingest_relay(relay, frame, now);
    }

    /// Does what other workers have ordered since the last look. One atomic load for each when there is nothing. Says whether there
    /// was something.
    pub(super) fn heed(&mut self, engine: &mut impl Drive) -> bool {
        let mut heeded = false;
        for from in 0..self.from.len() {
            let Some(given) = self.from[from].orders.given() else { continue };
            let mut closed = Vec::new();
            for (&(relay, end), here) in &mut self.ends {
                if here.shared.worker_of(end.other()) != Some(from) {
                    continue;
                }
                let cuts = here.shared.cuts();
                if end == RelayEnd::Far && std::mem::replace(&mut here.cuts, cuts) != cuts {
                    engine.cut_relay(relay);
                }
                if here.shared.is_closed(end.other()) {
                    closed.push((relay, end));
                }
            }
            for (relay, end) in closed {
                engine.close_relay(relay, end);
                self.forget(relay, end);
            }
            self.from[from].orders.heed(given);
            self.from[from].wake.raise();
            heeded = true;
        }
        heeded
    }

    /// Tells other workers what the engine wants their ends to know first. Returns what must be heeded before the answer to a
    /// revocation is true.
    pub(super) fn tell(&mut self, engine: &mut impl Drive) -> Vec<Wait> {
        let mut notices = std::mem::take(&mut self.notices);
        engine.drain_relay_notices(&mut notices);
        let mut waits = Vec::new();
        for notice in notices.drain(..) {
            let (relay, end) = match notice {
                RelayNotice::Cut(relay) => (relay, RelayEnd::Near),
                RelayNotice::Closed(relay, end) => (relay, end),
            };
            let Some(here) = self.ends.get_mut(&(relay, end)) else { continue };
            let other = here.shared.worker_of(end.other()).filter(|_| !here.shared.is_closed(end.other()));
            match notice {
                RelayNotice::Cut(_) => here.cuts = here.shared.cut(),
                RelayNotice::Closed(..) => self.forget(relay, end),
            }
            if let Some((worker, out)) = other.and_then(|worker| Some((worker, self.to.get(worker)?))) {
                let order = out.orders.give();
                out.wake.raise();
                if end == RelayEnd::Near {
                    waits.push(Wait { worker, order });
                }
            }
        }
        self.notices = notices;
        waits
    }

    /// Whether the other worker has done so, or never will again do anything.
    pub(super) fn is_over(&self, wait: Wait) -> bool {
        self.to.get(wait.worker).is_none_or(|out| out.orders.is_heeded(wait.order))
    }

    /// This worker has failed: its ends are no more.
    pub(super) fn fail(&mut self) {
        for (relay, end) in self.ends.keys().copied().collect::<Vec<_>>() {
            self.forget(relay, end);
        }
        for from in &self.from {
            from.orders.abandon();
            from.wake.raise();
        }
        for out in &self.to {
            out.orders.give();
            out.wake.raise();
        }
    }

    /// How many frames found no room since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// How many of the staged bytes fit whole frames into so much room, and how many frames do not.
fn fitting(staged: &[u8], room: usize) -> (usize, u64) {
    if staged.len() <= room {
        return (staged.len(), 0);
    }
    let (mut len, mut left_out) = (0, 0);
    for (_, _, frame) in frames(staged) {
        let (Frame::Rtp(bytes) | Frame::Rtcp(bytes) | Frame::Feedback(bytes)) = frame;
        if left_out == 0 && len + HEADER_LEN + bytes.len() <= room {
            len += HEADER_LEN + bytes.len();
        } else {
            left_out += 1;
        }
    }
    (len, left_out)
}

/// The frames in a run of bytes, each with its relay and how often that had been cut.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (RelayId, u32, Frame<'_>)> {
    std::iter::from_fn(move || {
        let (&[l0, l1, kind, _, c0, c1, c2, c3, ref relay @ ..], rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_ne_bytes([l0, l1])))?;
        bytes = rest;
        let frame = match kind {
            RTP => Frame::Rtp(body),
            RTCP => Frame::Rtcp(body),
            _ => Frame::Feedback(body),
        };
        Some((RelayId(u64::from_ne_bytes(*relay)), u32::from_ne_bytes([c0, c1, c2, c3]), frame))
    })
}

#[cfg(test)]
mod tests;
