//! A `Wake` whose descriptor is a counter: what `eventfd(2)` does is atomic, and orders nothing else here.

use super::atomic::{AtomicUsize, Ordering};
use super::bell::Bell;

#[derive(Debug)]
pub(crate) struct Wake {
    bell: Bell,
    descriptor: AtomicUsize,
}

impl Wake {
    pub(crate) fn new() -> Self {
        Self { bell: Bell::new(), descriptor: AtomicUsize::new(0) }
    }

    pub(crate) fn raise(&self) {
        self.bell.raise(|| {
            self.descriptor.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn lower(&self) {
        self.bell.lower(|| {
            self.descriptor.swap(0, Ordering::Relaxed);
        });
    }

    /// Whether the sleeper would wake up.
    pub(crate) fn rings(&self) -> bool {
        self.descriptor.load(Ordering::Relaxed) > 0
    }
}
