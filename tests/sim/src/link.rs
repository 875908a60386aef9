//! One direction of an emulated path: a bottleneck with its queue, then loss, delay, jitter and duplication on the way.

mod bottleneck;
mod loss;
#[cfg(test)]
mod tests;
mod trace;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

pub use bottleneck::{Capacity, MAX_QUEUE_BYTES, QueueLimit};
pub use loss::{GilbertElliott, Loss};
use sfu_core::units::Bitrate;
pub use trace::{MAX_OPPORTUNITIES, OPPORTUNITY_BYTES, Trace};

use self::bottleneck::{Bottleneck, drain_time};
use self::loss::LossState;
use crate::random::Random;

/// How a link behaves. The default is a perfect one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkConfig {
    /// How fast it drains.
    pub capacity: Capacity,
    /// How much may wait for that.
    pub queue: QueueLimit,
    /// How long everything travels.
    pub delay: Duration,
    /// How much longer some travel, at most.
    pub jitter: Duration,
    /// Whether jitter may let a later datagram overtake an earlier one.
    pub reorders: bool,
    /// What never arrives.
    pub loss: Loss,
    /// Probability that a datagram arrives twice.
    pub duplicates: f64,
    /// Whether nothing passes at all.
    pub blocked: bool,
}

impl LinkConfig {
    /// A link that only takes time.
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// A link of constant capacity with a drop-tail queue of `queue` at that rate.
    pub fn constant(rate: Bitrate, delay: Duration, queue: Duration) -> Self {
        let (capacity, queue) = (Capacity::Constant(rate), QueueLimit::Delay(queue));
        Self { capacity, queue, delay, ..Self::default() }
    }

    /// The same link, losing this share of its datagrams.
    #[must_use]
    pub fn losing(self, share: f64) -> Self {
        Self { loss: Loss::Random(share), ..self }
    }
}

/// What has happened to everything given to a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Given to the link.
    pub sent: u64,
    /// Arrived, duplicates not counted.
    pub delivered: u64,
    /// Arrived a second time.
    pub duplicated: u64,
    /// Given to it while it was blocked.
    pub blocked: u64,
    /// Found the queue full.
    pub overflowed: u64,
    /// Lost on the way.
    pub lost: u64,
}

/// One direction of a path, carrying `T`.
#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    loss: LossState,
    bottleneck: Bottleneck<T>,
    travelling: BinaryHeap<Reverse<Travelling<T>>>,
    latest_arrival: Instant,
    serial: u64,
    random: Random,
    counters: LinkCounters,
}

impl<T: Clone> Link<T> {
    /// A link with nothing on it.
    pub fn new(config: LinkConfig, random: Random, now: Instant) -> Self {
        Self {
            loss: LossState::new(config.loss),
            bottleneck: Bottleneck::new(config.capacity.clone(), config.queue, now),
            travelling: BinaryHeap::new(),
            latest_arrival: now,
            serial: 0,
            random,
            counters: LinkCounters::default(),
            config,
        }
    }

    /// Changes how the link behaves. What is on it already stays on it.
    pub fn reconfigure(&mut self, config: LinkConfig, now: Instant) {
        self.drain(now);
        self.bottleneck.reconfigure(config.capacity.clone(), config.queue, now);
        if config.loss != self.config.loss {
            self.loss = LossState::new(config.loss);
        }
        self.config = config;
    }

    /// Puts `item`, of `size` bytes on the wire, on the link.
    pub fn send(&mut self, item: T, size: usize, now: Instant) {
        self.drain(now);
        self.counters.sent += 1;
        if self.config.blocked {
            self.counters.blocked += 1;
        } else if !self.bottleneck.push(item, size, now) {
            self.counters.overflowed += 1;
        }
    }

    /// The next one that has arrived at `now`.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        self.drain(now);
        let due = self.travelling.peek().is_some_and(|Reverse(next)| next.at <= now);
        due.then(|| self.travelling.pop().map(|Reverse(next)| next.item)).flatten()
    }

    /// When something next happens on the link.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let arrival = self.travelling.peek().map(|Reverse(next)| next.at);
        [arrival, self.bottleneck.poll_timeout()].into_iter().flatten().min()
    }

    /// How the link behaves.
    pub const fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// What has happened so far.
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// How long a datagram that came now would wait before it leaves.
    pub fn queueing_delay(&self) -> Duration {
        drain_time(self.bottleneck.queued_bytes(), &self.config.capacity)
    }

    fn drain(&mut self, now: Instant) {
        while let Some((item, departed)) = self.bottleneck.pop(now) {
            if self.loss.loses(&mut self.random) {
                self.counters.lost += 1;
                continue;
            }
            self.counters.delivered += 1;
            if self.random.chance(self.config.duplicates) {
                self.counters.duplicated += 1;
                self.travel(item.clone(), departed);
            }
            self.travel(item, departed);
        }
    }

    fn travel(&mut self, item: T, departed: Instant) {
        let at = departed + self.config.delay + self.random.span(self.config.jitter);
        let at = if self.config.reorders { at } else { at.max(self.latest_arrival) };
        self.latest_arrival = self.latest_arrival.max(at);
        self.serial += 1;
        self.travelling.push(Reverse(Travelling { at, serial: self.serial, item }));
    }
}

/// Something on the way, ordered by arrival and then by departure.
#[derive(Debug)]
struct Travelling<T> {
    at: Instant,
    serial: u64,
    item: T,
}

impl<T> PartialEq for Travelling<T> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<T> Eq for Travelling<T> {}

impl<T> PartialOrd for Travelling<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Travelling<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}
