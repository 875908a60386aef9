//! Spreading packets to one subscriber over time, so that bursts do not fill the queues on the way (RFC 8836 §2.1).
//!
//! Packets leave in groups of 5 ms at the pacing rate, or of one packet where that is more. Audio leaves at once and is
//! counted; then repairs, then video, then padding. What has waited too long is worth nothing any more and is dropped.

use std::time::Duration;

use crate::prefetch::prefetch_place;
use crate::units::{Bitrate, Nanos};

/// Most packets that wait: a keyframe of 250 kB and some frames.
pub const MAX_QUEUED_PACKETS: usize = 512;
/// More packets than a camera's keyframe has, and fewer than the smallest ring of pictures: what waits must not be written over.
const LONG_QUEUE: usize = 64;
/// The same in bytes.
const LONG_QUEUE_BYTES: usize = 48 << 10;
/// Most bytes that wait: as many packets at full size.
pub const MAX_QUEUED_BYTES: usize = 512 * 1_200;
/// A packet that has waited this long comes too late for its frame.
pub const MAX_QUEUE_AGE: Duration = Duration::from_millis(800);
/// Room at first, by [`PaceKind`]: nothing has to be allocated when a call is under way, except for a keyframe.
const FIRST_CAPACITY: [usize; 3] = [4, 16, 32];
/// What leaves together: short against any queue on the way, long against the timer's resolution.
pub const GROUP_SPAN: Duration = Duration::from_millis(5);
const MAX_AGE_NANOS: u64 = MAX_QUEUE_AGE.as_nanos() as u64;
const GROUP_NANOS: u64 = GROUP_SPAN.as_nanos() as u64;
/// Below this rate (audio alone) pacing has no meaning.
const MIN_RATE: Bitrate = Bitrate::kbps(10);
/// Nanoseconds per byte are kept with this many binary places.
const FRACTION_BITS: u32 = 16;

/// What a packet is, in the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaceKind {
    /// Leaves at once.
    Audio,
    /// A video packet sent again: the subscriber's decoder waits for it.
    Retransmission,
    /// A video packet.
    Video,
}

/// The queue to one subscriber; `T` names a packet.
#[derive(Debug, Clone)]
pub struct Pacer<T> {
    /// By [`PaceKind`].
    queues: [Fifo<PacedItem<T>>; 3],
    packets: usize,
    bytes: usize,
    /// When all that has left would have left at the pacing rate, in nanoseconds since the epoch.
    drained_at: u64,
    /// The current group takes no more once `drained_at` reaches this.
    group_ends: u64,
    nanos_per_byte: u64,
    /// Nothing waits too long before this.
    ages_at: u64,
    /// Dropped for their age and not told yet.
    aged: u64,
}

impl<T: Copy> Pacer<T> {
    /// An empty queue that sends at `rate`.
    pub fn new(rate: Bitrate) -> Self {
        let mut pacer = Self {
            queues: FIRST_CAPACITY.map(Fifo::with_capacity),
            packets: 0,
            bytes: 0,
            drained_at: 0,
            group_ends: 0,
            nanos_per_byte: 0,
            ages_at: u64::MAX,
            aged: 0,
        };
        pacer.set_rate(rate);
        pacer
    }

    /// Sends at `rate` from now on.
    pub fn set_rate(&mut self, rate: Bitrate) {
        self.nanos_per_byte = (8_000_000_000 << FRACTION_BITS) / rate.max(MIN_RATE).as_bps();
    }

    /// Queues the packet that `make` returns; it is made where it will lie, because moving what was just written piece by piece
    /// makes the processor wait. Returns false, and makes nothing, when the queue is full.
    #[inline]
    pub fn push(&mut self, make: impl FnOnce() -> T, kind: PaceKind, size: u16, now: Nanos) -> bool {
        let full = self.packets >= MAX_QUEUED_PACKETS || self.bytes + usize::from(size) > MAX_QUEUED_BYTES;
        if full {
            return false;
        }
        self.packets += 1;
        self.bytes += usize::from(size);
        let queued_at = now.0;
        if kind != PaceKind::Audio {
            self.ages_at = self.ages_at.min(queued_at + MAX_AGE_NANOS);
        }
        self.queues[kind as usize].push(|| PacedItem { item: make(), size, queued_at });
        true
    }

    /// The next packet to leave now; call until `None`.
    #[inline]
    pub fn poll(&mut self, Nanos(now): Nanos) -> Option<T> {
        if self.packets == 0 {
            return None;
        }
        if now > self.ages_at {
            self.drop_aged(now);
        }
        let open = self.is_open(now);
        let queue = if open { self.queues.iter_mut().find(|queue| !queue.is_empty())? } else { &mut self.queues[0] };
        let PacedItem { item, size, .. } = queue.pop()?;
        self.forget(size);
        self.charge(size, now);
        Some(item)
    }

    /// Fetches where the next `count` packets of this kind are put.
    #[inline]
    pub fn prefetch(&self, kind: PaceKind, count: usize) {
        self.queues[kind as usize].prefetch(count);
    }

    /// The most urgent of those that wait.
    #[inline]
    pub fn peek(&self) -> Option<&T> {
        self.queues.iter().find_map(Fifo::front).map(|queued| &queued.item)
    }

