//! Figures of the rim: written by one worker, read by anyone at any time without stopping it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

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

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What one worker counts.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Figure),+ }

        /// What one worker had counted at an instant.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct CounterValues { $($(#[$doc])* pub $name: u64),+ }

        impl Counters {
            /// All figures now.
            pub fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.load()),+ }
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
    /// 1 when the worker has failed.
    failed,
}
