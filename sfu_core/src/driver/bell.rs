//! When a sleeper has to be told: once until it has looked. `tests/interleavings` goes through every order in which threads can
//! meet here.

use super::atomic::{AtomicBool, Ordering};

/// Whether the sleeper has been told.
#[derive(Debug)]
pub(super) struct Bell {
    raised: AtomicBool,
}

impl Bell {
    /// A bell that does not ring.
    pub(super) fn new() -> Self {
        Self { raised: AtomicBool::new(false) }
    }

    /// Tells the sleeper by `ring`, unless it has been told. What was pushed to a queue before is seen by whoever pops after
    /// [`lower`](Self::lower).
    pub(super) fn raise(&self, ring: impl FnOnce()) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            ring();
        }
    }

    /// Takes back what told the sleeper, by `silence`; look into the queues afterwards. That comes first: the other order could
    /// leave the flag up with nothing to hear, and the sleeper would never be woken again.
    pub(super) fn lower(&self, silence: impl FnOnce()) {
        silence();
        self.raised.swap(false, Ordering::AcqRel);
    }
}