    /// When [`poll`](Self::poll) next has a packet; `None` when nothing waits. In the past when it has one already.
    pub fn next_due(&self) -> Option<Nanos> {
        if self.packets == 0 {
            return None;
        }
        let open = !self.queues[PaceKind::Audio as usize].is_empty() || self.drained_at < self.group_ends;
        let due = if open { self.oldest() } else { self.drained_at };
        Some(Nanos(due))
    }

    /// How much padding may leave now, in bytes: the room of the current group when nothing waits.
    pub fn padding_room(&self, Nanos(now): Nanos) -> usize {
        if self.packets > 0 || !self.is_open(now) {
            return 0;
        }
        let nanos = if self.drained_at <= now { GROUP_NANOS } else { self.group_ends - self.drained_at };
        ((nanos << FRACTION_BITS) / self.nanos_per_byte.max(1)) as usize
    }

    /// Counts something that left without the queue, such as padding.
    pub fn on_padding(&mut self, size: u16, Nanos(now): Nanos) {
        self.charge(size, now);
    }

    /// Drops what waits and is not `wanted` any more.
    pub fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        for queue in &mut self.queues {
            queue.retain(|queued| wanted(&queued.item));
        }
        self.packets = self.queues.iter().map(Fifo::len).sum();
        self.bytes = self.queues.iter().flat_map(Fifo::iter).map(|queued| usize::from(queued.size)).sum();
    }

    /// Whether so much waits that it may take long: more than a keyframe of a camera.
    #[inline]
    pub fn is_long(&self) -> bool {
        self.packets > LONG_QUEUE || self.bytes > LONG_QUEUE_BYTES
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.packets
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// How many were dropped since this was last asked because they had waited for [`MAX_QUEUE_AGE`].
    #[inline]
    pub fn take_aged(&mut self) -> u64 {
        std::mem::take(&mut self.aged)
    }

    /// Whether the current group takes another packet, or a new one may begin.
    #[inline]
    fn is_open(&self, now: u64) -> bool {
        self.drained_at <= now || self.drained_at < self.group_ends
    }

    #[inline]
    fn charge(&mut self, size: u16, now: u64) {
        if self.drained_at <= now {
            self.drained_at = now;
            self.group_ends = now + GROUP_NANOS;
        }
        let half = 1 << (FRACTION_BITS - 1);
        self.drained_at += (u64::from(size) * self.nanos_per_byte + half) >> FRACTION_BITS;
    }

    #[cold]
    fn drop_aged(&mut self, now: u64) {
        let limit = now - MAX_AGE_NANOS;
        self.ages_at = u64::MAX;
        for kind in [PaceKind::Retransmission, PaceKind::Video] {
            while let Some(&PacedItem { size, .. }) =
                self.queues[kind as usize].front().filter(|queued| queued.queued_at < limit)
            {
                self.queues[kind as usize].pop();
                self.forget(size);
                self.aged += 1;
            }
            if let Some(PacedItem { queued_at, .. }) = self.queues[kind as usize].front() {
                self.ages_at = self.ages_at.min(queued_at + MAX_AGE_NANOS);
            }
        }
    }

    fn forget(&mut self, size: u16) {
        self.packets -= 1;
        self.bytes -= usize::from(size);
    }

    /// How long the packet that waits longest has waited.
    pub fn oldest_wait(&self, now: Nanos) -> Duration {
        if self.packets == 0 {
            return Duration::ZERO;
        }
        now.since(Nanos(self.oldest()))
    }

    fn oldest(&self) -> u64 {
        self.queues.iter().filter_map(Fifo::front).map(|queued| queued.queued_at).min().unwrap_or(0)
    }
}

/// First in, first out. Emptied, it begins again at its start: a queue that is nearly always short then stays in the same few
/// cache lines, where a circular one would walk through all of its memory.
#[derive(Debug, Clone)]
struct Fifo<T> {
    items: Vec<T>,
    head: usize,
}

impl<T: Copy> Fifo<T> {
    fn with_capacity(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity), head: 0 }
    }

    #[inline]
    fn push(&mut self, make: impl FnOnce() -> T) {
        if self.items.len() == self.items.capacity() && self.head * 2 >= self.items.len() {
            self.items.drain(..self.head);
            self.head = 0;
        }
        self.items.push(make());
    }

    #[inline]
    fn front(&self) -> Option<&T> {
        self.items.get(self.head)
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let item = *self.front()?;
        self.head += 1;
        if self.head == self.items.len() {
            self.clear();
        }
        Some(item)
    }

    fn clear(&mut self) {
        self.items.clear();
        self.head = 0;
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn len(&self) -> usize {
        self.items.len() - self.head
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.items[self.head..].iter()
    }

    #[cold]
    fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        self.items.drain(..self.head);
        self.head = 0;
        self.items.retain(wanted);
    }

    /// Fetches where the next `count` items go.
    #[inline]
    fn prefetch(&self, count: usize) {
        let next = self.items.as_ptr().wrapping_add(self.items.len());
        for place in 0..count {
            prefetch_place(next.wrapping_add(place));
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct PacedItem<T> {
    item: T,
    size: u16,
    queued_at: u64,
}

#[cfg(test)]
mod tests;
