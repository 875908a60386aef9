//! Figures of the rim: written by one worker, read by anyone at any time without stopping it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stats::Histogram;

/// A figure with one writer.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// Adds. Only the owner calls this, so load and store need not be one step.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Replaces.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Keeps the larger one.
    pub fn raise_to(&self, value: u64) {
        self.set(self.load().max(value));
    }

    /// The figure now.
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// From a turn with nothing to do to one that is heard as a stutter, in microseconds.
const FORWARD_BOUNDS_US: [u64; 12] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000];

/// How long something took, in buckets with one writer.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [Figure; FORWARD_BOUNDS_US.len() + 1],
    sum_us: Figure,
}

impl Durations {
    /// Counts `times` observations at once.
    pub fn observe(&self, span: Duration, times: u64) {
        let micros = span.as_micros() as u64;
        self.counts[FORWARD_BOUNDS_US.partition_point(|bound| *bound < micros)].add(times);
        self.sum_us.add(micros.saturating_mul(times));
    }

    /// All observations so far, in seconds.
    pub fn histogram(&self) -> Histogram {
        let bounds: Vec<f64> = FORWARD_BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).collect();
        let counts = self.counts.iter().map(Figure::load).collect();
        Histogram { bounds, counts, sum: self.sum_us.load() as f64 / 1e6 }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What one worker counts.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Figure,)+
            /// From the start of a turn that took datagrams in to when the kernel had what left in it, for each datagram.
            pub forward: Durations,
        }

        /// What one worker had counted at an instant.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct CounterValues {
            $($(#[$doc])* pub $name: u64,)+
            /// From the start of a turn that took datagrams in to when the kernel had what left in it, in seconds.
            pub forward_s: Histogram,
        }

        impl Counters {
            /// All figures now.
            pub fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.load(),)+ forward_s: self.forward.histogram() }
            }
        }
    };
}

counters! {
    /// Turns of the loop.
    turns,
    /// Microseconds spent working rather than waiting.
    busy_us,
    /// Microseconds since the loop began.
    elapsed_us,
    /// The latest any deadline was met, in microseconds.
    worst_lag_us,
    /// Datagrams received.
    datagrams_in,
    /// Their bytes.
    bytes_in,
    /// Receive calls that brought something.
    receive_calls,
    /// Receive calls that failed.
    receive_errors,
    /// Datagrams dropped because they were larger than any we accept.
    truncated,
    /// Datagrams the kernel dropped because we did not read them in time.
    kernel_drops,
    /// Datagrams handed to the kernel.
    datagrams_out,
    /// Their bytes.
    bytes_out,
    /// Send calls.
    send_calls,
    /// Times the kernel took no more.
    socket_full,
    /// Datagrams the kernel refused for their destination.
    unreachable,
    /// 1 while the kernel cuts groups for us.
    segmentation,
    /// Commands carried out or refused.
    commands,
    /// Revocations among them.
    revocations,
    /// Level-type events replaced by a newer one before anyone read them.
    events_coalesced,
    /// Edge-type events lost because nobody read them; a resync tells the reader.
    events_lost,
    /// Messages of data channels that were not told because too much was waiting to be read.
    messages_lost,
    /// Packets of or for bots dropped because they were not taken in time.
    bot_drops,
    /// Frames of relays dropped because the other worker did not take them in time.
    relay_drops,
    /// 1 when the worker has failed.
    failed,
}
