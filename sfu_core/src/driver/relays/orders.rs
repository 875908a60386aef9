//! What one worker has told another to look at before anything else, and how far the other is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Orders from one worker to another, counted. What an order is about is written down before it is given.
#[derive(Debug)]
pub(super) struct Orders {
    given: AtomicUsize,
    heeded: AtomicUsize,
    /// The other worker has failed, and does nothing more.
    abandoned: AtomicBool,
}

impl Orders {
    pub(super) fn new() -> Self {
        Self { given: AtomicUsize::new(0), heeded: AtomicUsize::new(0), abandoned: AtomicBool::new(false) }
    }

    /// Gives one more, and returns how many that makes.
    pub(super) fn give(&self) -> usize {
        self.given.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many there are, if some have not been heeded.
    pub(super) fn given(&self) -> Option<usize> {
        let given = self.given.load(Ordering::SeqCst);
        // Only the reader of orders writes this one.
        (given != self.heeded.load(Ordering::Relaxed)).then_some(given)
    }

    /// So many have been heeded.
    pub(super) fn heed(&self, given: usize) {
        self.heeded.store(given, Ordering::Release);
    }

    /// Nobody will heed any more.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether the order of that number has been heeded, or nobody is left to act against it.
    pub(super) fn is_heeded(&self, order: usize) -> bool {
        self.heeded.load(Ordering::Acquire) >= order || self.abandoned.load(Ordering::Acquire)
    }
}
