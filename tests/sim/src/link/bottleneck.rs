//! The narrowest place of a path: a drop-tail queue drained at the link's capacity.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sfu_core::units::{Bitrate, DataSize};

use super::trace::{OPPORTUNITY_BYTES, Trace};

/// A queue always takes one datagram, however short it is.
const MIN_QUEUE_BYTES: usize = 1_500;
/// A queue without a limit of its own; larger than any buffer a path has, so that a mistake shows as delay and not as
/// memory.
pub const MAX_QUEUE_BYTES: usize = 64 << 20;
/// One byte in units of bits times nanoseconds per second, so that serving at any rate needs no fractions.
const BYTE_WORK: u128 = 8 * 1_000_000_000;

/// How fast a link drains.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Capacity {
    /// Everything passes at once.
    #[default]
    Unlimited,
    /// A constant rate; zero holds everything back.
    Constant(Bitrate),
    /// A datagram at a time, when the trace allows it.
    Opportunities(Trace),
}

/// How much may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueLimit {
    /// [`MAX_QUEUE_BYTES`].
    #[default]
    Deep,
    /// So many bytes.
    Bytes(usize),
    /// As many bytes as drain in this span at the (mean) rate of the link.
    Delay(Duration),
}

impl QueueLimit {
    fn bytes(self, capacity: &Capacity) -> usize {
        let limit = match (self, capacity) {
            (Self::Deep, _) | (Self::Delay(_), Capacity::Unlimited) => MAX_QUEUE_BYTES,
            (Self::Bytes(bytes), _) => bytes,
            (Self::Delay(span), Capacity::Constant(rate)) => rate.bytes_in(span).as_bytes() as usize,
            (Self::Delay(span), Capacity::Opportunities(trace)) => trace.mean_rate().bytes_in(span).as_bytes() as usize,
        };
        limit.clamp(MIN_QUEUE_BYTES, MAX_QUEUE_BYTES)
    }
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    size: usize,
}

/// A queue and what drains it.
#[derive(Debug)]
pub(super) struct Bottleneck<T> {
    capacity: Capacity,
    limit: QueueLimit,
    queue: VecDeque<Waiting<T>>,
    queued_bytes: usize,
    /// What is left of the first one in the queue, in [`BYTE_WORK`] units.
    work_left: u128,
    /// Up to when the queue has been drained.
    served_until: Instant,
    /// Where a trace begins.
    start: Instant,
}

impl<T> Bottleneck<T> {
    pub(super) const fn new(capacity: Capacity, limit: QueueLimit, now: Instant) -> Self {
        let queue = VecDeque::new();
        Self { capacity, limit, queue, queued_bytes: 0, work_left: 0, served_until: now, start: now }
    }

    /// Takes another rate from now on; what waits goes on waiting. Call after everything due has been popped.
    pub(super) fn reconfigure(&mut self, capacity: Capacity, limit: QueueLimit, now: Instant) {
        self.serve(now);
        (self.capacity, self.limit) = (capacity, limit);
    }

    /// Queues `item`; false when the queue is full and it is lost.
    pub(super) fn push(&mut self, item: T, size: usize, now: Instant) -> bool {
        if self.queued_bytes + size > self.limit.bytes(&self.capacity) {
            return false;
        }
        if self.queue.is_empty() {
            self.served_until = now;
            self.work_left = size as u128 * BYTE_WORK;
        }
        self.queued_bytes += size;
        self.queue.push_back(Waiting { item, size });
        true
    }

    /// When the first one will be through.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.queue.front()?;
        match &self.capacity {
            Capacity::Unlimited => Some(self.served_until),
            Capacity::Constant(rate) => Some(self.served_until + time_for(self.work_left, *rate)?),
            Capacity::Opportunities(trace) => Some(self.start + trace.next_after(self.served_until - self.start)),
        }
    }

    /// The next one that is through at `now`, and when it was.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(T, Instant)> {
        loop {
            let due = self.poll_timeout().filter(|&due| due <= now)?;
            self.serve(due);
            if self.work_left == 0 {
                return self.depart().map(|item| (item, due));
            }
        }
    }

    pub(super) const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn serve(&mut self, until: Instant) {
        let span = until.saturating_duration_since(self.served_until);
        let work = match &self.capacity {
            Capacity::Unlimited => self.work_left,
            Capacity::Constant(rate) => span.as_nanos() * u128::from(rate.as_bps()),
            Capacity::Opportunities(trace) => {
                let since = self.served_until - self.start;
                let reached = !span.is_zero() && self.start + trace.next_after(since) <= until;
                if reached { OPPORTUNITY_BYTES as u128 * BYTE_WORK } else { 0 }
            }
        };
        self.work_left = self.work_left.saturating_sub(work);
        self.served_until = self.served_until.max(until);
    }

    fn depart(&mut self) -> Option<T> {
        let first = self.queue.pop_front()?;
        self.queued_bytes -= first.size;
        self.work_left = self.queue.front().map_or(0, |next| next.size as u128 * BYTE_WORK);
        Some(first.item)
    }
}

/// How long `work` takes, rounded up; `None` when it never ends.
fn time_for(work: u128, rate: Bitrate) -> Option<Duration> {
    let rate = u128::from(rate.as_bps());
    (rate > 0).then(|| Duration::from_nanos(work.div_ceil(rate) as u64))
}

/// How long `bytes` wait at a constant rate.
pub(super) fn drain_time(bytes: usize, capacity: &Capacity) -> Duration {
    let size = DataSize::bytes(bytes as u64);
    match capacity {
        Capacity::Unlimited => Duration::ZERO,
        Capacity::Constant(rate) => rate.time_for(size),
        Capacity::Opportunities(trace) => trace.mean_rate().time_for(size),
    }
}
