//! What one turn of an engine may cause: datagrams, events, calls to the allocator, bytes. Nothing of it depends on the machine.

use crate::heap;

/// The most of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Datagrams that leave in one turn.
    pub(crate) sent: usize,
    /// Events of one turn.
    pub(crate) events: usize,
    /// Calls to the allocator in one turn, with those of what stands around the engine.
    pub(crate) calls: u64,
    /// Bytes beyond what stood in the beginning.
    pub(crate) grown: i64,
}

/// What stood when the run began, and what the turn before had done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    limits: Limits,
    held: i64,
    calls: u64,
}

impl Bounds {
    /// From here on it is counted.
    pub(crate) fn begin(limits: Limits) -> Self {
        Self { limits, held: heap::held(), calls: heap::calls() }
    }

    /// What was done until here is not of a turn.
    pub(crate) fn leave_out(&mut self) {
        self.calls = heap::calls();
    }

    /// After one turn.
    pub(crate) fn check(&mut self, sent: usize, events: usize) {
        let calls = heap::calls();
        let (made, grown) = (calls - self.calls, heap::held() - self.held);
        self.calls = calls;
        assert!(sent <= self.limits.sent, "{sent} datagrams in one turn");
        assert!(events <= self.limits.events, "{events} events in one turn");
        assert!(made <= self.limits.calls, "{made} calls to the allocator in one turn");
        assert!(grown <= self.limits.grown, "{grown} bytes more than in the beginning");
    }
}
